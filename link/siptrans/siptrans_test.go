package siptrans

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"trivet/fault"
	"trivet/rule/siptxn"
	"trivet/wire/sip"
)

// quickTimers let a test see timers of the RFC in milliseconds.
func quickTimers() siptxn.Timers { return siptxn.From(20 * time.Millisecond) }

func TestRoundTripOnEveryTransport(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	for _, network := range []string{"tcp", "tls", "udp"} {
		t.Run(network, func(t *testing.T) {
			p := dial(t, network, listen(t, l, network, serverTLS(t)))
			p.send(request("MESSAGE", "alice", "bob", network, 1, "", "hi"))
			res := p.recv()
			if res.Status != 200 || res.Get("Via") == "" || !strings.Contains(res.Get("To"), "tag=") {
				t.Errorf("got %s", res)
			}
		})
	}
}

func TestThousandPipelinedInOrder(t *testing.T) {
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			var last atomic.Int64
			l := start(t, Config{Budget: -1, Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
				n, _, _ := tx.Req().CSeq()
				if !last.CompareAndSwap(int64(n)-1, int64(n)) {
					t.Errorf("CSeq %d after %d", n, last.Load())
				}
				tx.Respond(sip.NewResponse(tx.Req(), 200, ""))
			})})
			p := dial(t, network, listen(t, l, network, serverTLS(t)))
			var all strings.Builder
			for i := 1; i <= 1000; i++ {
				all.WriteString(request("MESSAGE", "alice", "bob", fmt.Sprint("b", i), i, "", strings.Repeat("x", i)))
			}
			go io.WriteString(p.nc, all.String())
			for i := 1; i <= 1000; i++ {
				if n, _, _ := p.recv().CSeq(); int(n) != i {
					t.Fatalf("answer %d has CSeq %d", i, n)
				}
			}
		})
	}
}

func TestByteByByte(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	for _, b := range []byte(request("MESSAGE", "alice", "bob", "x", 1, "", "hello")) {
		p.send(string(b))
	}
	if res := p.recv(); res.Status != 200 {
		t.Errorf("got %d, want 200", res.Status)
	}
}

func TestBranchlessInvites(t *testing.T) {
	// COMPAT(pidgin-sipe 1.25): INVITE, ACK and in-dialog requests have no branch.
	acks := make(chan string, 10)
	l := start(t, Config{Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
		switch tx.Req().Method {
		case "ACK":
			acks <- tx.Req().Get("CSeq")
		case "INVITE":
			status := 200
			if n, _, _ := tx.Req().CSeq(); n == 2 {
				status = 486
			}
			tx.Respond(sip.NewResponse(tx.Req(), status, ""))
		default:
			ok(nil, tx)
		}
	})})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	for i, want := range []int{200, 486, 200} {
		p.send(request("INVITE", "alice", "bob", "", i+1, "", ""))
		if res := p.recv(); res.Status != want {
			t.Fatalf("INVITE %d: got %d, want %d", i+1, res.Status, want)
		}
		p.send(request("ACK", "alice", "bob", "", i+1, "", ""))
	}
	p.send(request("MESSAGE", "alice", "bob", "", 4, "", ""))
	p.send(request("MESSAGE", "alice", "bob", "", 5, "", ""))
	for range 2 {
		if res := p.recv(); res.Status != 200 {
			t.Fatalf("got %d", res.Status)
		}
	}
	if a, b := <-acks, <-acks; a != "1 ACK" || b != "3 ACK" || len(acks) != 0 {
		t.Errorf("ACKs of 2xx: %q, %q and %d more; the ACK of the 486 must not come up", a, b, len(acks))
	}
}

func TestIdenticalIDsOnTwoConnections(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
		res := sip.NewResponse(tx.Req(), 200, "")
		res.Add("X-Conn", fmt.Sprint(tx.Conn().ID()))
		tx.Respond(res)
	})})
	addr := listen(t, l, "tcp", nil)
	p, q := dial(t, "tcp", addr), dial(t, "tcp", addr)
	for _, branch := range []string{"same", ""} {
		p.send(request("INVITE", "alice", "bob", branch, 1, "", ""))
		q.send(request("INVITE", "alice", "bob", branch, 1, "", ""))
		if a, b := p.recv().Get("X-Conn"), q.recv().Get("X-Conn"); a == b {
			t.Errorf("branch %q: both were answered as connection %s", branch, a)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	p.send("\r\n\r\n")
	b := make([]byte, 2)
	if _, err := io.ReadFull(p.br, b); err != nil || string(b) != "\r\n" {
		t.Fatalf("got %q, %v", b, err)
	}
	p.send("\r\n\r\n" + request("MESSAGE", "alice", "bob", "x", 1, "", ""))
	if res := p.recv(); res.Status != 200 {
		t.Errorf("got %d", res.Status)
	}
}

func TestBadMessagesKeepTheConnection(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	good := request("MESSAGE", "alice", "bob", "x", 1, "", "")
	for _, c := range []struct {
		name, old, new string
		want           int
	}{
		{"CSeq method", "1 MESSAGE", "1 INVITE", 400},
		{"CSeq number", "1 MESSAGE", "x MESSAGE", 400},
		{"version", "SIP/2.0\r\nVia", "SIP/3.0\r\nVia", 505},
		{"header name", "Max-Forwards: 70", "Max Forwards: 70", 400},
		{"no To", "To: <sip:bob@example.test>\r\n", "", 400},
	} {
		p.send(strings.Replace(good, c.old, c.new, 1))
		if res := p.recv(); res.Status != c.want {
			t.Errorf("%s: got %d, want %d", c.name, res.Status, c.want)
		}
	}
	p.send(good)
	if res := p.recv(); res.Status != 200 {
		t.Errorf("afterwards: got %d", res.Status)
	}
}

func TestFramingLostCloses(t *testing.T) {
	for _, c := range []struct {
		name, msg string
		want      int
	}{
		{"bad length", strings.Replace(request("MESSAGE", "a", "b", "x", 1, "", ""), "Content-Length: 0", "Content-Length: -1", 1), 400},
		{"large body", strings.Replace(request("MESSAGE", "a", "b", "x", 1, "", ""), "Content-Length: 0", "Content-Length: 99999999", 1), 513},
		{"long head", strings.TrimSuffix(request("MESSAGE", "a", "b", "x", 1, "X: "+strings.Repeat("y", 70000)+"\r\n", ""), "\r\n"), 513},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t, Config{Handler: handlerFunc(ok)})
			p := dial(t, "tcp", listen(t, l, "tcp", nil))
			p.send(c.msg)
			if res := p.recv(); res.Status != c.want {
				t.Errorf("got %d, want %d", res.Status, c.want)
			}
			p.closed()
		})
	}
}

func TestSlowlorisAndSilence(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok), First: 100 * time.Millisecond, Handshake: 100 * time.Millisecond})
	for _, c := range []struct{ name, network, say string }{
		{"silent tcp", "tcp", ""}, {"silent tls", "tls", ""}, {"silent ws", "ws", ""},
		{"half a message", "tcp", "MESSAGE sip:bob@example.test SIP/2.0\r\nVia: SIP"},
		{"half after a whole one", "tcp", request("MESSAGE", "a", "b", "1", 1, "", "") + "MESSAGE sip:"},
		{"a stranger's whole one", "tcp", request("MESSAGE", "a", "b", "1", 1, "", "")},
	} {
		p := dial(t, "tcp", listen(t, l, c.network, serverTLS(t)))
		p.send(c.say)
		p.closed()
	}
	l = start(t, Config{First: 100 * time.Millisecond, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		tx.Conn().Trust()
		ok(ctx, tx)
	})})
	p := dial(t, "tcp", listen(t, l, "tcp", nil)) // signed in, then silence: stays
	p.send(request("MESSAGE", "a", "b", "1", 1, "", ""))
	p.recv()
	p.nc.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := p.br.ReadByte(); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("an idle connection ended: %v", err)
	}
}

func TestBudgetOfStrangers(t *testing.T) {
	var trust atomic.Bool
	l := start(t, Config{Budget: 4000, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		if trust.Load() {
			tx.Conn().Trust()
		}
		ok(ctx, tx)
	})})
	addr := listen(t, l, "tcp", nil)
	flood := func() *peer {
		p := dial(t, "tcp", addr)
		for i := range 40 {
			if _, err := io.WriteString(p.nc, request("OPTIONS", "a", "b", fmt.Sprint(i), i+1, "", "")); err != nil {
				break
			}
		}
		return p
	}
	flood().closed()
	trust.Store(true)
	p := flood()
	for range 40 {
		p.recv()
	}
}

func TestSlowReaderIsDropped(t *testing.T) {
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			conns := make(chan *Conn, 2)
			l := start(t, Config{Queue: 64 << 10, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
				ok(ctx, tx)
				conns <- tx.Conn()
			})})
			addr := listen(t, l, network, serverTLS(t))
			p := dial(t, network, addr)
			p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
			slow := <-conns
			q := dial(t, network, addr)
			q.send(request("MESSAGE", "carol", "bob", "x", 1, "", ""))
			brisk := <-conns
			m := func() *sip.Message {
				m := sip.NewRequest("BENOTIFY", "sip:alice@example.test")
				m.Body = bytes.Repeat([]byte("x"), 10000)
				return m
			}
			for n := 0; !slow.Closed(); n++ {
				if l.Send(slow, m()); n > 10000 {
					t.Fatal("a peer that reads nothing stays")
				}
			}
			await(t, "it is counted", func() bool { return l.Stats().SlowReaders > 0 })
			if !regexp.MustCompile(`^slow reader, [1-9]\d* bytes waiting: .*does not read`).MatchString(slow.Reason()) || l.Stats().SlowBy[queueFull] != 1 {
				t.Errorf("reason %q", slow.Reason())
			}
			q.recv()
			for range 50 {
				l.Send(brisk, m())
				q.recv()
			}
		})
	}
}

func TestBacklogIsDelivered(t *testing.T) {
	conns := make(chan *Conn, 1)
	l := start(t, Config{Queue: 64 << 20, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) { conns <- tx.Conn() })})
	p := dial(t, "tls", listen(t, l, "tls", serverTLS(t)))
	p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
	c := <-conns
	const n = 2000
	for i := range n {
		m := sip.NewRequest("BENOTIFY", "sip:alice@example.test")
		m.Add("CSeq", fmt.Sprintf("%d BENOTIFY", i))
		m.Body = bytes.Repeat([]byte("x"), 8000)
		if err := l.Send(c, m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := p.recv().Get("CSeq"); got != fmt.Sprintf("%d BENOTIFY", i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
}

func TestCertificateSwap(t *testing.T) {
	var now atomic.Pointer[tls.Certificate]
	set := func(name string) { c := cert(t, name); now.Store(&c) }
	set("old.example.test")
	l := start(t, Config{Handler: handlerFunc(ok)})
	addr := listen(t, l, "tls", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return now.Load(), nil }})
	p := dial(t, "tls", addr)
	set("new.example.test")
	q := dial(t, "tls", addr)
	name := func(p *peer) string { return p.nc.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName }
	if name(p) != "old.example.test" || name(q) != "new.example.test" {
		t.Errorf("certificates %s, %s", name(p), name(q))
	}
	for _, x := range []*peer{p, q} {
		x.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
		if res := x.recv(); res.Status != 200 {
			t.Errorf("got %d", res.Status)
		}
	}
}

func TestOverload(t *testing.T) {
	release := make(chan struct{})
	l := start(t, Config{InWork: 1, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		if tx.Conn().Trust(); tx.Req().Method != "OPTIONS" {
			<-release
		}
		ok(ctx, tx)
	})})
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	addr := listen(t, l, "tcp", nil)
	known := func(who string) *peer {
		p := dial(t, "tcp", addr)
		p.send(request("OPTIONS", who, "bob", "o", 1, "", ""))
		p.recv()
		await(t, "it is done", func() bool { return l.Stats().InWork == 0 })
		return p
	}
	p, q := known("alice"), known("carol")
	p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
	await(t, "the handler runs", func() bool { return l.Stats().InWork == 1 })
	q.send(request("SUBSCRIBE", "carol", "bob", "x", 1, "", ""))
	if res := q.recv(); res.Status != 503 || res.Get("Retry-After") == "" || l.Stats().Overload != 1 {
		t.Errorf("got %s", res)
	}
	q.send(strings.Replace(request("BYE", "carol", "bob", "y", 2, "", ""), "To: <sip:bob@example.test>", "To: <sip:bob@example.test>;tag=t", 1))
	await(t, "a request within a dialog comes in", func() bool { return l.Stats().InWork == 2 })
	let()
	for _, x := range []*peer{p, q} {
		if res := x.recv(); res.Status != 200 {
			t.Errorf("got %d", res.Status)
		}
	}
}

func TestSlowUserDelaysNobodyElse(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			release := make(chan struct{})
			l := start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
				if n, _, _ := tx.Req().CSeq(); n == 2 {
					<-release
				}
				ok(ctx, tx)
			})})
			p := dial(t, network, listen(t, l, network, nil))
			next := func(user string, n int) {
				p.send(request("MESSAGE", user, "bob", fmt.Sprint(user, n), n, "", ""))
			}
			next("alice", 1)
			p.recv()
			next("carol", 1)
			p.recv()
			next("alice", 2)
			next("alice", 3)
			next("carol", 4)
			if n, _, _ := p.recv().CSeq(); n != 4 {
				t.Errorf("carol's message waits: got the answer to %d", n)
			}
			close(release)
			for _, want := range []uint32{2, 3} {
				if n, _, _ := p.recv().CSeq(); n != want {
					t.Errorf("got %d, want %d", n, want)
				}
			}
		})
	}
}

func TestUDPRetransmissionAbsorbed(t *testing.T) {
	var calls atomic.Int64
	l := start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) { calls.Add(1); ok(ctx, tx) })})
	p := dial(t, "udp", listen(t, l, "udp", nil))
	msg := strings.Replace(request("MESSAGE", "alice", "bob", "x", 1, "", ""), "127.0.0.1", "10.9.8.7;rport", 1)
	p.send(msg)
	first := p.recv()
	if v := first.Get("Via"); !strings.Contains(v, ";received=127.0.0.1") || !strings.Contains(v, ";rport=") {
		t.Errorf("Via %q lacks the source", v)
	}
	for range 3 {
		p.send(msg)
		if again := p.recv(); again.String() != first.String() {
			t.Errorf("another answer:\n%s\n%s", first, again)
		}
	}
	if calls.Load() != 1 || l.Stats().Absorbed != 3 {
		t.Errorf("%d calls, %d absorbed", calls.Load(), l.Stats().Absorbed)
	}
}

func TestUDPClientRepeatsAndGivesUp(t *testing.T) {
	conns := make(chan *Conn, 1)
	l := start(t, Config{Timers: quickTimers(), Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) { ok(ctx, tx); conns <- tx.Conn() })})
	p := dial(t, "udp", listen(t, l, "udp", nil))
	p.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
	p.recv()
	req := sip.NewRequest("NOTIFY", "sip:alice@example.test")
	req.Add("CSeq", "1 NOTIFY")
	done := make(chan error, 1)
	l.Request(<-conns, req, func(res *sip.Message, err error) { done <- err })
	branch := p.recv().Get("Via")
	for range 3 {
		if again := p.recv().Get("Via"); again != branch {
			t.Errorf("retransmission with Via %q, want %q", again, branch)
		}
	}
	if err := <-done; !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
}

func TestClientFailsWithItsConnection(t *testing.T) {
	conns := make(chan *Conn, 1)
	l := start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) { ok(ctx, tx); conns <- tx.Conn() })})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	p.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
	c := <-conns
	closed := make(chan struct{})
	c.OnClose(func() { close(closed) })
	done := make(chan error, 1)
	req := sip.NewRequest("NOTIFY", "sip:alice@example.test")
	req.Add("CSeq", "1 NOTIFY")
	l.Request(c, req, func(res *sip.Message, err error) { done <- err })
	p.recv()
	p.recv()
	p.nc.Close()
	if err := <-done; !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	<-closed
	if l.Conn(c.ID()) != nil || l.Send(c, sip.NewRequest("INFO", "sip:x@y")) == nil {
		t.Error("the connection can still be found or used")
	}
}

func TestClientEndsTogetherWithFIN(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	addr := listen(t, l, "tcp", nil)
	for range 50 { // data and FIN may arrive as one event
		p := dial(t, "tcp", addr)
		p.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
		p.nc.(*net.TCPConn).CloseWrite()
		p.recv()
		p.closed()
	}
	await(t, "every connection is gone", func() bool { return l.Stats().Connections[1] == 0 })
}

func TestInviteRepeatsUntilAcked(t *testing.T) {
	l := start(t, Config{Timers: quickTimers(), Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
		if tx.Req().Method == "INVITE" {
			tx.Respond(sip.NewResponse(tx.Req(), 486, ""))
		}
	})})
	p := dial(t, "udp", listen(t, l, "udp", nil))
	p.send(request("INVITE", "alice", "bob", "x", 1, "", ""))
	for range 3 {
		if res := p.recv(); res.Status != 486 {
			t.Fatalf("got %d", res.Status)
		}
	}
	p.send(request("ACK", "alice", "bob", "x", 1, "", ""))
	await(t, "the transaction ends", func() bool {
		for _, c := range l.conns.all() {
			c.tmu.Lock()
			n := len(c.servers)
			c.tmu.Unlock()
			if n > 0 {
				return false
			}
		}
		return true
	})
}

func TestCancel(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
		if tx.Req().Method == "INVITE" {
			tx.OnCancel(func() { tx.Respond(sip.NewResponse(tx.Req(), 487, "")) })
			tx.Respond(sip.NewResponse(tx.Req(), 180, ""))
		}
	})})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	for i, branch := range []string{"x", ""} {
		p.send(request("INVITE", "alice", "bob", branch, i+1, "", ""))
		p.recv()
		p.send(request("CANCEL", "alice", "bob", branch, i+1, "", ""))
		if a, b := p.recv(), p.recv(); a.Status != 200 || b.Status != 487 {
			t.Errorf("branch %q: got %d, %d", branch, a.Status, b.Status)
		}
		p.send(request("ACK", "alice", "bob", branch, i+1, "", ""))
	}
	p.send(request("CANCEL", "alice", "bob", "other", 9, "", ""))
	if res := p.recv(); res.Status != 481 {
		t.Errorf("CANCEL of nothing: got %d", res.Status)
	}
}

// countSigner numbers the messages.
type countSigner struct{ n int }

func (s *countSigner) Sign(m *sip.Message) { s.n++; m.Set("X-Sign", fmt.Sprint(s.n)) }

func TestSignerSeesTheOrderOfSending(t *testing.T) {
	conns := make(chan *Conn, 1)
	l := start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		tx.Conn().SetSigner(&countSigner{})
		ok(ctx, tx)
		conns <- tx.Conn()
	})})
	p := dial(t, "tls", listen(t, l, "tls", serverTLS(t)))
	p.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
	c := <-conns
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l.Send(c, sip.NewRequest("BENOTIFY", "sip:a@b"))
			}
		})
	}
	for i := 1; i <= 801; i++ {
		if got := p.recv().Get("X-Sign"); got != fmt.Sprint(i) {
			t.Fatalf("message %d has number %s", i, got)
		}
	}
	wg.Wait()
}

func TestPerSourceLimit(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok), PerSource: 2})
	addr := listen(t, l, "tcp", nil)
	p := dial(t, "tcp", addr)
	dial(t, "tcp", addr)
	await(t, "two connections", func() bool { return l.Stats().Connections[1] == 2 })
	dial(t, "tcp", addr).closed()
	p.nc.Close()
	await(t, "one connection", func() bool { return l.Stats().Connections[1] == 1 })
	q := dial(t, "tcp", addr)
	q.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
	q.recv()
	for _, c := range l.conns.all() {
		c.Trust() // those who have signed in do not count
	}
	for range 2 {
		q := dial(t, "tcp", addr)
		q.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
		q.recv()
	}
	dial(t, "tcp", addr).closed()
}

func TestConnectionLimit(t *testing.T) {
	l := start(t, Config{Connections: 2, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		tx.Conn().Trust()
		ok(ctx, tx)
	})})
	addr := listen(t, l, "tcp", nil)
	ask := func() *peer {
		p := dial(t, "tcp", addr)
		p.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
		return p
	}
	p := ask()
	p.recv()
	ask().recv()
	ask().closed()
	p.nc.Close()
	await(t, "one connection", func() bool { return l.Stats().Connections[1] == 1 })
	ask().recv()
}

func TestWebSocket(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	for _, network := range []string{"ws", "wss"} {
		t.Run(network, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			addr := listen(t, l, network, serverTLS(t))
			url := network + "://" + addr + "/"
			hc := insecureClient()
			defer hc.CloseIdleConnections()
			ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPClient: hc})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			for i := 1; i <= 3; i++ {
				body := strings.Repeat("x", []int{0, 10, 1000, 70000}[i])
				ws.Write(ctx, websocket.MessageText, []byte(request("MESSAGE", "alice", "bob", fmt.Sprint(i), i, "", body)))
				_, b, err := ws.Read(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if m, err := sip.Parse(b); err != nil || m.Status != 200 {
					t.Errorf("got %q, %v", b, err)
				}
			}
			go ws.Read(ctx)
			if err := ws.Ping(ctx); err != nil {
				t.Errorf("ping: %v", err)
			}
			if _, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: hc}); err == nil {
				t.Error("an upgrade without the sip sub-protocol succeeds")
			}
		})
	}
}

func TestCloseLetsWorkFinish(t *testing.T) {
	l := New(Config{Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
		tx.Uncork()
		await(t, "stopping", tx.Conn().layer.closing.Load)
		tx.Respond(sip.NewResponse(tx.Req(), 200, ""))
	})})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
	await(t, "the handler runs", func() bool { return l.Stats().InWork == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if res := p.recv(); res.Status != 200 {
		t.Errorf("got %d", res.Status)
	}
	p.closed()
}

func TestDial(t *testing.T) {
	a := start(t, Config{Handler: handlerFunc(ok)})
	b := start(t, Config{Handler: handlerFunc(ok)})
	for _, network := range []string{"tcp", "tls"} {
		c, err := b.Dial(context.Background(), network, listen(t, a, network, serverTLS(t)), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		req := sip.NewRequest("OPTIONS", "sip:example.test")
		for _, h := range [][2]string{{"From", "<sip:b>;tag=1"}, {"To", "<sip:a>"}, {"Call-ID", "x"}, {"CSeq", "1 OPTIONS"}} {
			req.Add(h[0], h[1])
		}
		done := make(chan int, 1)
		b.Request(c, req, func(res *sip.Message, err error) { done <- res.Status })
		if got := <-done; got != 200 {
			t.Errorf("%s: got %d", network, got)
		}
	}
}

func TestAnswerThenClose(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		ok(ctx, tx)
		tx.Conn().Close("enough")
	})})
	for _, network := range []string{"tcp", "tls"} {
		p := dial(t, network, listen(t, l, network, serverTLS(t)))
		p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
		if res := p.recv(); res.Status != 200 {
			t.Errorf("got %d", res.Status)
		}
		p.closed()
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		if n, _, _ := tx.Req().CSeq(); n == 1 {
			panic("a mistake")
		}
		ok(ctx, tx)
	})})
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	for i, want := range []int{500, 200} {
		p.send(request("MESSAGE", "alice", "bob", fmt.Sprint(i), i+1, "", ""))
		if res := p.recv(); res.Status != want {
			t.Errorf("got %d, want %d", res.Status, want)
		}
	}
}

func TestUDPAnswerTooLong(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(func(_ context.Context, tx *ServerTx) {
		res := sip.NewResponse(tx.Req(), 200, "")
		res.Body = make([]byte, 70000)
		tx.Respond(res)
	})})
	p := dial(t, "udp", listen(t, l, "udp", nil))
	p.send(request("OPTIONS", "alice", "bob", "x", 1, "", ""))
	if res := p.recv(); res.Status != 513 {
		t.Errorf("got %d, want 513", res.Status)
	}
}

func TestForgedAddressesPushEachOtherOut(t *testing.T) {
	l := start(t, Config{UDPPeers: 3, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		if strings.Contains(tx.Req().Get("From"), "alice") {
			tx.Conn().Trust()
		}
		ok(ctx, tx)
	})})
	addr := listen(t, l, "udp", nil)
	alice := dial(t, "udp", addr)
	alice.send(request("REGISTER", "alice", "alice", "r", 1, "", ""))
	alice.recv()
	id := l.conns.all()[0].ID()
	for i := range 20 {
		p := dial(t, "udp", addr)
		p.send(request("OPTIONS", "eve", "bob", fmt.Sprint(i), 1, "", ""))
		p.recv()
	}
	if l.Conn(id) == nil || l.Stats().Connections[0] != 3 {
		t.Errorf("alice is gone or %d addresses are remembered", l.Stats().Connections[0])
	}
}
