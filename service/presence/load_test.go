package presence

import (
	"strconv"
	"sync"
	"testing"

	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

func endpointID(i int) uc.EndpointID { return uc.EndpointID(strconv.Itoa(i)) }

// choose has alice choose a status.
func (s *server) choose(n int) {
	items := userState(n, 0)
	cmd := &groupstate.Publish{User: alice, Endpoint: "elsewhere", Now: s.clock.Now().UnixMilli()}
	for _, p := range items {
		cmd.Items = append(cmd.Items, groupstate.PublishItem{PublicationKey: groupstate.PublicationKey{Category: p.Category, Container: p.Container, Instance: p.Instance}, Version: groupstate.AnyVersion, Body: p.Body})
	}
	s.propose(cmd)
}

// newest reads what was sent in a dialog behind its answer and returns the
// availability told last.
func (e *endpoint) newest(call string, answered int) int {
	e.t.Helper()
	e.idle()
	e.side = nil // before the answer
	sipagent.Status(e.t, e.ask("SERVICE", e.user, "q", "<bad", "Content-Type: "+presdoc.TypePublish), 400)
	last := answered
	for _, m := range e.side {
		if n := availability(e.t, categoriesOf(e.t, m)); m.CallID() == call && n >= 0 {
			last = n
		}
	}
	e.side = nil
	return last
}

// TestChangesAreMerged stops a worker while a thousand changes happen: what waits
// is one change, and the last state is told.
func TestChangesAreMerged(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	a.self()
	sipagent.Status(t, b.batch("w", alice), 200)
	s.cards.Lock()
	if err := s.s.Refresh(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	waiting := func() (n int) {
		for i := range s.s.lanes {
			s.s.lanes[i].mu.Lock()
			n += len(s.s.lanes[i].order)
			s.s.lanes[i].mu.Unlock()
		}
		return n
	}
	sipagent.Await(s.t, "a worker that waits for the directory", func() bool { return waiting() == 0 })
	for i := range 1000 {
		s.choose(6001 + i)
		if i%100 == 0 {
			s.propose(&groupstate.SetContainers{User: alice, Changes: []groupstate.ContainerChange{{ID: 300, Version: uint32(i / 100),
				Members: []groupstate.MemberChange{{Remove: i%200 == 100, Member: access.Member{Type: access.User, Value: carol.Bare()}}}}}})
		}
	}
	if n := waiting(); n != 1 {
		t.Errorf("%d changes wait", n)
	}
	s.cards.Unlock()
	s.g.mu.Lock()
	version := s.g.state.User(alice).Container(300).Version
	s.g.mu.Unlock()
	if n := b.newest("w", 0); n != 7000 {
		t.Errorf("the watcher ends with %d", n)
	}
	sipagent.Status(t, a.ask("SERVICE", alice, "q", "<bad", "Content-Type: "+presdoc.TypePublish), 400)
	if len(a.side) != 2 { // the card, and everything else at once
		t.Fatalf("%d notifications", len(a.side))
	}
	if doc := roamingOf(t, a.side[1]); availability(t, *doc.Categories) != 7000 || len(doc.Containers) != 1 || doc.Containers[0].Version != version {
		t.Errorf("%+v", doc)
	}
}

// TestNotificationsWaitForTheAnswer has a change told to everybody between the look
// at the state and the answer made of it: it must come behind the older answer.
func TestNotificationsWaitForTheAnswer(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	s.choose(6001)
	meanwhile := func(looks, n int) { s.g.after(looks, func() { s.choose(n); s.idle() }) }
	behind := func(e *endpoint) *sip.Message {
		t.Helper()
		if len(e.side) > 0 {
			t.Fatalf("before the answer: %s", e.side[0])
		}
		return e.notified()
	}
	for i, what := range []string{"a new dialog", "a known dialog"} {
		meanwhile(2, 6002+i)
		before := availability(t, categoriesOf(t, sipagent.Status(t, b.batch("w", alice), 200)))
		after := availability(t, categoriesOf(t, behind(b)))
		if before != 6001+i || after != 6002+i {
			t.Errorf("%s: %d, then %d", what, before, after)
		}
	}
	meanwhile(2, 6004)
	before := availability(t, *a.self().Categories)
	after := availability(t, *roamingOf(t, behind(a)).Categories)
	if before != 6003 || after != 6004 {
		t.Errorf("own presence: %d, then %d", before, after)
	}
	meanwhile(1, 6005)
	sipagent.Status(t, a.publish(noteIn(200, 0, "x")), 200)
	if after := availability(t, *roamingOf(t, behind(a)).Categories); after != 6005 {
		t.Errorf("publication: then %d", after)
	}
}

// TestSubscribingWhilePublishing: whatever the order in which answers, changes and
// workers meet, every watcher ends with the newest state.
func TestSubscribingWhilePublishing(t *testing.T) {
	s := start(t, Policy{})
	s.endpoint(alice, "a1")
	b := [...]*endpoint{s.endpoint(bob, "b1"), s.endpoint(bob, "b2"), s.endpoint(carol, "c1")}
	number := 6000
	for round := range 150 {
		call := "w" + strconv.Itoa(round%3) // new and known dialogs
		var publishing sync.WaitGroup
		from := number
		publishing.Go(func() {
			for i := range 5 {
				s.choose(from + i)
			}
		})
		number += 5
		if number > 11000 {
			number = 6000
		}
		last := [len(b)]int{}
		var asking sync.WaitGroup
		for i, e := range b {
			asking.Go(func() {
				res := e.batch(call, alice)
				last[i] = availability(t, categoriesOf(t, res))
				if round%4 == 3 && res.Status == 200 {
					last[i] = availability(t, categoriesOf(t, e.batch(call, alice)))
				}
			})
		}
		asking.Wait()
		publishing.Wait()
		for i, e := range b {
			if n := e.newest(call, last[i]); n != from+4 {
				t.Fatalf("round %d: %s ends with %d, not %d", round, e.epid, n, from+4)
			}
		}
	}
}

// TestOwnVersionsWhilePublishing: two endpoints publish at once; after it each knows
// the versions that are current.
func TestOwnVersionsWhilePublishing(t *testing.T) {
	s := start(t, Policy{})
	b := [...]*endpoint{s.endpoint(alice, "a1"), s.endpoint(alice, "a2")}
	var known [len(b)]uint32
	learn := func(i int, m *sip.Message) {
		if doc, err := presdoc.ParseRoaming(m.Body); err == nil && doc.Categories != nil {
			for _, c := range doc.Categories.List {
				if c.Name == "note" && c.Container == 200 {
					known[i] = c.Version
				}
			}
		}
	}
	for i, e := range b {
		learn(i, sipagent.Status(t, e.ask("SUBSCRIBE", alice, "self", "", with(lync, "Event: "+eventSelf)...), 200))
	}
	for round := range 100 {
		var asking sync.WaitGroup
		for i, e := range b {
			asking.Go(func() {
				res := e.publish(noteIn(200, known[i], strconv.Itoa(round)))
				for _, m := range e.side { // before the answer
					learn(i, m)
				}
				e.side = nil
				if res.Status == 200 {
					learn(i, res)
				}
			})
		}
		asking.Wait()
		s.idle()
		for i, e := range b {
			sipagent.Status(t, e.ask("SERVICE", alice, "q", "<bad", "Content-Type: "+presdoc.TypePublish), 400)
			for _, m := range e.side {
				learn(i, m)
			}
			e.side = nil
		}
		if known[0] != known[1] {
			t.Fatalf("round %d: one endpoint knows version %d, the other %d", round, known[0], known[1])
		}
	}
}
