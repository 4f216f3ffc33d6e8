package sim

import (
	"context"
	"errors"

	"trivet/replica"
	"trivet/rule/witness"
	"trivet/uc"
)

// backEnd is the database of the pool, as far as the groups need it: the rows of the
// witness, and whether the pool was opened.
type backEnd struct {
	w      *world
	rows   map[uc.GroupID]witness.Row
	opened bool
	down   bool // does not answer
	mirror bool // the mirror is principal, on which there is no witness
	slow   bool // answers after too long
}

func newBackEnd(w *world) *backEnd {
	return &backEnd{w: w, rows: map[uc.GroupID]witness.Row{}}
}

func (b *backEnd) reached(s *server) bool {
	n := &b.w.net
	return !b.down && !n.cut[line{s, nil}] && !n.cut[line{nil, s}]
}

// existed reports whether the pool was ever opened; ok is false without an answer.
func (b *backEnd) existed(s *server) (opened, ok bool) { return b.opened, b.reached(s) }

// votes reports whether the witness gives its vote.
func (b *backEnd) votes() bool { return !b.down && !b.mirror && !b.slow }

// desk is the witness as a server reaches it.
type desk struct{ s *server }

var _ replica.WitnessStore = desk{}

var errWitness = errors.New("the witness does not answer")

// Update implements replica.WitnessStore.
func (d desk) Update(_ context.Context, _ []uc.GroupID, f func(map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row) error {
	b := d.s.w.base
	if b.mirror || b.slow || !b.reached(d.s) {
		return errWitness
	}
	for id, row := range f(b.rows) {
		b.rows[id] = row
	}
	if d.s.w.chance.percent(2) { // it was done, and the answer is lost
		return errWitness
	}
	return nil
}
