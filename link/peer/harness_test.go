package peer

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool is several Nets on loopback that know one another.
type pool struct {
	mu    sync.Mutex
	addrs map[uc.ServerFQDN]string
	keys  map[uc.ServerFQDN]*pki.Authority
	nets  []*Net
}

func (p *pool) servers() map[uc.ServerFQDN]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := map[uc.ServerFQDN]string{}
	for k, v := range p.addrs {
		m[k] = v
	}
	return m
}

func (p *pool) place(name uc.ServerFQDN, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if addr == "" {
		delete(p.addrs, name)
	} else {
		p.addrs[name] = addr
	}
}

func name(i int) uc.ServerFQDN { return uc.ServerFQDN(fmt.Sprintf("fe%d.example.test", i)) }

// authority makes the keys of a server from those in dir.
func authority(t testing.TB, dir string, server uc.ServerFQDN) *pki.Authority {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := pki.Share(dir, to); err != nil {
		t.Fatal(err)
	}
	a, err := pki.Open(pki.Config{Dir: to, Names: pki.Names{Server: server, Pool: "pool1.example.test"}, Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// config is of a server with quick heartbeats.
func (p *pool) config(server uc.ServerFQDN) Config {
	a := p.keys[server]
	return Config{
		Self: server, Servers: p.servers, Certificate: a.GetCertificate, Roots: a.Roots(), Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler),
		Beat: 20 * time.Millisecond, Quiet: 500 * time.Millisecond,
	}
}

// start makes a pool of n; before sees each Net before it listens.
func start(t testing.TB, n int, before func(i int, c *Config), prepare func(*Net)) *pool {
	t.Helper()
	keys := t.TempDir()
	if err := pki.NewPool(keys, "pool1.example.test", clock.Real{}); err != nil {
		t.Fatal(err)
	}
	p := &pool{addrs: map[uc.ServerFQDN]string{}, keys: map[uc.ServerFQDN]*pki.Authority{}}
	for i := range n {
		p.keys[name(i)] = authority(t, keys, name(i))
		c := p.config(name(i))
		if before != nil {
			before(i, &c)
		}
		x := New(c)
		if prepare != nil {
			prepare(x)
		}
		p.nets = append(p.nets, x)
		p.listen(t, x, "127.0.0.1:0")
	}
	return p
}

func (p *pool) listen(t testing.TB, x *Net, addr string) {
	t.Helper()
	a, err := x.Listen(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	p.place(x.cfg.Self, a.String())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := x.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// await waits until ok, looking again at each change of n.
func await(t testing.TB, n *Net, what string, ok func() bool) {
	t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		changed := n.Changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("%s: %+v", what, n.Peers())
		}
	}
}

func (p *pool) awaitUp(t testing.TB) {
	t.Helper()
	for _, n := range p.nets {
		for s := range p.servers() {
			await(t, n, fmt.Sprintf("%s is not linked to %s", n.cfg.Self, s), func() bool { return n.Up(s) })
		}
	}
}

// relay passes bytes to the address until it is cut, then holds them.
type relay struct {
	l  net.Listener
	mu sync.Mutex
	// open connections, and whether what comes from the dialler is held.
	conns []net.Conn
	held  chan struct{} // nil: passes
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, a, b)
			r.mu.Unlock()
			wg.Go(func() { r.pass(a, b) })
			wg.Go(func() { r.pass(b, a) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		r.hold(false)
		wg.Wait()
	})
	return r
}

func (r *relay) hold(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		r.held = make(chan struct{})
	} else if r.held != nil {
		close(r.held)
		r.held = nil
	}
}

func (r *relay) pass(from, to net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		k, err := from.Read(b)
		r.mu.Lock()
		held := r.held
		r.mu.Unlock()
		if held != nil {
			<-held
		}
		if err != nil {
			return
		}
		if _, err := to.Write(b[:k]); err != nil {
			return
		}
	}
}

// dialAs connects to n with a's certificate.
func dialAs(t *testing.T, n string, a *pki.Authority, protocols ...string) (*tls.Conn, error) {
	t.Helper()
	cert, err := a.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Dial("tcp", n, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert}, NextProtos: protocols})
}
