package sim

import (
	"time"

	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// tables looks at one state, by chance, of a pool that is whole and quiet: who is left
// serves or not, as the product's table has it.
func (w *world) tables() {
	left := map[uc.ServerFQDN]bool{}
	for _, x := range w.pool().Servers {
		left[x.FQDN] = w.chance.percent(50)
	}
	w.state(func(_ int, x poolstate.Server) bool { return left[x.FQDN] }, w.chance.percent(50))
}

// state kills all servers but some of a pool that is whole and quiet, takes the database
// away or not, looks at who serves after a while, and brings everything back.
func (w *world) state(stays func(i int, x poolstate.Server) bool, witness bool) {
	p := w.pool()
	seeds := 0
	if w.base != nil {
		w.base.down = !witness
	}
	for i, x := range p.Servers {
		if !stays(i, x) {
			w.named(x.FQDN).stop("for the table")
		} else if i < quorum.Seeds(len(p.Servers)) {
			seeds++
		}
	}
	w.run(w.now + grace + 6*time.Second)
	want := quorum.Pool(len(p.Servers), seeds, w.base != nil, w.base != nil && w.base.votes())
	for _, s := range w.up() {
		if s.serving != want {
			w.violated("the table", "in a pool of %d with %d seeds and the witness %v, %s serves: %v; by the table: %v", len(p.Servers), seeds, witness, s, s.serving, want)
			return
		}
	}
	if w.base != nil {
		w.base.down = false
	}
	for _, s := range w.servers {
		s.start()
	}
	w.await("whole again", healing, w.judge.ill)
}

// Tables brings a pool of n Front Ends with a Back End into every state of servers that
// run and witness that answers for which mine says so, and compares who serves with the
// product's table. States are numbered from 0, 2 times 2 to the n of them. It returns how
// many there were, and the first violation.
func Tables(n int, mine func(state int) bool) (done int, err error) {
	w := newWorld(Options{Seed: uint64(n), Servers: n})
	defer replaceRandom(w.chance)()
	w.groups, w.base = 1, newBackEnd(w)
	for _, s := range w.servers {
		s.start()
	}
	w.await("begun", healing, w.judge.ill)
	for state := range 2 << n {
		if !mine(state) {
			continue
		}
		w.state(func(i int, _ poolstate.Server) bool { return state>>(i+1)&1 == 1 }, state&1 == 1)
		if w.failed != nil {
			return done, w.failed
		}
		done++
	}
	return done, nil
}
