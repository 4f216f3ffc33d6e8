package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// link is what goes to one other server: it dials, again and again.
type link struct {
	n       *Net
	to      uc.ServerFQDN
	ctx     context.Context
	cancel  context.CancelFunc
	traffic *traffic
	rtt     atomic.Int64 // nanoseconds

	conn atomic.Pointer[conn] // set while the link is up

	mu      sync.Mutex // guards the fields below
	dialled *conn      // up or not yet
	since   time.Time  // when it went up or down
	waiting map[uint64]chan reply
	nextID  uint64
	said    string // the last reason in the log
}

// reply is the answer to a call.
type reply struct {
	out []byte
	err error
}

func newLink(n *Net, to uc.ServerFQDN) *link {
	ctx, cancel := context.WithCancel(n.ctx)
	return &link{n: n, to: to, ctx: ctx, cancel: cancel, traffic: &traffic{}, since: n.cfg.Clock.Now(), waiting: map[uint64]chan reply{}}
}

// run connects, serves the connection to its end, and waits a little longer each
// time that nothing came of it.
func (l *link) run() {
	wait := minBackoff
	for l.ctx.Err() == nil {
		up, err := l.once()
		if l.ctx.Err() != nil {
			return
		}
		l.tell(up, err)
		if up {
			wait = minBackoff
		}
		l.pause(wait/2 + rand.N(wait))
		wait = min(2*wait, maxBackoff)
	}
}

// tell logs why there is no link, and not again and again the same.
func (l *link) tell(was bool, err error) {
	l.mu.Lock()
	text := fmt.Sprint(err)
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		text = f.Text // without the ports of this attempt
	}
	again := text == l.said && !was
	l.said = text
	l.mu.Unlock()
	switch {
	case again:
	case was:
		l.n.cfg.Log.Warn("the link to a server of the pool is down", "server", l.to, "err", err)
	default:
		l.n.cfg.Log.Info("a server of the pool is not reached yet", "server", l.to, "err", err)
	}
}

func (l *link) pause(d time.Duration) {
	over := make(chan struct{})
	t := l.n.cfg.Clock.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
	case <-l.ctx.Done():
	}
}

// once is one connection from dialling to its end; up says whether it got there.
func (l *link) once() (up bool, err error) {
	t, w, err := l.n.dial(l.ctx, l.to, forFrames)
	if err != nil {
		return false, err
	}
	defer l.n.release(w)
	w.traffic.Store(l.traffic)
	w.heard.Store(l.n.cfg.Clock.Now().UnixNano())
	c := l.n.newConn(t, w)
	stop := context.AfterFunc(l.ctx, func() { c.end(l.ctx.Err()) })
	defer stop()
	l.mu.Lock()
	l.dialled = c
	l.mu.Unlock()
	if !l.n.begin(c.write) {
		return false, context.Canceled
	}
	err = c.read(func(f frame) error {
		if !up {
			up = true
			l.rise(c)
		}
		return l.take(f)
	})
	l.fall(c, up, err)
	return up, err
}

// rise is when the other side has sent its first frame.
func (l *link) rise(c *conn) {
	l.mu.Lock()
	l.since, l.said = l.n.cfg.Clock.Now(), ""
	l.conn.Store(c)
	l.mu.Unlock()
	l.n.cfg.Log.Info("linked to a server of the pool", "server", l.to)
	l.n.wakeAll()
}

// fall fails the calls that wait for an answer.
func (l *link) fall(c *conn, was bool, why error) {
	l.mu.Lock()
	l.conn.Store(nil)
	l.dialled = nil
	if was {
		l.since = l.n.cfg.Clock.Now()
	}
	waiting := l.waiting
	l.waiting = map[uint64]chan reply{}
	l.mu.Unlock()
	for _, ch := range waiting {
		ch <- reply{err: fault.New(fault.Unavailable, "peer.Call", "the link was lost before the answer came; whether the call was carried out is not known").About(string(l.to)).Because(why)}
	}
	if was {
		l.n.wakeAll()
	}
}

// take handles what the other side sends back.
func (l *link) take(f frame) error {
	id, body, err := parseID(f.body)
	if err != nil {
		return err
	}
	switch f.kind {
	case frameBeat:
	case frameEcho:
		if d := l.n.cfg.Clock.Now().UnixNano() - int64(id); d > 0 {
			l.rtt.Store(d)
		}
	case frameAnswer:
		l.settle(id, reply{out: body})
	case frameFailure:
		l.settle(id, reply{err: decodeFault(body)})
	default:
		return fault.Newf(fault.Invalid, "peer.read", "a frame of type %d does not come this way", f.kind)
	}
	return nil
}

func (l *link) settle(id uint64, r reply) {
	l.mu.Lock()
	ch := l.waiting[id]
	delete(l.waiting, id)
	l.mu.Unlock()
	if ch != nil {
		ch <- r
	}
}

// Post sends a datagram: it is queued and sent with what else is, or dropped, and
// then false is returned, when the server is not connected or MaxQueue is
// reached. It never blocks. Datagrams to one server keep their order; one that
// was queued is lost if the link is. payload may be used again at once.
func (n *Net) Post(to uc.ServerFQDN, kind byte, payload []byte) bool {
	l := n.link(to)
	if l == nil {
		return false
	}
	c := l.conn.Load()
	if c == nil || len(payload)+postHead+1 > n.cfg.MaxFrame ||
		!c.queue(frameHead+postHead+len(payload), true, func(b []byte) []byte { return appendPost(b, kind, payload) }) {
		l.traffic.dropped.Add(1)
		return false
	}
	return true
}

// dial makes an authenticated connection for a purpose. The caller releases the
// wire.
func (n *Net) dial(ctx context.Context, to uc.ServerFQDN, purpose byte) (*tls.Conn, *wire, error) {
	const op = "peer.dial"
	addr, ok := n.cfg.Servers()[to]
	if !ok {
		return nil, nil, fault.New(fault.NotFound, op, "the server is not of this pool").About(string(to))
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, fault.New(fault.Unavailable, op, "the server cannot be reached").About(string(to)).Because(err)
	}
	w := newWire(n, raw)
	if !n.hold(w) {
		return nil, nil, fault.New(fault.Gone, op, "the links are closed")
	}
	t := tls.Client(w, n.clientTLS(to))
	err = t.HandshakeContext(ctx)
	if err == nil {
		if err = t.SetWriteDeadline(n.cfg.Clock.Now().Add(handshakeTime)); err == nil {
			_, err = t.Write(opening{purpose, string(n.cfg.Self), string(to)}.append(nil))
		}
	}
	if err != nil {
		n.release(w)
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, nil, f
		}
		return nil, nil, fault.New(fault.Unavailable, op, "the other side is not the server that was meant, or does not know this one").About(string(to)).Because(err)
	}
	return t, w, nil
}
