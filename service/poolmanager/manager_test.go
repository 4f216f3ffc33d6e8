package poolmanager

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"trivet/kit/clock"
	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// hands are those of a clock that a test turns.
type hands struct {
	clock.Real
	at time.Time
}

func (h *hands) Now() time.Time { return h.at }

// lab is a pool whose groups do at once what they are told, as far as they can.
type lab struct {
	t       *testing.T
	clock   *hands
	state   *poolstate.State
	names   []uc.ServerFQDN
	live    map[uc.ServerFQDN]bool
	is      map[uc.GroupID]replica.Members
	leader  map[uc.GroupID]uint64
	leads   bool
	changes int

	generations map[uc.GroupID]uint64
}

func newLab(t *testing.T, n int) *lab {
	l := &lab{t: t, clock: &hands{at: time.Unix(1000, 0)}, state: poolstate.New(), live: map[uc.ServerFQDN]bool{}, is: map[uc.GroupID]replica.Members{}, leader: map[uc.GroupID]uint64{}, leads: true}
	for i := 1; i <= n; i++ {
		l.names = append(l.names, uc.ServerFQDN(fmt.Sprintf("fe%d", i)))
	}
	return l
}

func (l *lab) State() *poolstate.Pool       { return l.state.Pool() }
func (l *lab) Leads() bool                  { return l.leads }
func (l *lab) RoutingGroups() int           { return 6 }
func (l *lab) Live(name uc.ServerFQDN) bool { return l.live[name] }
func (l *lab) Topology() poolstate.Open {
	o := poolstate.Open{ID: "p", Witness: true}
	for i, n := range l.names {
		o.Members = append(o.Members, poolstate.Member{FQDN: n, Domain: i + 1})
	}
	return o
}

func (l *lab) Propose(_ context.Context, c poolstate.Command) error {
	v, _ := l.state.Apply(1, poolstate.Encode(c))
	p, err := poolstate.Result(v, nil)
	if err == nil && len(l.is) == 0 { // the groups begin
		for _, g := range groups(p) {
			l.is[g] = want(p, g)
			l.leader[g] = voters(p, g)[0]
		}
	}
	return err
}

func (l *lab) Generation(g uc.GroupID) uint64 { return l.generations[g] }

func (l *lab) Membership(g uc.GroupID) (replica.Members, uint64, bool) {
	is, ok := l.is[g]
	return is, l.leader[g], ok
}

func (l *lab) Change(_ context.Context, g uc.GroupID, want replica.Members) error {
	for _, n := range want.Voters {
		if n != quorum.Witness && !slices.Contains(l.is[g].Voters, n) && !slices.Contains(l.is[g].Observers, n) {
			l.t.Errorf("group %d is to take %d as a voter, which has nothing", g, n)
		}
	}
	l.changes++
	l.is[g] = want
	return nil
}

func (l *lab) Handover(_ context.Context, g uc.GroupID, to uint64) error {
	l.leader[g] = to
	return nil
}

// lose has a server die: its groups are led by another voter.
func (l *lab) lose(name uc.ServerFQDN) {
	l.live[name] = false
	n := l.state.Pool().Server(name).Number
	for g, leader := range l.leader {
		if leader != n {
			continue
		}
		l.leader[g] = 0
		for _, v := range l.is[g].Voters {
			if s := l.state.Pool().ByNumber(v); s != nil && l.live[s.FQDN] {
				l.leader[g] = v
				break
			}
		}
	}
}

// rounds runs the manager for a while.
func (l *lab) rounds(m *Manager, n int, each time.Duration) {
	for range n {
		l.clock.at = l.clock.at.Add(each)
		m.Round(l.t.Context(), func(_ string, f func(context.Context) error) bool { _ = f(l.t.Context()); return true })
	}
}

func manager(l *lab) *Manager {
	return New(Config{Pool: l, Clock: l.clock, Log: slog.New(slog.DiscardHandler)})
}

func (l *lab) settled(what string) {
	l.t.Helper()
	p := l.state.Pool()
	for _, g := range groups(p) {
		if !l.is[g].Equal(want(p, g)) {
			l.t.Errorf("%s: group %d has %v, was to have %v", what, g, l.is[g], want(p, g))
		}
	}
	for i, g := range p.Groups {
		if l.leader[uc.GroupID(i+1)] != g.Preferred {
			l.t.Errorf("%s: group %d is led by %d, not by %d", what, i+1, l.leader[uc.GroupID(i+1)], g.Preferred)
		}
	}
}

func TestFirstStart(t *testing.T) {
	for n := 1; n <= quorum.MaxFrontEnds; n++ {
		l := newLab(t, n)
		m := manager(l)
		for i := range quorum.FirstStart(n) {
			l.rounds(m, 3, time.Second)
			if l.State().Open() {
				t.Fatalf("a pool of %d opens with %d servers", n, i)
			}
			l.live[l.names[i]] = true
		}
		l.rounds(m, 20, 10*time.Second)
		if !l.State().Open() || len(l.State().Groups) != 6 {
			t.Fatalf("a pool of %d does not open with %d servers", n, quorum.FirstStart(n))
		}
	}
}

// A pool that opens without two of its servers has no group with voters on both.
func TestFirstStartWithoutTwo(t *testing.T) {
	l := newLab(t, 12)
	for _, name := range l.names[2:] {
		l.live[name] = true
	}
	l.rounds(manager(l), 3, time.Second)
	if !l.State().Open() {
		t.Fatal("the pool is not open")
	}
	for g, at := range l.State().Groups {
		if slices.Contains(at.Voters, 1) && slices.Contains(at.Voters, 2) || at.Preferred <= 2 {
			t.Errorf("group %d cannot begin: %+v", g+1, at)
		}
	}
}

func running(t *testing.T, n int) (*lab, *Manager) {
	l := newLab(t, n)
	for _, name := range l.names {
		l.live[name] = true
	}
	m := manager(l)
	l.rounds(m, 20, 10*time.Second)
	l.settled("after the start")
	return l, m
}

func TestAServerThatStaysAwayIsReplaced(t *testing.T) {
	l, m := running(t, 5)
	l.lose("fe2")
	l.rounds(m, 29, 10*time.Second)
	had := l.changes
	for g, at := range l.State().Groups {
		if at.Version != 1 {
			t.Errorf("group %d was moved within five minutes", g+1)
		}
	}
	l.rounds(m, 40, 10*time.Second)
	l.settled("without fe2")
	for g, at := range l.State().Groups {
		if slices.Contains(at.Voters, 2) {
			t.Errorf("group %d still has a server that is away", g+1)
		}
	}
	if l.changes == had {
		t.Error("nothing was changed")
	}
	l.live["fe2"] = true
	l.rounds(m, 80, 10*time.Second)
	l.settled("with fe2 again")
	has := 0
	for _, at := range l.State().Groups {
		if slices.Contains(at.Voters, 2) {
			has++
		}
	}
	if has < 3 {
		t.Errorf("a server that came back has %d of 18 copies", has)
	}
}

func TestAServerThatComesBackLeadsAgain(t *testing.T) {
	l, m := running(t, 3)
	l.lose("fe1")
	l.rounds(m, 6, 10*time.Second)
	l.live["fe1"] = true
	l.rounds(m, 6, 10*time.Second)
	l.settled("after it is back")
}

func TestANewServerObservesBeforeItVotes(t *testing.T) {
	l, m := running(t, 3)
	members := append(l.Topology().Members, poolstate.Member{FQDN: "fe4", Domain: 4})
	if err := l.Propose(t.Context(), &poolstate.Publish{Version: 1, Witness: true, Members: members, Document: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	l.live["fe4"] = true
	l.rounds(m, 100, 10*time.Second)
	l.settled("with fe4")
	if is := l.is[uc.PoolGroup]; !slices.Equal(is.Voters, []uint64{1, 2, 3, 4, quorum.Witness}) {
		t.Errorf("the pool group has the voters %v", is.Voters)
	}
}

func TestDraining(t *testing.T) {
	l, m := running(t, 3)
	if err := l.Propose(t.Context(), &poolstate.Drain{FQDN: "fe1", Draining: true}); err != nil {
		t.Fatal(err)
	}
	l.rounds(m, 20, 10*time.Second)
	for g, leader := range l.leader {
		if leader == 1 {
			t.Errorf("group %d is led by a server that drains", g)
		}
	}
}

// Who drains hands its groups over even if the server that is to lead them is away.
func TestDrainingWhileThePreferredIsAway(t *testing.T) {
	l, m := running(t, 3)
	l.lose("fe1")
	heir := uint64(0)
	for g, at := range l.State().Groups {
		if at.Preferred == 1 {
			heir = l.leader[uc.GroupID(g+1)]
		}
	}
	if err := l.Propose(t.Context(), &poolstate.Drain{FQDN: l.State().ByNumber(heir).FQDN, Draining: true}); err != nil {
		t.Fatal(err)
	}
	l.rounds(m, 10, 10*time.Second)
	for g, leader := range l.leader {
		if leader == heir {
			t.Errorf("group %d is led by a server that drains", g)
		}
	}
}

// The pool's own groups are not given voters of whom most are away.
func TestAGroupIsNotTakenFromThoseWhoRun(t *testing.T) {
	l, m := running(t, 5)
	l.lose("fe4")
	l.lose("fe5")
	members := l.Topology().Members
	c := &poolstate.Publish{Version: 1, Witness: true, Members: []poolstate.Member{members[0], members[3], members[4]}, Document: []byte("x")}
	if err := l.Propose(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l.rounds(m, 20, time.Second)
	if is := l.is[uc.PoolGroup].Voters; !slices.Equal(is, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("the pool group has the voters %v, of whom one runs", is)
	}
	l.live["fe4"] = true
	l.rounds(m, 20, time.Second)
	if is := l.is[uc.PoolGroup].Voters; !slices.Equal(is, []uint64{1, 4, 5}) {
		t.Errorf("the pool group has the voters %v", is)
	}
}

// A group that was recovered while the pool had no quorum gets its copies back.
func TestARecoveredGroupGrowsFromItsCopy(t *testing.T) {
	l, m := running(t, 5)
	at := l.state.Pool().Groups[0]
	lost := at.Voters[1:]
	for _, n := range lost { // and their data with them
		name := l.state.Pool().ByNumber(n).FQDN
		if err := l.Propose(t.Context(), &poolstate.Dismiss{FQDN: name, Number: n}); err != nil {
			t.Fatal(err)
		}
	}
	l.is[1], l.leader[1] = replica.Members{Voters: at.Voters[:1]}, at.Voters[0]
	l.generations = map[uc.GroupID]uint64{1: 3}
	l.rounds(m, 10, time.Second)
	p := l.state.Pool()
	if p.Generations[1] != 3 {
		t.Errorf("the pool knows of recovery %d", p.Generations[1])
	}
	if got := l.is[1].Voters; len(got) != 3 || !slices.Contains(got, at.Voters[0]) || slices.Contains(got, lost[0]) || slices.Contains(got, lost[1]) {
		t.Errorf("the voters are %v, of %v two were lost", got, at.Voters)
	}
}

func TestOthersDoNothing(t *testing.T) {
	l, m := running(t, 3)
	l.leads = false
	l.lose("fe2")
	had := l.changes
	l.rounds(m, 100, 10*time.Second)
	if l.changes != had || l.State().Groups[0].Version != 1 {
		t.Error("a server that does not lead the pool group has changed something")
	}
}
