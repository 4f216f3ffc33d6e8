package siptrans

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
)

// Listener says where to listen.
type Listener struct {
	Network string // one of Transports
	Addr    string // host:port; port 0 takes any
	// TLS is for "tls" and "wss". Certificates are replaced without a restart by its
	// GetCertificate or GetConfigForClient; connections stay.
	TLS *tls.Config
}

// Listen opens a socket and serves it until Close; ctx covers the opening only.
func (l *Layer) Listen(ctx context.Context, ln Listener) (netip.AddrPort, error) {
	const op = "siptrans.Listen"
	t := slices.Index(Transports[:], ln.Network)
	switch {
	case t < 0:
		return netip.AddrPort{}, fault.Newf(fault.Invalid, op, "the network must be one of %s", strings.Join(Transports[:], ", ")).About(ln.Network)
	case t == 0:
		return l.listenUDP(ctx, ln.Addr)
	case secure(uint8(t)) && ln.TLS == nil:
		return netip.AddrPort{}, fault.New(fault.Invalid, op, "a TLS listener needs a certificate").About(ln.Addr)
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	sock, err := lc.Listen(ctx, "tcp", ln.Addr)
	if err != nil {
		return netip.AddrPort{}, fault.Wrap(op, err)
	}
	a := &acceptor{layer: l, transport: uint8(t), ln: sock, local: addrPort(sock.Addr())}
	if secure(a.transport) {
		a.tls = ln.TLS.Clone()
		a.tls.DynamicRecordSizingDisabled = true // one record per write
	}
	a.via = l.viaPrefix(a.transport, a.local)
	l.mu.Lock()
	l.listeners = append(l.listeners, sock)
	l.mu.Unlock()
	l.task(a.accept)
	return a.local, nil
}

// keepAlive finds peers that vanished without a word.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 30 * time.Second, Count: 4}

// secure reports whether the transport runs over TLS.
func secure(t uint8) bool { return t == 2 || t == 4 }

// web reports whether the transport is a WebSocket.
func web(t uint8) bool { return t >= 3 }

// viaPrefix is the beginning of the Vias added on the socket.
func (l *Layer) viaPrefix(transport uint8, local netip.AddrPort) string {
	host := l.cfg.SentBy
	if host == "" {
		host = local.Addr().String()
		if local.Addr().Is6() {
			host = "[" + host + "]"
		}
	}
	v := "SIP/2.0/" + strings.ToUpper(Transports[transport]) + " " + host + ":" + strconv.Itoa(int(local.Port()))
	if transport == 0 {
		v += ";rport"
	}
	return v + ";branch=" + cookie
}

type acceptor struct {
	layer     *Layer
	transport uint8
	ln        net.Listener
	local     netip.AddrPort
	tls       *tls.Config
	via       string
}

func (a *acceptor) accept() {
	l := a.layer
	for {
		nc, err := a.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			l.cfg.Log.Warn("accepting failed", "addr", a.ln.Addr(), "err", err)
			pause(l.ctx, 50*time.Millisecond) // out of descriptors: give some back first
			continue
		}
		if l.accepts != nil && l.accepts.Wait(l.ctx) != nil {
			nc.Close()
			return
		}
		a.start(nc)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// start hands a connection to its first goroutine: the reader, or one that shakes
// hands and grows a stack for it.
func (a *acceptor) start(nc net.Conn) {
	l := a.layer
	from := addrPort(nc.RemoteAddr()).Addr()
	if why, ok := l.sources.enter(from, l.cfg.PerSource, l.cfg.Connections); !ok {
		l.reject(why)
		nc.Close()
		return
	}
	l.gate.door(l.ctx)
	c := l.newConn(a.transport, nc)
	c.via = a.via
	if l.cfg.SentBy == "" && a.local.Addr().IsUnspecified() {
		c.via = l.viaPrefix(a.transport, c.local)
	}
	if err := c.attach(nc); err != nil {
		l.leave(c)
		nc.Close()
		return
	}
	if a.tls == nil && !web(a.transport) {
		l.install(c)
		l.task(c.read)
		return
	}
	l.task(func() {
		if err := a.shake(c); err != nil {
			l.cfg.Log.Debug("handshake failed", "remote", c.remote, "err", err)
			l.reject(shakeFailed)
			l.leave(c)
			nc.Close()
			return
		}
		l.install(c)
		l.task(c.read)
	})
}

// shake does the TLS handshake and the WebSocket upgrade, each within its limit.
func (a *acceptor) shake(c *Conn) error {
	limit := a.layer.cfg.Handshake
	c.sock.shaking = true
	stop := context.AfterFunc(a.layer.ctx, func() { c.sock.Conn.Close() })
	defer stop()
	if a.tls != nil {
		c.sock.SetDeadline(time.Now().Add(limit))
		c.tls = tls.Server(c.sock, a.tls)
		if err := c.tls.Handshake(); err != nil {
			return err
		}
	}
	if web(a.transport) {
		c.sock.SetDeadline(time.Now().Add(limit))
		if err := c.upgrade(); err != nil {
			return err
		}
	}
	c.sock.begin()
	return c.sock.SetDeadline(time.Time{})
}

// attach gives c its socket.
func (c *Conn) attach(nc net.Conn) (err error) {
	if c.sock, err = newSock(nc, c.layer); err != nil {
		return err
	}
	c.sock.fail, c.sock.more = c.stalled, c.refill
	return nil
}

// install puts c into the table.
func (l *Layer) install(c *Conn) {
	l.conns.put(c)
	l.stats.conns[c.transport].Add(1)
	l.stats.accepted[c.transport].Add(1)
	if l.closing.Load() {
		c.Close("the server is stopping")
	}
}
