package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"trivet/fault"
	"trivet/rule/witness"
	"trivet/uc"
)

// rows is the memory of a witness, which can be lost from sight.
type rows struct {
	mu   sync.Mutex
	rows map[uc.GroupID]witness.Row
	away bool
}

var errAway = errors.New("the database is away")

func (r *rows) Update(_ context.Context, groups []uc.GroupID, f func(map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away {
		return errAway
	}
	in := map[uc.GroupID]witness.Row{}
	for _, g := range groups {
		in[g] = r.rows[g]
	}
	maps.Copy(r.rows, f(in))
	return nil
}

func (r *rows) lose(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

const arbiter = 1 << 20

func TestTwoServersAndTheWitness(t *testing.T) {
	db := &rows{rows: map[uc.GroupID]witness.Row{}}
	c := newTrio(t)
	c.cfg = func(cfg *Config) { cfg.Witness, cfg.WitnessStore = arbiter, db }
	first := Members{Voters: []uint64{1, 2, arbiter}}
	g := c.add(t, 1, first) // with the witness, one of the two begins
	propose(t, g, "1 alone")
	c.add(t, 2, first)
	c.caughtUp(t, 2, []string{"1 alone"})

	db.lose(true) // both are there: the witness is not needed
	await(t, "a proposal without the witness", func() bool { _, err := g.Propose(soon(t), []byte("1 both")); return err == nil })
	await(t, "its loss to be known", func() bool {
		return errors.Is(c.host[1].Witness().Err, errAway) || errors.Is(c.host[2].Witness().Err, errAway)
	})
	both := lines(t, g, c.m[1][1])
	c.caughtUp(t, 2, both)

	// One server is lost with the witness: no quorum, until the witness is back.
	c.stop(1)
	g = c.host[2].Group(1)
	if _, err := g.Propose(soon(t), []byte("1 none")); !fault.Is(err, fault.NoQuorum) {
		t.Fatalf("one of three takes a proposal: %v", err)
	}
	db.lose(false)
	await(t, "the witness to help", func() bool { _, err := g.Propose(soon(t), []byte("1 helped")); return err == nil })
	want := lines(t, g, c.m[2][1])
	for _, cmd := range series("1w", 0, 120) { // more than its log keeps in a snapshot
		propose(t, g, cmd)
	}
	want = append(want, series("1w", 0, 120)...)

	// What the witness helped to commit binds it: the other server cannot lead without.
	c.stop(2)
	c.add(t, 1, Members{})
	if _, err := c.host[1].Group(1).Propose(soon(t), []byte("1 forked")); !fault.Is(err, fault.NoQuorum) {
		t.Fatalf("a server that has not all leads with the witness: %v", err)
	}
	c.add(t, 2, Members{})
	c.caughtUp(t, 1, want)

	p := c.primary(1, 0)
	if err := c.host[p].Group(1).Change(soon(t), Members{Voters: []uint64{1, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := c.host[p].Group(1).Change(soon(t), first); err != nil {
		t.Fatal("the witness is taken in again:", err)
	}
	c.stop(3 - p)
	propose(t, c.host[p].Group(1), "1 last")
	if got := lines(t, c.host[p].Group(1), c.m[p][1]); !slices.Equal(got, append(want, "1 last")) {
		t.Errorf("%d lines at the end, want %d", len(got), len(want)+1)
	}
}
