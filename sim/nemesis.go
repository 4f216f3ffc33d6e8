package sim

import (
	"fmt"
	"time"

	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/uc"
)

// harm is what is being done to the pool.
type harm struct {
	w         *world
	active    []*trouble
	sluggish  map[*server]bool // disks that take their time
	reckless  bool             // data of a server was destroyed, and the pool has not been whole since
	idle      bool             // nothing new is begun
	dead      []*server        // who is known to be lost
	recovered time.Duration    // when that was tried last
}

// trouble is a nemesis at work.
type trouble struct {
	name  string
	ends  time.Duration
	mends func() // nil: there is nothing to mend
}

// nemesis is one kind of harm. do begins it and returns how it is mended; ok is false
// when there is nothing to be done at the moment.
type nemesis struct {
	name string
	do   func(h *harm) (mend func(), ok bool)
}

func newHarm(w *world) *harm { return &harm{w: w, recovered: -time.Hour, sluggish: map[*server]bool{}} }

// next begins something now and then.
func (h *harm) next() {
	w := h.w
	if h.idle {
		return
	}
	w.after(w.chance.between(200*time.Millisecond, 1500*time.Millisecond), h.next)
	if len(h.active) > 3 {
		return
	}
	n := pick(w.chance, w.opts.nemeses())
	mend, ok := n.do(h)
	if !ok {
		return
	}
	if w.counts.Nemeses == nil {
		w.counts.Nemeses = map[string]int{}
	}
	w.counts.Nemeses[n.name]++
	w.say("nemesis: %s", n.name)
	if mend == nil {
		return
	}
	t := &trouble{name: n.name, mends: mend, ends: w.now + w.chance.between(300*time.Millisecond, 6*time.Second)}
	h.active = append(h.active, t)
	w.after(t.ends-w.now, func() { h.end(t) })
}

// end mends something, once.
func (h *harm) end(t *trouble) {
	if t.mends == nil {
		return
	}
	mend := t.mends
	t.mends = nil
	for i, x := range h.active {
		if x == t {
			h.active = append(h.active[:i:i], h.active[i+1:]...)
			break
		}
	}
	h.w.say("mended: %s", t.name)
	mend()
}

// stop mends everything.
func (h *harm) stop() {
	h.idle = true
	for len(h.active) > 0 {
		h.end(h.active[0])
	}
	w := h.w
	w.net.heal()
	clear(h.sluggish)
	if w.base != nil {
		w.base.down, w.base.mirror, w.base.slow = false, false, false
	}
	for _, s := range w.servers {
		s.disk.fails, s.disk.lies, s.disk.free, s.disk.trap = false, false, plenty, noTrap
		s.watch.drift(1)
		s.halted = false
		s.resume()
		s.start()
	}
}

// safe reports whether the data of a server may be destroyed: the pool is whole, so
// everything promised is on all others.
func (h *harm) safe() bool {
	if h.w.judge.ill() != "" {
		return false
	}
	for _, s := range h.w.servers {
		if s.disk.lies || s.disk.trap != noTrap {
			return false
		}
	}
	h.reckless = false
	return true
}

// a server that runs, nil for none.
func (h *harm) someone() *server {
	list := h.w.up()
	if len(list) == 0 {
		return nil
	}
	return pick(h.w.chance, list)
}

// primary is the server that leads a group by its own belief, nil for none.
func (h *harm) primary(id uc.GroupID) *server {
	for _, s := range h.w.up() {
		if s.host == nil {
			continue
		}
		if g := s.host.Group(id); g != nil {
			if _, primary := g.Leader(); primary {
				return s
			}
		}
	}
	return nil
}

func (h *harm) anyGroup() uc.GroupID { return pick(h.w.chance, h.w.ids()) }

// to does something to a server that runs.
func to(do func(h *harm, s *server) (mend func())) func(*harm) (func(), bool) {
	return func(h *harm) (func(), bool) {
		s := h.someone()
		if s == nil {
			return nil, false
		}
		return do(h, s), true
	}
}

// instead does something and nothing to mend it.
func instead(do func(h *harm, s *server)) func(*harm) (func(), bool) {
	return to(func(h *harm, s *server) func() { do(h, s); return nil })
}

// again starts a server that was ended.
func again(s *server) func() { return s.start }

// withBase does something to the database.
func withBase(do func(b *backEnd) func()) func(*harm) (func(), bool) {
	return func(h *harm) (func(), bool) {
		if h.w.base == nil {
			return nil, false
		}
		return do(h.w.base), true
	}
}

// nemeses are all there are.
var nemeses = []nemesis{
	{"a server is killed", to(func(h *harm, s *server) func() { s.stop("killed"); return again(s) })},
	{"a server loses power", to(func(h *harm, s *server) func() { s.powerOff(); return again(s) })},
	{"power is lost before a flush", to(func(h *harm, s *server) func() { s.disk.trap = trapBefore; return again(s) })},
	{"power is lost after a flush", to(func(h *harm, s *server) func() { s.disk.trap = trapAfter; return again(s) })},
	{"the primary of a group is killed", primaryIsKilled},
	{"the leader of the pool is isolated", leaderIsIsolated},
	{"all servers are killed", allAreKilled},
	{"two servers are killed", twoAreKilled},
	{"a server is killed again and again", to(func(h *harm, s *server) func() {
		for i := range 3 {
			h.w.after(time.Duration(i)*700*time.Millisecond, func() { s.stop("killed") })
			h.w.after(time.Duration(i)*700*time.Millisecond+300*time.Millisecond, s.start)
		}
		return again(s)
	})},
	{"a server is paused", to(func(h *harm, s *server) func() { s.pause(); return s.resume })},
	{"a clock is set forward", instead(func(h *harm, s *server) { s.watch.offset += h.w.chance.between(time.Second, time.Hour) })},
	{"a clock is set back", instead(func(h *harm, s *server) { s.watch.offset -= h.w.chance.between(time.Second, time.Hour) })},
	{"a clock is fast", to(func(h *harm, s *server) func() { s.watch.drift(1.4); return func() { s.watch.drift(1) } })},
	{"a clock is slow", to(func(h *harm, s *server) func() { s.watch.drift(0.7); return func() { s.watch.drift(1) } })},
	{"a line is cut in one direction", lineIsCut(false)},
	{"a line is cut", lineIsCut(true)},
	{"the pool is parted in two", partition},
	{"a bridge is all that is left between two halves", bridge},
	{"lines are cut one after the other", swizzle},
	{"messages are lost", func(h *harm) (func(), bool) {
		h.w.net.lost = 5 + h.w.chance.IntN(40)
		return func() { h.w.net.lost = 0 }, true
	}},
	{"messages are doubled", func(h *harm) (func(), bool) {
		h.w.net.doubled = 30
		return func() { h.w.net.doubled = 0 }, true
	}},
	{"messages overtake one another", func(h *harm) (func(), bool) {
		h.w.net.wild = 300 * time.Millisecond
		return func() { h.w.net.wild = 0 }, true
	}},
	{"a line is slow", lineIsSlow},
	{"all lines of a server are slow", to(func(h *harm, s *server) func() {
		n := &h.w.net
		for _, o := range h.w.servers {
			n.slow[line{s, o}], n.slow[line{o, s}] = 400*time.Millisecond, 400*time.Millisecond
		}
		return func() {
			for _, o := range h.w.servers {
				delete(n.slow, line{s, o})
				delete(n.slow, line{o, s})
			}
		}
	})},
	{"a disk is slow", to(func(h *harm, s *server) func() {
		h.sluggish[s] = true
		return func() { delete(h.sluggish, s) }
	})},
	{"a disk is full", to(func(h *harm, s *server) func() {
		s.disk.free = 1 << 20
		return func() { s.disk.free = plenty }
	})},
	{"a disk fails", to(func(h *harm, s *server) func() {
		s.disk.fails = true
		return func() { s.disk.fails = false; s.start() }
	})},
	{"a disk lies, and the power goes", diskLies},
	{"a snapshot is damaged", snapshotIsDamaged},
	{"the database is away", withBase(func(b *backEnd) func() { b.down = true; return func() { b.down = false } })},
	{"the mirror takes over", withBase(func(b *backEnd) func() { b.mirror = true; return func() { b.mirror = false } })},
	{"the database is slow", withBase(func(b *backEnd) func() { b.slow = true; return func() { b.slow = false } })},
	{"a server loses the database", databaseIsCutOff},
	{"a server is destroyed", serverIsDestroyed},
	{"a server is drained", to(func(h *harm, s *server) func() {
		h.propose(&poolstate.Drain{FQDN: s.name, Draining: true})
		return func() { h.propose(&poolstate.Drain{FQDN: s.name}) }
	})},
	{"a group is handed over", func(h *harm) (func(), bool) {
		id := h.anyGroup()
		s := h.primary(id)
		if s == nil {
			return nil, false
		}
		s.host.Group(id).Handover(pick(h.w.chance, s.host.Group(id).Status().Voters))
		s.soon()
		return nil, true
	}},
	{"a server is added", serverIsAdded},
	{"a server is taken out", serverIsTakenOut},
	{"the servers are restarted one after the other", rollingRestart},
	{"a group loses its quorum and is recovered", quorumIsLost},
}

// propose has the pool carry out a command, if a server can be found that takes it.
func (h *harm) propose(c poolstate.Command) {
	s := h.primary(uc.PoolGroup)
	if s == nil {
		return
	}
	_, _ = s.host.Propose(s.poolLog, replica.ID{}, poolstate.Encode(c))
	s.soon()
}

// newName is that of a server that was never there.
func (w *world) newName() uc.ServerFQDN {
	return uc.ServerFQDN(fmt.Sprintf("fe%d", len(w.servers)+1))
}
