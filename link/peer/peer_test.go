package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/uc"
)

func TestDatagramsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const many = 20000
	type got struct {
		from uc.ServerFQDN
		n    uint64
	}
	arrived := make(chan got, 2*many)
	p := start(t, 3, nil, func(n *Net) {
		n.Handle(7, func(from uc.ServerFQDN, b []byte) { arrived <- got{from, binary.BigEndian.Uint64(b)} })
	})
	p.awaitUp(t)
	for i := range uint64(many) {
		for _, n := range p.nets[1:] {
			b := binary.BigEndian.AppendUint64(nil, i)
			if !n.Post(name(0), 7, b) {
				t.Fatal("dropped")
			}
			clear(b) // the payload is the caller's again
			if !n.Post(name(0), 8, b) {
				t.Fatal("a kind nobody takes is dropped here")
			}
		}
	}
	next := map[uc.ServerFQDN]uint64{}
	for range 2 * many {
		g := <-arrived
		if g.n != next[g.from] {
			t.Fatalf("%s: %d comes when %d is next", g.from, g.n, next[g.from])
		}
		next[g.from]++
	}
	if p.nets[0].Post(name(0), 7, nil) || p.nets[0].Post("other.example.test", 7, nil) {
		t.Error("posted to itself or to a stranger")
	}
	for _, x := range p.nets[0].Peers() {
		if !x.Up || x.Received < many*8 || x.Since.IsZero() || time.Since(x.LastHeard) > 5*time.Second {
			t.Errorf("%+v", x)
		}
	}
}

func TestFullQueueDrops(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool, 1), make(chan bool)
	p := start(t, 2, func(_ int, c *Config) { c.MaxQueue = 1 << 20 }, func(n *Net) {
		n.Handle(1, func(uc.ServerFQDN, []byte) { entered <- true; <-leave })
	})
	p.awaitUp(t)
	n := p.nets[0]
	if !n.Post(name(1), 1, nil) {
		t.Fatal("dropped")
	}
	<-entered
	sent := 0
	for payload := make([]byte, 100<<10); n.Post(name(1), 2, payload); sent++ {
		if sent > 10000 {
			t.Fatal("the queue has no bound")
		}
	}
	if got := n.Peers()[0]; got.Dropped != 1 {
		t.Errorf("%d dropped", got.Dropped)
	}
	if _, err := n.Call(t.Context(), name(1), "x", make([]byte, 1<<20)); !fault.Is(err, fault.Overload) {
		t.Errorf("a call is queued beyond the bound: %v", err)
	}
	close(leave)
	if out, err := n.Call(t.Context(), name(1), "x", make([]byte, 17<<20)); !fault.Is(err, fault.Limit) {
		t.Errorf("a call without bound: %v %v", out, err)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	refusal := fault.New(fault.NotPrimary, "replica.Propose", "another server leads").About("group 3").Diagnosed(1038).Because(errors.New("term 4"))
	refusal.Server, refusal.RetryAfter = "fe9", 1500*time.Millisecond
	ended := make(chan error, 1)
	p := start(t, 2, nil, func(n *Net) {
		n.Serve("echo", func(_ context.Context, from uc.ServerFQDN, in []byte) ([]byte, error) {
			return append([]byte(from+" "), in...), nil
		})
		n.Serve("refuse", func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) { return nil, refusal })
		n.Serve("plain", func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) { return nil, io.ErrNoProgress })
		n.Serve("panic", func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) { panic("x") })
		n.Serve("wait", func(ctx context.Context, _ uc.ServerFQDN, _ []byte) ([]byte, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		n.Serve("large", func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) { return make([]byte, 17<<20), nil })
	})
	p.awaitUp(t)
	n := p.nets[0]
	for _, to := range []uc.ServerFQDN{name(1), name(0)} { // another, and this one
		if out, err := n.Call(t.Context(), to, "echo", []byte("hello")); err != nil || string(out) != "fe0.example.test hello" {
			t.Errorf("%s %v", out, err)
		}
		_, err := n.Call(t.Context(), to, "refuse", nil)
		var got *fault.Error
		if !errors.As(err, &got) || got.Err.Error() != "term 4" {
			t.Fatalf("%v", err)
		}
		want, have := *refusal, *got
		want.Err, have.Err = nil, nil
		if !reflect.DeepEqual(want, have) {
			t.Errorf("got %+v", have)
		}
		if _, err := n.Call(t.Context(), to, "plain", nil); !strings.Contains(err.Error(), io.ErrNoProgress.Error()) {
			t.Errorf("%v", err)
		}
		if _, err := n.Call(t.Context(), to, "panic", nil); !fault.Is(err, fault.Internal) {
			t.Errorf("%v", err)
		}
		if _, err := n.Call(t.Context(), to, "nothing", nil); !fault.Is(err, fault.Unsupported) {
			t.Errorf("%v", err)
		}
	}
	if _, err := n.Call(t.Context(), name(1), "large", nil); !fault.Is(err, fault.Limit) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := n.Call(ctx, name(1), "wait", nil); !fault.Is(err, fault.Timeout) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context ends by %v", err)
	}
	if _, err := n.Call(t.Context(), name(5), "echo", nil); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	begun, leave := make(chan bool, 8), make(chan bool)
	p := start(t, 2, func(i int, c *Config) {
		if c.MaxCalls = 3; i == 1 {
			c.MaxServing = 2
		}
	}, func(n *Net) {
		n.Serve("wait", func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) { begun <- true; <-leave; return nil, nil })
	})
	p.awaitUp(t)
	n, ends := p.nets[0], make(chan error, 8)
	call := func() { _, err := n.Call(t.Context(), name(1), "wait", nil); ends <- err }
	for range 2 {
		go call()
		<-begun
	}
	if call(); !fault.Is(<-ends, fault.Overload) {
		t.Error("more are served than MaxServing")
	}
	n.cfg.MaxCalls = 2
	if call(); !fault.Is(<-ends, fault.Overload) {
		t.Error("more are under way than MaxCalls")
	}
	close(leave)
	for range 2 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}

func TestSilentLinkIsDownAndComesBack(t *testing.T) {
	t.Parallel()
	begun := make(chan bool, 1)
	p := start(t, 1, nil, nil)
	n := p.nets[0]
	keys := t.TempDir()
	copyKeys(t, p, keys)
	p.keys[name(1)] = authority(t, keys, name(1))
	other := New(p.config(name(1)))
	other.Serve("wait", func(ctx context.Context, _ uc.ServerFQDN, _ []byte) ([]byte, error) {
		begun <- true
		<-ctx.Done()
		return nil, nil
	})
	p.listen(t, other, "127.0.0.1:0")
	r := newRelay(t, p.servers()[name(1)])
	p.place(name(1), r.l.Addr().String())
	await(t, n, "up", func() bool { return n.Up(name(1)) })
	lost := make(chan error, 1)
	go func() { _, err := n.Call(context.Background(), name(1), "wait", nil); lost <- err }()
	<-begun
	cut := time.Now()
	r.hold(true)
	await(t, n, "down", func() bool { return !n.Up(name(1)) })
	if d := time.Since(cut); d < 400*time.Millisecond || d > 3*time.Second {
		t.Errorf("down after %s; Quiet is 500 ms", d)
	}
	if err := <-lost; !fault.Is(err, fault.Unavailable) {
		t.Errorf("the call ends by %v", err)
	}
	if n.Post(name(1), 1, nil) {
		t.Error("a datagram is taken for a server that is down")
	}
	r.hold(false)
	await(t, n, "up again", func() bool { return n.Up(name(1)) })
	p.place(name(1), "") // leaves the pool
	await(t, n, "of the pool no longer", func() bool { return !n.Up(name(1)) && len(n.Peers()) == 0 })
}

// copyKeys puts the authority of the pool's first server into dir.
func copyKeys(t *testing.T, p *pool, dir string) {
	t.Helper()
	for _, a := range p.keys {
		if err := a.Still(func() error { return pki.Share(a.Folder(), dir) }); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// A handler that takes longer than Quiet holds up its sender and nothing else.
func TestSlowHandlerIsNoSilence(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	done := make(chan bool, 1)
	p := start(t, 2, func(_ int, c *Config) { c.Quiet = 100 * time.Millisecond }, func(n *Net) {
		n.Handle(1, func(uc.ServerFQDN, []byte) {
			wait := make(chan bool)
			time.AfterFunc(400*time.Millisecond, func() { close(wait) })
			<-wait
			ran.Add(1)
		})
		n.Handle(2, func(uc.ServerFQDN, []byte) { done <- true })
	})
	p.awaitUp(t)
	changed := p.nets[0].Changed()
	p.nets[0].Post(name(1), 1, nil)
	p.nets[0].Post(name(1), 2, nil)
	select {
	case <-done:
	case <-changed:
		t.Fatal("the link went down")
	case <-time.After(10 * time.Second):
		t.Fatal("lost")
	}
	if ran.Load() != 1 {
		t.Error("out of order")
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	ends := make(chan error, 1)
	p := start(t, 2, func(_ int, c *Config) { c.MaxStreams = 1 }, func(n *Net) {
		n.ServeStream("keep", func(_ context.Context, from uc.ServerFQDN, header []byte, r io.Reader) error {
			got, err := io.ReadAll(r)
			if ends <- err; err == nil && (!bytes.Equal(got, data) || string(header) != "group 3" || from != name(0)) {
				return fault.New(fault.Invalid, "test", "not what was sent")
			}
			return err
		})
		n.ServeStream("refuse", func(context.Context, uc.ServerFQDN, []byte, io.Reader) error {
			return fault.New(fault.Stale, "test", "an older snapshot")
		})
	})
	p.awaitUp(t)
	n := p.nets[0]
	if err := n.Stream(t.Context(), name(1), "keep", []byte("group 3"), iotest.HalfReader(bytes.NewReader(data))); err != nil || <-ends != nil {
		t.Fatal(err)
	}
	if err := n.Stream(t.Context(), name(1), "refuse", nil, endless{}); !fault.Is(err, fault.Stale) {
		t.Errorf("%v", err)
	}
	if err := n.Stream(t.Context(), name(1), "nothing", nil, endless{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("%v", err)
	}
	broken := io.MultiReader(bytes.NewReader(data[:100000]), iotest.ErrReader(io.ErrNoProgress))
	if err := n.Stream(t.Context(), name(1), "keep", nil, broken); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
	if err := <-ends; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream that was given up ends by %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := n.Stream(ctx, name(1), "keep", nil, endless{}); !fault.Is(err, fault.Timeout) {
		t.Errorf("%v", err)
	}
	if err := <-ends; err == nil {
		t.Error("a stream that was cut is whole to the receiver")
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return min(len(b), 1000), nil }

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	var called atomic.Bool
	p := start(t, 3, nil, func(n *Net) { n.Handle(1, func(uc.ServerFQDN, []byte) { called.Store(true) }) })
	addr := p.servers()[name(0)]
	keys, foreign := t.TempDir(), t.TempDir()
	copyKeys(t, p, keys)
	if err := pki.NewPool(foreign, "pool1.example.test", clock.Real{}); err != nil {
		t.Fatal(err)
	}
	post := appendPost(nil, 1, []byte("x"))
	open := func(from uc.ServerFQDN, to uc.ServerFQDN) []byte {
		return append(opening{forFrames, string(from), string(to)}.append(nil), post...)
	}
	for _, c := range []struct {
		what, protocol string
		as             *pki.Authority
		send           []byte
	}{
		{"another authority", protocol, authority(t, foreign, name(1)), open(name(1), name(0))},
		{"a server that is not of the pool", protocol, authority(t, keys, "fe9.example.test"), open("fe9.example.test", name(0))},
		{"a server that gives another's name", protocol, p.keys[name(1)], open(name(2), name(0))},
		{"this server itself", protocol, p.keys[name(0)], open(name(0), name(0))},
		{"a server that means another", protocol, p.keys[name(1)], open(name(1), "fe9.example.test")},
		{"another protocol", "h2", p.keys[name(1)], open(name(1), name(0))},
		{"no opening", protocol, p.keys[name(1)], []byte("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")},
	} {
		conn, err := dialAs(t, addr, c.as, c.protocol)
		if err != nil {
			continue // refused within the handshake
		}
		conn.SetDeadline(time.Now().Add(4 * time.Second))
		conn.Write(c.send)
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s is not refused: %v", c.what, err)
		}
		conn.Close()
	}
	if called.Load() {
		t.Error("a handler was called for a stranger")
	}
	conn, err := dialAs(t, addr, p.keys[name(1)], protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(open(name(1), name(0)))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("the rightful server is refused: %v", err)
	}
}

func TestTheRightNameIsDialled(t *testing.T) {
	t.Parallel()
	p := start(t, 2, nil, nil)
	p.awaitUp(t)
	// The server that is dialled shows a certificate of another name.
	p.place(name(2), p.servers()[name(1)])
	_, _, err := p.nets[0].dial(t.Context(), name(2), forFrames)
	if !fault.Is(err, fault.Forbidden) {
		t.Errorf("fe1 is taken for fe2: %v", err)
	}
}
