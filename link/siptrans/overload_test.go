package siptrans

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trivet/rule/siptxn"
	"trivet/wire/sip"
)

// TestStuckUserOnSharedStream: alice's work stands still; the others of her stream
// wait laneWait at most, and she is told to come back.
func TestStuckUserOnSharedStream(t *testing.T) {
	l, _ := holding(t)
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	p.send(inDialog("INFO", "carol", 1))
	p.recv()
	const extra = 200
	begin := time.Now()
	for n := 1; n <= room+extra; n++ {
		p.send(inDialog("INFO", "alice", n))
	}
	p.send(inDialog("INFO", "carol", 2))
	refused := 0
	for {
		m := p.recv()
		if strings.Contains(m.Get("From"), "carol") {
			break
		}
		if m.Status != 503 || m.Get("Retry-After") == "" {
			t.Fatalf("alice is answered %s", m)
		}
		refused++
	}
	if took := time.Since(begin); took > 4*laneWait {
		t.Errorf("carol waited %v", took)
	}
	if refused != extra {
		t.Errorf("%d of alice's requests were refused, want %d", refused, extra)
	}
	await(t, "the refused ones are done", func() bool { s := l.Stats(); return s.InWork == room && s.Open == room })
}

// TestStrangersHaveABudgetOfTheirOwn: strangers of many names fill their part;
// who has signed in is served.
func TestStrangersHaveABudgetOfTheirOwn(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			release := make(chan struct{})
			l := start(t, Config{InWork: 1000, StrangerWork: 80, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
				if from := tx.Req().Get("From"); strings.Contains(from, "known") {
					tx.Conn().Trust()
				} else if strings.Contains(from, "eve") {
					<-release
				}
				ok(ctx, tx)
			})})
			t.Cleanup(sync.OnceFunc(func() { close(release) }))
			addr := listen(t, l, network, nil)
			u := dial(t, network, addr)
			u.send(request("OPTIONS", "known", "bob", "a", 1, "", ""))
			u.recv()
			x := dial(t, network, addr)
			x.send(request("OPTIONS", "mallory", "bob", "a", 1, "", "")) // not held, and then many names
			x.recv()
			refused := 0
			for n := range 300 {
				x.send(request("MESSAGE", fmt.Sprint("eve", n), "bob", fmt.Sprint("e", n), 1, "", ""))
				if n < 80/share {
					await(t, "it waits", func() bool { return l.Stats().Strangers == int64(n+1) })
					continue
				}
				if m := x.recv(); m.Status != 503 || m.Get("Retry-After") == "" {
					t.Fatalf("request %d: %s", n, m)
				}
				refused++
			}
			if s := l.Stats(); s.InWork != 80/share || s.Overload != uint64(refused) {
				t.Errorf("%d in work, %d refused", s.InWork, s.Overload)
			}
			u.send(request("MESSAGE", "known", "bob", "b", 2, "", ""))
			if m := u.recv(); m.Status != 200 {
				t.Errorf("who has signed in is answered %d", m.Status)
			}
		})
	}
}

// TestBytesOfStrangers: half-received messages of one source have a bound, the
// connections beyond it are closed, and what is complete is served.
func TestBytesOfStrangers(t *testing.T) {
	const bound = 1 << 20
	l := start(t, Config{StrangerHold: share * bound, Handler: handlerFunc(ok)})
	addr := listen(t, l, "tcp", nil)
	part := request("MESSAGE", "alice", "bob", "x", 1, "", strings.Repeat("x", 60000))[:40000]
	for range 60 {
		dial(t, "tcp", addr).send(part)
	}
	await(t, "some are closed", func() bool { return l.Stats().RejectedBy[overHold] > 0 })
	await(t, "all have been read", func() bool {
		s := l.Stats()
		return s.Connections[1]+int64(s.RejectedBy[overHold]) == 60 && s.Held > bound/2
	})
	if s := l.Stats(); s.Held > bound {
		t.Errorf("%d bytes are held", s.Held)
	}
	q := dial(t, "tcp", addr)
	q.send(request("OPTIONS", "carol", "bob", "x", 1, "", ""))
	if res := q.recv(); res.Status != 200 {
		t.Errorf("got %d", res.Status)
	}
	for _, c := range l.conns.all() {
		c.Close("the test is over")
	}
	await(t, "nothing is held", func() bool { return l.Stats().Held == 0 })
}

// TestLongHandshake: a hello that never ends is not read on; crypto/tls sees to it.
func TestLongHandshake(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	nc, err := net.Dial("tcp", listen(t, l, "tls", serverTLS(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	record := append([]byte{22, 3, 1, 0x40, 0}, make([]byte, 1<<14)...) // pieces of a hello of 16 MB
	copy(record[5:], []byte{1, 0xff, 0xff, 0xff})
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	for n := 0; ; n++ {
		if _, err := nc.Write(record); err != nil {
			break
		}
		if n > 1000 {
			t.Fatal("it is read on")
		}
	}
	await(t, "it is counted", func() bool { return l.Stats().RejectedBy[shakeFailed] == 1 })
}

// TestRetryAfterDiffers: each refusal names another time.
func TestRetryAfterDiffers(t *testing.T) {
	l := start(t, Config{})
	m, _ := sip.Parse([]byte(request("REGISTER", "a", "b", "x", 1, "", "")))
	seen := map[string]bool{}
	for range 200 {
		v := l.comeBack(m).Get("Retry-After")
		if n, err := strconv.Atoi(v); err != nil || n < 5 || n > 15 {
			t.Fatalf("Retry-After %q", v)
		}
		seen[v] = true
	}
	if len(seen) < 8 {
		t.Errorf("only %d different times", len(seen))
	}
}

// TestGateKeepsTheOrder: while the gate is shut, newcomers go in by arrival, those
// halfway in and those known go past.
func TestGateKeepsTheOrder(t *testing.T) {
	served := make(chan string, 10)
	l := start(t, Config{Timers: slowTimers(), Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		served <- uriOf(tx.Req().Get("From"))
		if strings.Contains(tx.Req().Get("From"), "known") {
			tx.Conn().Trust()
		}
		ok(ctx, tx)
	})})
	addr := listen(t, l, "tcp", nil)
	say := func(p *peer, who string, n int) { p.send(request("REGISTER", who, who, fmt.Sprint(n), n, "", "")) }
	known, half := dial(t, "tcp", addr), dial(t, "tcp", addr)
	say(known, "known", 1)
	known.recv()
	say(half, "half", 1)
	half.recv()
	<-served
	<-served
	l.gate.doors.Store(1000)
	l.gate.shut.Store(true)
	const many = 5
	for n := range many {
		say(dial(t, "tcp", addr), fmt.Sprint("new", n), 1)
		await(t, "it waits", func() bool { return l.Stats().AtGate == int64(n+1) })
	}
	say(known, "known", 2)
	known.recv()
	say(half, "half", 2)
	half.recv()
	<-served
	<-served
	for n := range many {
		l.gate.mu.Lock()
		turn := l.gate.queue[0]
		l.gate.queue = l.gate.queue[1:]
		l.gate.mu.Unlock()
		turn <- true
		if who := <-served; who != fmt.Sprintf("sip:new%d@example.test", n) {
			t.Errorf("%s is served as number %d", who, n)
		}
	}
}

// TestMessagesOvertakeNotifications: a peer that reads slowly owes hundreds of
// notifications when a message comes; the message is not behind them.
func TestMessagesOvertakeNotifications(t *testing.T) {
	conns := make(chan *Conn, 1)
	l := start(t, Config{Queue: 64 << 20, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) { conns <- tx.Conn() })})
	p := dial(t, "tls", listen(t, l, "tls", serverTLS(t)))
	p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
	c := <-conns
	send := func(method string, n int) {
		m := sip.NewRequest(method, "sip:alice@example.test")
		m.Add("CSeq", fmt.Sprintf("%d %s", n, method))
		m.Body = bytes.Repeat([]byte("x"), 8000)
		if err := l.Send(c, m); err != nil {
			t.Fatal(err)
		}
	}
	const many = 4000 // 32 MB, more than kernels take
	for n := range many {
		send("BENOTIFY", n)
	}
	send("MESSAGE", 1)
	before, next := -1, 0
	for n := 0; n <= many; n++ {
		m := p.recv()
		if m.Method == "MESSAGE" {
			before = n
			continue
		}
		if m.Get("CSeq") != fmt.Sprintf("%d BENOTIFY", next) {
			t.Fatalf("notification %d is %s", next, m.Get("CSeq"))
		}
		next++
	}
	t.Logf("%d of %d notifications came before the message", before, many)
	if before > many*3/4 || before < 0 { // what the kernels had taken
		t.Errorf("%d of %d notifications came before the message", before, many)
	}
	await(t, "nothing is owed", func() bool { return l.Stats().Owed == 0 })
}

// TestThousandSlowReaders: what all of them owe together is bounded, who reads is
// served, and nothing is owed when they are gone.
func TestThousandSlowReaders(t *testing.T) {
	const readers, bound = 300, 16 << 20
	var conns []*Conn
	seen := make(chan *Conn, 1)
	l := start(t, Config{OutputHold: bound, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) { seen <- tx.Conn() })})
	addr := listen(t, l, "tcp", nil)
	for range readers {
		p := dial(t, "tcp", addr)
		p.nc.(*net.TCPConn).SetReadBuffer(4 << 10)
		p.send(request("MESSAGE", "alice", "bob", "x", 1, "", ""))
		conns = append(conns, <-seen)
	}
	m := sip.NewRequest("BENOTIFY", "sip:alice@example.test")
	m.Body = bytes.Repeat([]byte("x"), 8000)
	most := int64(0)
	for range 150 { // 1.2 MB each
		for _, c := range conns {
			l.Send(c, m)
		}
		most = max(most, l.Stats().Owed)
	}
	s := l.Stats()
	t.Logf("%d bytes owed at most, slow readers dropped %v", most, s.SlowBy)
	if limit := int64(bound + readers*(modest+headSize+8000)); most > limit || s.SlowBy[crowdedOut] == 0 {
		t.Errorf("%d bytes owed at most, want %d; dropped %v", most, limit, s.SlowBy)
	}
	q := dial(t, "tcp", addr)
	q.send(request("MESSAGE", "carol", "bob", "x", 1, "", ""))
	l.Send(<-seen, m)
	q.recv()
	for _, c := range conns {
		c.Close("the test is over")
	}
	await(t, "nothing is owed", func() bool { return l.Stats().Owed == 0 })
}

// slowTimers keep the gate from being looked after in a test.
func slowTimers() siptxn.Timers {
	t := siptxn.Standard()
	t.T1 = time.Hour
	return t
}

// TestScheduleSeesTheQueue: goroutines that wait for a processor are counted, and
// so is the time they wait.
func TestScheduleSeesTheQueue(t *testing.T) {
	var s schedule
	s.read()
	var busy sync.WaitGroup
	var stop atomic.Bool
	for range 300 {
		busy.Go(func() {
			for !stop.Load() {
				runtime.Gosched()
			}
		})
	}
	await(t, "many wait", func() bool { late, waiting := s.read(); return waiting > 200 && late > 0 })
	stop.Store(true)
	busy.Wait()
	await(t, "few wait", func() bool { _, waiting := s.read(); return waiting < 50 })
}

// TestGateShuts: newcomers wait while many goroutines do, are let in all the same,
// one by one, and nobody waits when the processors are free.
func TestGateShuts(t *testing.T) {
	l := start(t, Config{Handler: handlerFunc(ok)})
	addr := listen(t, l, "tcp", nil)
	var busy sync.WaitGroup
	var stop atomic.Bool
	for range 100 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for !stop.Load() {
				runtime.Gosched()
			}
		})
	}
	await(t, "the gate is shut", l.gate.shut.Load)
	p := dial(t, "tcp", addr)
	p.send(request("REGISTER", "alice", "alice", "x", 1, "", ""))
	if res := p.recv(); res.Status != 200 {
		t.Errorf("got %d", res.Status)
	}
	stop.Store(true)
	busy.Wait()
	await(t, "the gate is open", func() bool { return !l.gate.shut.Load() })
}

// TestDoor: while the gate is shut, connections are taken in as it says; the others
// wait and are taken in later.
func TestDoor(t *testing.T) {
	l := start(t, Config{Timers: slowTimers(), Handler: handlerFunc(ok)})
	addr := listen(t, l, "tcp", nil)
	l.gate.doors.Store(3)
	l.gate.shut.Store(true)
	for range 10 {
		dial(t, "tcp", addr)
	}
	await(t, "three are in", func() bool { return l.Stats().Accepted[1] == 3 })
	await(t, "the next one waits", func() bool { return l.gate.doors.Load() < -3 })
	if n := l.Stats().Accepted[1]; n != 3 {
		t.Errorf("%d are in", n)
	}
	l.gate.shut.Store(false)
	await(t, "all are in", func() bool { return l.Stats().Accepted[1] == 10 })
}
