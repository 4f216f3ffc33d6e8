package siptrans

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"trivet/fault"
)

// Dial opens a stream connection ("tcp" or "tls") to addr; ctx covers the opening.
// The connection is trusted: requests that come over it are not counted against
// the budget of strangers. Who wants to reuse connections keeps the Conn.
func (l *Layer) Dial(ctx context.Context, network, addr string, conf *tls.Config) (*Conn, error) {
	const op = "siptrans.Dial"
	t := uint8(max(slices.Index(Transports[:], network), 0))
	if t == 0 || web(t) {
		return nil, fault.New(fault.Invalid, op, "only tcp and tls can be dialled").About(network)
	}
	if l.closing.Load() {
		return nil, fault.New(fault.Unavailable, op, "the server is stopping").About(addr)
	}
	d := net.Dialer{KeepAliveConfig: keepAlive}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "the server cannot be reached").About(addr).Because(err)
	}
	c := l.newConn(t, nc)
	c.out = true
	c.safe.Store(true)
	c.via = l.viaPrefix(t, c.local)
	err = c.attach(nc)
	if err == nil && secure(t) {
		err = c.dialTLS(ctx, conf, addr)
	}
	if err != nil {
		nc.Close()
		return nil, fault.New(fault.Unavailable, op, "the TLS handshake failed").About(addr).Because(err)
	}
	l.install(c)
	l.task(c.read)
	return c, nil
}

// dialTLS shakes hands as a client; without a server name in conf, that of addr counts.
func (c *Conn) dialTLS(ctx context.Context, conf *tls.Config, addr string) error {
	if conf == nil {
		conf = &tls.Config{}
	}
	conf = conf.Clone()
	conf.DynamicRecordSizingDisabled = true
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(addr)
	}
	c.sock.shaking = true
	c.sock.SetDeadline(time.Now().Add(c.layer.cfg.Handshake))
	c.tls = tls.Client(c.sock, conf)
	if err := c.tls.HandshakeContext(ctx); err != nil {
		return err
	}
	c.sock.begin()
	return c.sock.SetDeadline(time.Time{})
}
