package conference

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/rule/siptxn"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// shout sends messages without waiting for an answer, and then a request whose answer
// says that all of them were handled. Nothing more can be said in that session.
func (g *peer) shout(n int, text string) {
	g.t.Helper()
	for i := range n {
		m := g.c.Request("MESSAGE", uc.UserURI(g.chat.target))
		m.RequestURI = g.chat.target
		m.Set("From", g.chat.from)
		m.Set("To", g.chat.to)
		m.Set("Call-ID", g.chat.id)
		m.Set("Contact", g.c.Contact())
		m.Set("Content-Type", "text/plain")
		m.Set("CSeq", fmt.Sprint(100_000+i, " MESSAGE"))
		m.Prepend("Via", fmt.Sprint("SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKs", words.Add(1)))
		m.Body = []byte(text)
		if err := g.c.Respond(m); err != nil { // it writes what it is given
			g.t.Fatal(err)
		}
	}
	g.do("OPTIONS", "sip:example.test", call{})
}

// inbound counts the messages with the method that have come so far.
func (g *peer) inbound(method string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.inbox {
		if m.Method == method {
			n++
		}
	}
	return n
}

// eventually waits for a condition.
func (w *world) eventually(what string, true func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !true(); <-tick.C {
		if time.Now().After(limit) {
			w.t.Fatal("in vain: ", what)
		}
	}
}

// TestFloodEndsNobodysPart: whoever sends without waiting is refused, and the others
// stay and go on talking.
func TestFloodEndsNobodysPart(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b, c := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1"), w.guest(carol, "c1").enter(focus)
	b.mute = true // it is slow, not gone
	b.enter(focus)
	const n = 1500
	c.shout(n, "x")
	if res := a.say("after"); res.Status != 202 {
		t.Fatal(res)
	}
	a.silent("BYE")
	b.silent("BYE")
	if got := a.inbound("MESSAGE"); got < window || got > n/2 {
		t.Errorf("%d of %d messages were passed on", got, n)
	}
	b.await("the message after the flood", func(m *sip.Message) bool { return string(m.Body) == "after" })
}

// TestOneAfterTheOther: whoever waits for each answer is never refused, not even while
// somebody does not answer.
func TestOneAfterTheOther(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1")
	b.mute = true
	b.enter(focus)
	begin := time.Now()
	for i := range window + 5 {
		if res := a.say(fmt.Sprint(i)); res.Status != 202 {
			t.Fatal(i, res)
		}
	}
	if d := time.Since(begin); d < 4*holdFor {
		t.Errorf("nothing braked: %v", d)
	}
	// Large messages are fewer.
	c := w.guest(carol, "c1").enter(focus)
	begin = time.Now()
	for range windowBytes/60_000 + 3 {
		if res := c.say(strings.Repeat("x", 60_000)); res.Status != 202 {
			t.Fatal(res)
		}
	}
	if d := time.Since(begin); d < holdFor {
		t.Errorf("large messages are not braked: %v", d)
	}
}

// TestBurstArrives: a burst of a size that people paste arrives, in order, even with a
// device that does not answer, and so does what is sent just before leaving. What is
// beyond the queue is refused.
func TestBurstArrives(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b, c := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus), w.guest(carol, "c1")
	b.shout(100, "x")
	for range 100 {
		a.hears("x")
	}
	c.mute = true
	c.enter(focus)
	d := w.guest(dave, "d1").enter(focus)
	d.shout(window+50, "y")
	d.do("BYE", "", d.ctl)
	for range window + 50 {
		a.hears("y")
	}
	f := w.s.running(place{alice, "M1"})
	f.mu.Lock()
	defer f.mu.Unlock()
	x := &seat{f: f, person: &person{user: dave}, brake: brake{queue: make([]*posted, queueLen)}}
	if err := f.post(x, &posted{}); !fault.Is(err, fault.Overload) {
		t.Error(err)
	}
	x.brake = brake{queue: make([]*posted, 1), queued: queueBytes}
	if err := f.post(x, &posted{said: said{body: []byte("x")}}); !fault.Is(err, fault.Overload) {
		t.Error(err)
	}
}

// TestNothingIsHeardOfWhoWasSentAway: what waits of somebody who is removed is refused.
func TestNothingIsHeardOfWhoWasSentAway(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b, c := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus), w.guest(carol, "c1")
	c.mute = true
	c.enter(focus)
	b.shout(window+100, "x")
	f := w.s.running(place{alice, "M1"})
	var x *seat
	f.do(func() { x = f.find(bob).seats[0]; f.expel(x.person, "rejected") })
	a.roster(bob, false)
	f.mu.Lock()
	left := len(x.brake.queue)
	f.mu.Unlock()
	if got := a.inbound("MESSAGE"); left != 0 || got >= window+100 {
		t.Errorf("%d messages were passed on, %d wait", got, left)
	}
}

// TestMessagesOwedAreBounded: a device that owes too many answers gets no more, and
// who writes is told.
func TestMessagesOwedAreBounded(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus)
	f := w.s.running(place{alice, "M1"})
	f.do(func() { f.seat(bob, w.endpoint(f, bob)).chat.owes.waiting = maxWaiting })
	a.say("hello")
	m := a.await("a report", func(m *sip.Message) bool { return m.ContentType() == cccp.TypeReport })
	if r, err := cccp.ParseReport(m.Body); err != nil || cmp.Diff([]cccp.Recipient{{URI: string(bob), Status: 503}}, r.Recipients) != "" {
		t.Fatalf("%v\n%s", err, m)
	}
	b.silent("MESSAGE")
	b.silent("BYE")
}

// endpoint is the only endpoint of a user.
func (w *world) endpoint(f *focus, user uc.UserURI) uc.EndpointID {
	return f.find(user).seats[0].endpoint
}

func TestTypingIsBraked(t *testing.T) {
	var b brake
	now, passed := time.Unix(1000, 0), 0
	for range 100 {
		if b.types(now) {
			passed++
		}
	}
	if passed != typingBurst || !b.types(now.Add(typingEvery)) || b.types(now.Add(typingEvery)) {
		t.Errorf("%d at once", passed)
	}
}

// TestNobodySendsForOthers: whoever finds more to send than the own leaves it to a
// goroutine.
func TestNobodySendsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := life.New(context.Background(), log.Discard())
		s := New(Config{Groups: away{}, Life: g, Policies: &decided{*policy.ConferencingPolicy.Default(), *policy.UserServicesConfiguration.Default()}})
		f := s.open(place{alice, "M1"}, &groupstate.Conference{ID: "M1"})
		free := make(chan struct{})
		sent := []int{}
		f.do(func() {
			f.later(func() {
				f.do(func() { f.later(func() { <-free; sent = append(sent, 2) }) })
				sent = append(sent, 1)
			})
		})
		if d := cmp.Diff([]int{1}, sent); d != "" {
			t.Error(d)
		}
		f.do(func() { f.later(func() { sent = append(sent, 3) }) }) // does not wait for 2
		close(free)
		synctest.Wait()
		if d := cmp.Diff([]int{1, 2, 3}, sent); d != "" {
			t.Error(d)
		}
		f.do(f.end)
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestHistoryIsBounded by time without anybody joining, by bytes and by what all
// conferences keep; nothing is kept of a conference that is over.
func TestHistoryIsBounded(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{MessageAnswer: time.Second, Timers: siptxn.From(2 * time.Millisecond)})
	focus := w.conference()
	a := w.guest(alice, "a1").enter(focus)
	f := w.s.running(place{alice, "M1"})
	kept := func() (n, bytes int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.history), f.historySize
	}
	for range 8 {
		a.say(strings.Repeat("x", 60_000))
	}
	if n, bytes := kept(); n != 4 || bytes > historyBytes || w.s.remembered.Load() != int64(bytes) {
		t.Errorf("%d messages, %d bytes, %d in all", n, bytes, w.s.remembered.Load())
	}
	w.clock.ahead.Store(int64(historyTime + time.Second))
	w.s.tidy()
	if n, bytes := kept(); n != 0 || bytes != 0 || w.s.remembered.Load() != 0 {
		t.Errorf("%d messages, %d bytes, %d in all are left", n, bytes, w.s.remembered.Load())
	}
	w.s.remembered.Store(historyAll)
	if res := a.say("x"); res.Status != 202 {
		t.Error(res)
	}
	if n, _ := kept(); n != 0 {
		t.Error("it is kept although there is no room")
	}
	w.s.remembered.Store(0)
	a.say("y")
	a.do("BYE", "", a.ctl)
	w.empty()
	if n, _ := kept(); n != 0 || w.s.remembered.Load() != 0 {
		t.Errorf("%d messages of a conference that is over, %d bytes", n, w.s.remembered.Load())
	}
}

// TestConnectionsKeepNoSeats: one callback serves all the seats of a connection, and
// what has left is not kept.
func TestConnectionsKeepNoSeats(t *testing.T) {
	w := start(t, 20*time.Millisecond, siptrans.Config{})
	focus := w.conference()
	a := w.guest(alice, "a1")
	ties := func() (conns, seats int) {
		w.s.mu.Lock()
		defer w.s.mu.Unlock()
		for _, of := range w.s.ties {
			seats += len(of)
		}
		return len(w.s.ties), seats
	}
	for range 5 {
		a.enter(focus)
		if conns, seats := ties(); conns != 1 || seats != 1 {
			t.Errorf("joined: %d connections, %d seats", conns, seats)
		}
		a.do("BYE", "", a.ctl)
		if conns, seats := ties(); conns != 0 || seats != 0 {
			t.Errorf("left: %d connections, %d seats", conns, seats)
		}
	}
	a.enter(focus)
	a.c.Close()
	w.empty()
}
