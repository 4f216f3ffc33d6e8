package backstore

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/metric"
	"trivet/rule/groupstate"
	"trivet/store/backend"
	"trivet/test/peer/postgres"
	"trivet/uc"
)

// group is a routing group of one server.
type group struct {
	state *groupstate.State
	index uint64
	term  uint64
	away  bool // another server is the primary
	seen  []*Service
}

func (g *group) ID() uc.GroupID          { return 1 }
func (g *group) Primary() (uint64, bool) { return g.term, !g.away }
func (g *group) View(_ context.Context, f func(uint64, *groupstate.State)) error {
	if g.away {
		return fault.New(fault.NotPrimary, "test", "another server is")
	}
	f(g.index, g.state)
	return nil
}

func (g *group) do(t *testing.T, cmd groupstate.Command) {
	t.Helper()
	g.index++
	r, events := g.state.Apply(g.index, groupstate.Encode(cmd))
	if err := groupstate.Refused(r); err != nil {
		t.Fatal(err)
	}
	for _, s := range g.seen {
		s.Observe(1, g.index, events)
	}
}

// flaky is a Back End that can be away, and counts.
type flaky struct {
	*backend.Store
	away    bool
	batches []backend.Batch
}

func (f *flaky) Put(ctx context.Context, b backend.Batch) error {
	if f.away {
		return fault.New(fault.Unavailable, "test", "away")
	}
	f.batches = append(f.batches, b)
	return f.Store.Put(ctx, b)
}

func service(to Copies, g *group) *Service {
	s := New(Config{Copies: to, Groups: []Group{g}, Clock: clock.Real{}, Metrics: metric.New(), Log: slog.New(slog.DiscardHandler)})
	g.seen = append(g.seen, s)
	return s
}

// same compares the copy with the group.
func same(t *testing.T, to *flaky, g *group) {
	t.Helper()
	users, pos, err := to.Load(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(users) != g.state.Len() || pos.Index != g.index {
		t.Fatalf("the copy has %d users at %d, the group %d at %d", len(users), pos.Index, g.state.Len(), g.index)
	}
	for _, u := range users {
		if !bytes.Equal(u.Data, g.state.User(u.User).Record().Export()) {
			t.Errorf("%s is another in the copy", u.User)
		}
	}
}

func name(i int) uc.UserURI { return uc.UserURI(fmt.Sprintf("sip:u%d@example.test", i)) }

func TestTheCopyFollows(t *testing.T) {
	t.Parallel()
	server := postgres.New(t)
	store, err := backend.Open(backend.Config{Pool: "pool1.example.test", Primary: server.Addr(), User: "rtc", PassFile: postgres.Credentials(t, server), CA: server.CA()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Install(t.Context(), postgres.Password); err != nil {
		t.Fatal(err)
	}
	to, g := &flaky{Store: store}, &group{state: groupstate.New(), term: 2}
	s := service(to, g)
	for i := range 1200 {
		g.do(t, &groupstate.EnableUser{User: name(i), Now: 1})
	}
	s.round(t.Context())
	same(t, to, g)
	if len(to.batches) != 3 {
		t.Errorf("1,200 users in %d batches", len(to.batches))
	}

	g.do(t, &groupstate.SetContact{User: name(1), Max: 10, Contact: groupstate.Contact{URI: "sip:bob@example.test"}})
	g.do(t, &groupstate.RemoveUser{User: name(2)})
	s.round(t.Context())
	same(t, to, g)
	if b := to.batches[3]; len(b.Users) != 1 || len(b.Gone) != 1 {
		t.Errorf("one change and one removal: %d written, %d removed", len(b.Users), len(b.Gone))
	}
	away(t, s, to, g)
	moved(t, s, to, g)
}

// away: while the Back End is, changes are gathered, and it is told since when.
func away(t *testing.T, s *Service, to *flaky, g *group) {
	to.away = true
	g.do(t, &groupstate.RenameUser{User: name(3), To: "sip:new@example.test"})
	s.round(t.Context())
	since, gone := s.Unavailable()
	if st := s.Status(); !gone || time.Since(since) > time.Minute || len(st) != 1 || st[0].Waiting != 2 {
		t.Errorf("away since %v %v: %+v", since, gone, st)
	}
	to.away = false
	s.round(t.Context())
	same(t, to, g)
	if _, gone := s.Unavailable(); gone {
		t.Error("it is back, and counts as away")
	}
	to.away = true
	for i := range maxChanged + 1 { // more than is remembered
		s.Observe(1, g.index, []any{groupstate.UserEnabled{User: name(10_000 + i)}})
	}
	g.do(t, &groupstate.DisableUser{User: name(4)})
	if st := s.Status(); !st[0].Whole || st[0].Waiting > maxChanged {
		t.Errorf("after an overflow: %+v", st)
	}
	to.away = false
	s.round(t.Context())
	same(t, to, g)
}

// moved: a new primary goes on from the position in the database when it has seen all
// since, and copies the group when it has not.
func moved(t *testing.T, old *Service, to *flaky, g *group) {
	second := service(to, g)
	g.do(t, &groupstate.DisableUser{User: name(5)})
	old.round(t.Context())
	g.do(t, &groupstate.DisableUser{User: name(6)}) // the old one does not get to this
	g.term, to.batches = 3, nil
	second.round(t.Context())
	same(t, to, g)
	if len(to.batches) != 1 || len(to.batches[0].Users) != 1 {
		t.Errorf("a primary that has seen everything wrote %d batches", len(to.batches))
	}
	g.seen = nil
	g.do(t, &groupstate.DisableUser{User: name(7)})
	g.term = 4
	third := service(to, g)
	third.round(t.Context())
	same(t, to, g)
	g.term = 3 // the second still believes to be the primary
	g.seen = []*Service{second}
	g.do(t, &groupstate.DisableUser{User: name(8)})
	second.round(t.Context())
	if _, pos, err := to.Load(t.Context(), 1); err != nil || pos.Term != 4 {
		t.Errorf("an old primary wrote over the new one's copy: %v %v", pos, err)
	}
}
