package sippeer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

// pair is a server and the one that it keeps a connection to.
type pair struct {
	peers *Peers
	asked atomic.Int64
	mute  atomic.Bool // the other server does not answer
}

func startPair(t *testing.T) *pair {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.root)
	leaf := ca.issue(t, &x509.Certificate{DNSNames: []string{"fe2.example.test"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	p := &pair{}
	far := sipagent.NewHost(siptrans.Config{})
	far.ServeFor(t, time.Millisecond, sipmux.Config{Routes: []sipmux.Route{{Method: "OPTIONS", Doc: "answers", Serve: func(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
		p.asked.Add(1)
		if p.mute.Load() {
			return nil, nil
		}
		return r.Reply(200, ""), nil
	}}}})
	at, err := far.Layer.Listen(t.Context(), siptrans.Listener{Network: "tls", Addr: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: ca.key}}}})
	if err != nil {
		t.Fatal(err)
	}
	near := sipagent.NewHost(siptrans.Config{})
	near.ServeFor(t, time.Millisecond, sipmux.Config{})
	l := life.New(context.Background(), slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p.peers = New(Config{
		Link: near.Layer, Life: l, Server: "fe1.example.test", TLS: &tls.Config{RootCAs: pool}, Backoff: time.Millisecond, MostPause: 5 * time.Millisecond,
		KeepAlive: 5 * time.Millisecond, Patience: 20 * time.Millisecond,
		Address: func(s uc.ServerFQDN) string {
			if s != "fe2.example.test" {
				return ""
			}
			return at.String()
		},
	})
	return p
}

func (p *pair) connected(t *testing.T) *siptrans.Conn {
	var c *siptrans.Conn
	sipagent.Await(t, "the connection", func() (ok bool) {
		var err error
		c, err = p.peers.Conn("fe2.example.test")
		return err == nil
	})
	return c
}

func TestOneConnectionIsKept(t *testing.T) {
	p := startPair(t)
	if _, err := p.peers.Conn("fe2.example.test"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("before there is a connection: %v", err)
	}
	c := p.connected(t)
	if again := p.connected(t); again != c || c.Peer() != "fe2.example.test" || !c.Trusted() {
		t.Errorf("another connection, or one to %q", c.Peer())
	}
	sipagent.Await(t, "questions", func() bool { return p.asked.Load() > 3 })
	if c.Closed() {
		t.Errorf("a connection that lives was closed: %s", c.Reason())
	}
	c.Close("the test")
	if again := p.connected(t); again == c {
		t.Error("a connection that has ended is handed out")
	}
	if _, err := p.peers.Conn("fe9.example.test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a server of no topology: %v", err)
	}
	if _, err := p.peers.Conn("fe1.example.test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the server itself: %v", err)
	}
}

func TestSilentServerIsLeft(t *testing.T) {
	p := startPair(t)
	p.mute.Store(true)
	c := p.connected(t)
	sipagent.Await(t, "the end of the connection", c.Closed)
	p.mute.Store(false)
	p.connected(t)
}
