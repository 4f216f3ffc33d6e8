package replica

import (
	"fmt"
	"slices"
	"testing"

	"trivet/fault"
)

// add starts a server that joins group 1, and the group there.
func (c *trio) add(t *testing.T, n uint64, first Members) *Group {
	t.Helper()
	cfg := small(c.fs[n])
	cfg.NodeID, cfg.Transport = n, end{c.w, n}
	c.cfg(&cfg)
	c.host[n] = open(t, cfg)
	var g *Group
	g, c.m[n][1] = join(t, c.host[n], 1, first)
	c.w.set(func() { c.w.hosts[n] = c.host[n] })
	return g
}

func (c *trio) caughtUp(t *testing.T, n uint64, want []string) {
	t.Helper()
	g := c.host[n].Group(1)
	await(t, fmt.Sprintf("server %d to catch up", n), func() bool { return slices.Equal(c.peek(g, c.m[n][1]), want) })
}

func TestMembersComeAndGo(t *testing.T) {
	c := newTrio(t)
	g := c.add(t, 1, Alone(1))
	for _, cmd := range series("a", 0, 120) { // more than a snapshot
		propose(t, g, cmd)
	}
	c.add(t, 2, Members{})
	if err := g.Change(soon(t), Members{[]uint64{1, 2}, nil}); !fault.Is(err, fault.Stale) {
		t.Fatalf("a server that has nothing became a voter: %v", err)
	}
	if err := g.Change(soon(t), Members{[]uint64{1}, []uint64{2, 3}}); err != nil {
		t.Fatal(err)
	}
	c.caughtUp(t, 2, lines(t, g, c.m[1][1]))
	observer := c.host[2].Group(1)
	propose(t, observer, "from an observer")
	if got := lines(t, observer, c.m[2][1]); got[len(got)-1] != "from an observer" {
		t.Errorf("an observer reads %q", got[len(got)-1])
	}

	c.add(t, 3, Members{})
	c.caughtUp(t, 3, lines(t, g, c.m[1][1]))
	if err := g.Change(soon(t), Members{[]uint64{1, 2, 3}, nil}); err != nil {
		t.Fatal(err)
	}
	want := Members{[]uint64{1, 2, 3}, nil}
	for n := 1; n <= 3; n++ {
		g := c.host[n].Group(1)
		await(t, "the membership to be known", func() bool { return g.Status().Members.Equal(want) })
	}

	// The first server leaves, and is primary: the others go on without it.
	if err := g.Change(soon(t), Members{[]uint64{2, 3}, nil}); err != nil && !fault.Is(err, fault.Unavailable) {
		t.Log("the leaving primary says", err)
	}
	p := c.primary(1, 1)
	propose(t, c.host[p].Group(1), "without 1")
	if err := c.host[1].Stop(soon(t), 1, true); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Propose(soon(t), []byte("x")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a group that was stopped takes a proposal: %v", err)
	}

	// It comes back with nothing, as a new one would, and restarts.
	g, c.m[1][1] = join(t, c.host[1], 1, Members{})
	if err := c.host[p].Group(1).Change(soon(t), Members{[]uint64{2, 3}, []uint64{1}}); err != nil {
		t.Fatal(err)
	}
	all := lines(t, c.host[p].Group(1), c.m[p][1])
	c.caughtUp(t, 1, all)
	c.crash(1, 0, 7)
	c.add(t, 1, Members{})
	c.caughtUp(t, 1, all)
	if got := c.host[1].Group(1).Status().Members; !got.Equal(Members{[]uint64{2, 3}, []uint64{1}}) {
		t.Errorf("after a restart the members are %v", got)
	}
	if len(all) != 122 {
		t.Errorf("%d lines, want 122", len(all))
	}
}

func TestProgressIsKnownToThePrimary(t *testing.T) {
	c := newTrio(t)
	g := c.add(t, 1, Members{[]uint64{1, 2}, []uint64{3}})
	c.add(t, 2, Members{[]uint64{1, 2}, []uint64{3}})
	propose(t, g, "a")
	p := c.primary(1, 0)
	await(t, "the absent observer to be seen as absent", func() bool {
		list, err := c.host[p].Group(1).Progress(soon(t))
		return err == nil && len(list) == 3 && list[2].Observer && !list[2].Active && list[2].Lag > 0 && list[0].Active && list[1].Active
	})
}

func TestProposalsFromElsewhereAreCarriedOutOnce(t *testing.T) {
	c := newTrio(t)
	c.w.loss = 20
	c.cfg = func(cfg *Config) { cfg.ElectionTicks = 40 }
	for n := uint64(1); n <= 3; n++ {
		c.start(n)
	}
	p := c.primary(1, 0)
	g := c.host[p%3+1].Group(1)
	for _, cmd := range series("a", 0, 60) {
		propose(t, g, cmd)
	}
	c.w.set(func() { c.w.loss = 0 })
	if got := lines(t, g, c.m[p%3+1][1]); !slices.Equal(got, series("a", 0, 60)) {
		t.Errorf("with messages lost on the way the log has %d lines: %q", len(got), got)
	}
}

func TestRecoveryWithTheLastCopy(t *testing.T) {
	c := newTrio(t)
	for n := uint64(1); n <= 3; n++ {
		c.start(n)
	}
	p := c.primary(1, 0)
	left := p%3 + 1
	g := c.host[p].Group(1)
	for _, cmd := range series("1a", 0, 70) {
		propose(t, g, cmd)
	}
	c.caughtUp(t, left, series("1a", 0, 70))
	gone := left%3 + 1
	c.w.set(func() { c.w.cut[left] = true })
	p = c.primary(1, left)
	propose(t, c.host[p].Group(1), "1 only the lost have it")
	c.stop(p)
	if gone != p {
		c.stop(gone)
	} else {
		c.stop(left%3 + 1)
	}
	for n := uint64(1); n <= 3; n++ {
		if n != left && c.host[n] != nil {
			c.stop(n)
		}
	}
	c.w.set(func() { delete(c.w.cut, left) })

	m := &ledger{}
	c.m[left][1] = m
	if _, err := c.host[left].Recover(soon(t), 1, m, Recovery{}); !fault.Is(err, fault.Stale) {
		t.Errorf("a recovery without a number: %v", err)
	}
	g, err := c.host[left].Recover(soon(t), 1, m, Recovery{Term: 9, Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	propose(t, g, "1 after")
	want := append(series("1a", 0, 70), "1 after")
	if got := lines(t, g, m); !slices.Equal(got, want) {
		t.Fatalf("the recovered group has %d lines, want %d", len(got), len(want))
	}
	others := Members{Voters: []uint64{left}, Observers: []uint64{left%3 + 1, (left+1)%3 + 1}}
	if st := g.Status(); !st.Members.Equal(others) || st.Generation != 1 || st.Term <= 9 {
		t.Errorf("after the recovery: %+v", st)
	}
	if _, err := c.host[left].Recover(soon(t), 1, &ledger{}, Recovery{Generation: 1}); !fault.Is(err, fault.Stale) {
		t.Errorf("the same recovery twice: %v", err)
	}

	// A former voter comes back with its old copy: it is told so, gives it up and is
	// built anew.
	old := left%3 + 1
	c.start(old)
	og := c.host[old].Group(1)
	await(t, "the old copy to be told that it counts no more", func() bool { return og.Status().Superseded })
	if err := c.host[old].Stop(soon(t), 1, true); err != nil {
		t.Fatal(err)
	}
	_, c.m[old][1] = join(t, c.host[old], 1, Members{})
	c.caughtUp(t, old, want)
	if n := c.host[old].Group(1).Generation(); n != 1 {
		t.Errorf("the rebuilt copy is of generation %d", n)
	}
	if err := g.Change(soon(t), Members{[]uint64{left, old}, nil}); err != nil {
		t.Fatal(err)
	}
	c.crash(old, 0, 3)
	c.add(t, old, Members{})
	c.caughtUp(t, old, want)
	if st := c.host[old].Group(1).Status(); st.Generation != 1 || st.Superseded {
		t.Errorf("the rebuilt copy: %+v", st)
	}
}

// A group that is stopped and started again in one process takes its proposals for new
// ones, though their numbers begin again.
func TestProposalsAfterAnotherStartAreNew(t *testing.T) {
	c := newTrio(t)
	g := c.add(t, 1, Alone(1))
	propose(t, g, "a")
	propose(t, g, "b")
	if err := c.host[1].Stop(soon(t), 1, false); err != nil {
		t.Fatal(err)
	}
	g, c.m[1][1] = join(t, c.host[1], 1, Members{})
	propose(t, g, "c")
	if got := lines(t, g, c.m[1][1]); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("after another start: %q", got)
	}
}

// An observer says that there is no primary when it has not heard of one for a while.
func TestAnObserverMissesThePrimary(t *testing.T) {
	c := newTrio(t)
	first := Members{[]uint64{1, 2}, []uint64{3}}
	for n := uint64(1); n <= 3; n++ {
		c.add(t, n, first)
	}
	p := c.primary(1, 0)
	propose(t, c.host[p].Group(1), "a")
	c.caughtUp(t, 3, []string{"a"})
	observer := c.host[3].Group(1)
	if err := observer.Ready(soon(t)); err != nil || observer.Status().Leader != p {
		t.Fatalf("led by %d, not %d: %v", observer.Status().Leader, p, err)
	}
	c.stop(1)
	c.stop(2)
	await(t, "the observer to miss its primary", func() bool { return observer.Status().Leader == 0 })
	if _, err := observer.Propose(soon(t), []byte("b")); !fault.Is(err, fault.NoQuorum) {
		t.Errorf("a proposal without a primary: %v", err)
	}
	c.add(t, 1, Members{})
	c.add(t, 2, Members{})
	await(t, "the observer to know a primary again", func() bool { return observer.Status().Leader != 0 })
}

// A group of which no copy is left begins anew; an old copy that turns up counts no more.
func TestAGroupBeginsAnew(t *testing.T) {
	c := newTrio(t)
	for n := uint64(1); n <= 3; n++ {
		c.start(n)
	}
	p := c.primary(1, 0)
	for _, cmd := range series("1a", 0, 70) {
		propose(t, c.host[p].Group(1), cmd)
	}
	m := &ledger{}
	c.m[1][1] = m
	if _, err := c.host[1].Renew(soon(t), 1, m, Recovery{}); !fault.Is(err, fault.Stale) {
		t.Fatalf("without a number: %v", err)
	}
	g, err := c.host[1].Renew(soon(t), 1, m, Recovery{Term: c.host[p].Group(1).Status().Term, Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	propose(t, g, "1 first")
	if got := lines(t, g, m); !slices.Equal(got, []string{"1 first"}) || !g.Status().Members.Equal(Alone(1)) {
		t.Fatalf("begun anew: %q, %v", got, g.Status().Members)
	}
	if err := g.Change(soon(t), Members{[]uint64{1}, []uint64{2}}); err != nil {
		t.Fatal(err)
	}
	await(t, "the old copy to be told", func() bool { return c.host[2].Group(1).Status().Superseded })
	if err := c.host[2].Stop(soon(t), 1, true); err != nil {
		t.Fatal(err)
	}
	_, c.m[2][1] = join(t, c.host[2], 1, Members{})
	c.caughtUp(t, 2, []string{"1 first"})
	c.crash(1, 0, 5)
	c.add(t, 1, Members{})
	if got := lines(t, c.host[1].Group(1), c.m[1][1]); !slices.Equal(got, []string{"1 first"}) {
		t.Errorf("after a crash: %q", got)
	}
}
