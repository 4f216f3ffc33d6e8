package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// inbound is the connection that another server has dialled: its datagrams and
// calls.
type inbound struct {
	n    *Net
	from uc.ServerFQDN
	conn *conn

	mu      sync.Mutex                    // guards serving
	serving map[uint64]context.CancelFunc // calls by id
}

func (n *Net) accept(l net.Listener) {
	defer n.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			if n.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			n.cfg.Log.Warn("a connection of a server of the pool could not be accepted", "err", err)
			select {
			case <-time.After(minBackoff): // no file descriptors left, for example
			case <-n.ctx.Done():
			}
			continue
		}
		select {
		case n.handshakes <- struct{}{}:
			if !n.begin(func() { n.welcome(newWire(n, c)) }) {
				c.Close()
			}
		default:
			c.Close() // too many that have not said who they are
		}
	}
}

// welcome finds out who has connected and for what, and serves it.
func (n *Net) welcome(w *wire) {
	if !n.hold(w) {
		<-n.handshakes
		return
	}
	defer n.release(w)
	t := tls.Server(w, n.serverTLS())
	r := bufio.NewReaderSize(t, wireBuffer)
	from, purpose, err := n.identify(t, r)
	<-n.handshakes
	if err != nil {
		n.cfg.Log.Warn("a connection to the port for the servers of the pool was refused", "remote", w.RemoteAddr().String(), "err", err)
		return
	}
	l := n.link(from)
	if l == nil { // it is new, and was faster than keep
		n.reconcile(n.cfg.Servers())
		if l = n.link(from); l == nil {
			return
		}
	}
	w.traffic.Store(l.traffic)
	if purpose == forStream {
		n.receive(from, t, r)
		return
	}
	c := n.newConn(t, w)
	c.r = r
	n.serve(&inbound{n: n, from: from, conn: c, serving: map[uint64]context.CancelFunc{}})
}

// identify ends with a server of the pool that means to speak to this one.
func (n *Net) identify(t *tls.Conn, r *bufio.Reader) (uc.ServerFQDN, byte, error) {
	const op = "peer.accept"
	if err := t.SetDeadline(n.cfg.Clock.Now().Add(handshakeTime)); err != nil {
		return "", 0, err
	}
	if err := t.HandshakeContext(n.ctx); err != nil {
		return "", 0, err
	}
	o, err := readOpening(r)
	if err != nil {
		return "", 0, err
	}
	from := uc.ServerFQDN(o.from)
	switch _, known := n.cfg.Servers()[from]; {
	case !known || from == n.cfg.Self:
		return "", 0, fault.New(fault.Forbidden, op, "the server is not one of the other servers of the pool").About(o.from)
	case !names(t.ConnectionState().PeerCertificates[0], from):
		return "", 0, fault.New(fault.Forbidden, op, "the certificate lacks the name that the server gives").About(o.from)
	case uc.ServerFQDN(o.to) != n.cfg.Self:
		return "", 0, fault.Newf(fault.Invalid, op, "the server means to reach %s; see the addresses in the topology", o.to).About(o.from)
	}
	return from, o.purpose, t.SetDeadline(time.Time{})
}

// serve handles the frames of a connection to its end. A newer connection of the
// same server takes the place of an older one.
func (n *Net) serve(in *inbound) {
	in.conn.wire.heard.Store(n.cfg.Clock.Now().UnixNano())
	n.mu.Lock()
	older := n.inbound[in.from]
	n.inbound[in.from] = in
	n.mu.Unlock()
	if older != nil {
		older.conn.end(fault.New(fault.Gone, "peer.serve", "the server has connected anew"))
	}
	in.conn.queue(0, false, func(b []byte) []byte { return appendStamp(b, frameBeat, 0) })
	if n.begin(in.conn.write) {
		err := in.conn.read(in.take)
		n.cfg.Log.Debug("a connection of a server of the pool has ended", "server", in.from, "err", err)
	}
	n.mu.Lock()
	if n.inbound[in.from] == in {
		delete(n.inbound, in.from)
	}
	n.mu.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, cancel := range in.serving {
		cancel()
	}
}

func (in *inbound) take(f frame) error {
	switch f.kind {
	case framePost:
		return in.post(f.body)
	case frameCall:
		c, err := parseCall(f.body)
		if err != nil {
			return err
		}
		in.begin(c)
		return nil
	}
	id, _, err := parseID(f.body)
	if err != nil {
		return err
	}
	switch f.kind {
	case frameBeat:
		if id != 0 {
			in.conn.queue(0, false, func(b []byte) []byte { return appendStamp(b, frameEcho, id) })
		}
	case frameCancel:
		in.mu.Lock()
		if cancel := in.serving[id]; cancel != nil {
			cancel()
		}
		in.mu.Unlock()
	default:
		return fault.Newf(fault.Invalid, "peer.read", "a frame of type %d does not come this way", f.kind)
	}
	return nil
}

func (in *inbound) post(body []byte) (err error) {
	if len(body) < postHead {
		return short("datagram")
	}
	h := in.n.posts[body[0]].Load()
	if h == nil {
		return nil
	}
	in.conn.busy.Store(true)
	defer in.conn.busy.Store(false)
	defer in.n.rescue("datagram", &err)
	(*h)(in.from, body[postHead:])
	return nil
}

// rescue makes an error of a handler's panic; the server goes on.
func (n *Net) rescue(what string, err *error) {
	if v := recover(); v != nil {
		n.cfg.Log.Error("panic", "handler", what, "value", v, "stack", string(debug.Stack()))
		*err = fault.New(fault.Internal, "peer.serve", "a handler of the server failed; its log says more")
	}
}
