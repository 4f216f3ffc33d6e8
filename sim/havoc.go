package sim

import (
	"context"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/rule/recovery"
	"trivet/uc"
)

// The nemeses that take more than a line.

func primaryIsKilled(h *harm) (func(), bool) {
	s := h.primary(h.anyGroup())
	if s == nil {
		return nil, false
	}
	s.stop("killed")
	return again(s), true
}

func leaderIsIsolated(h *harm) (func(), bool) {
	s := h.primary(uc.PoolGroup)
	if s == nil {
		return nil, false
	}
	return h.part(func(o *server) bool { return o == s }), true
}

func allAreKilled(h *harm) (func(), bool) {
	list := h.w.up()
	for _, s := range list {
		s.stop("killed")
	}
	return func() {
		for _, s := range list {
			s.start()
		}
	}, len(list) > 0
}

func twoAreKilled(h *harm) (func(), bool) {
	a, b := h.someone(), h.someone()
	if a == nil || a == b {
		return nil, false
	}
	a.stop("killed")
	b.powerOff()
	return func() { a.start(); b.start() }, true
}

// part cuts the lines between those for whom in says so and the others.
func (h *harm) part(in func(*server) bool) (mend func()) {
	n := &h.w.net
	var cut []line
	for _, a := range h.w.servers {
		for _, b := range h.w.servers {
			if in(a) != in(b) {
				cut = append(cut, line{a, b})
			}
		}
	}
	for _, l := range cut {
		n.cut[l] = true
	}
	return func() {
		for _, l := range cut {
			delete(n.cut, l)
		}
	}
}

func partition(h *harm) (func(), bool) {
	side := map[*server]bool{}
	for _, s := range h.w.servers {
		side[s] = h.w.chance.percent(50)
	}
	return h.part(func(s *server) bool { return side[s] }), true
}

// bridge leaves one server that reaches two halves which do not reach one another.
func bridge(h *harm) (func(), bool) {
	list := h.w.servers
	if len(list) < 3 {
		return nil, false
	}
	n, middle := &h.w.net, len(list)/2
	for i, a := range list {
		for k, b := range list {
			if i < middle && k > middle || i > middle && k < middle {
				n.cut[line{a, b}] = true
			}
		}
	}
	return func() { clear(n.cut) }, true
}

// two are servers of which a line is to be harmed.
func (h *harm) two() (a, b *server) {
	return pick(h.w.chance, h.w.servers), pick(h.w.chance, h.w.servers)
}

func lineIsCut(both bool) func(*harm) (func(), bool) {
	return func(h *harm) (func(), bool) {
		a, b := h.two()
		if a == b {
			return nil, false
		}
		n := &h.w.net
		n.cut[line{a, b}] = true
		if both {
			n.cut[line{b, a}] = true
		}
		return func() { delete(n.cut, line{a, b}); delete(n.cut, line{b, a}) }, true
	}
}

func lineIsSlow(h *harm) (func(), bool) {
	a, b := h.two()
	n := &h.w.net
	n.slow[line{a, b}] = h.w.chance.between(50*time.Millisecond, time.Second)
	return func() { delete(n.slow, line{a, b}) }, a != b
}

// swizzle cuts the lines of some servers one after the other, and mends them in another
// order.
func swizzle(h *harm) (func(), bool) {
	n := &h.w.net
	var lines []line
	for _, a := range h.w.servers {
		if h.w.chance.percent(50) {
			for _, b := range h.w.servers {
				if a != b {
					lines = append(lines, line{a, b}, line{b, a})
				}
			}
		}
	}
	h.w.chance.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
	for i, l := range lines {
		h.w.after(time.Duration(i)*50*time.Millisecond, func() {
			if !h.idle {
				n.cut[l] = true
			}
		})
	}
	return func() {
		h.w.chance.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
		for i, l := range lines {
			h.w.after(time.Duration(i)*50*time.Millisecond, func() { delete(n.cut, l) })
		}
	}, len(lines) > 0
}

func databaseIsCutOff(h *harm) (func(), bool) {
	s := h.someone()
	if s == nil || h.w.base == nil {
		return nil, false
	}
	n := &h.w.net
	n.cut[line{s, nil}] = true
	return func() { delete(n.cut, line{s, nil}) }, true
}

// diskLies has a disk forget what it said was flushed. Nothing can be built on such a
// disk, so the server counts as destroyed when its power goes.
func diskLies(h *harm) (func(), bool) {
	if !h.safe() || h.w.shrunk() {
		return nil, false
	}
	s := h.someone()
	h.reckless, s.disk.lies = true, true
	return func() { s.powerOff(); s.disk.lies = false; s.start() }, true
}

// shrunk reports whether the pool is too small to lose a copy.
func (w *world) shrunk() bool { return len(w.topology) < 2 || len(w.topology) == 2 && w.base == nil }

func serverIsDestroyed(h *harm) (func(), bool) {
	if !h.safe() || h.w.shrunk() {
		return nil, false
	}
	s := h.someone()
	h.reckless = true
	s.destroy()
	return again(s), true
}

// snapshotIsDamaged turns a bit of the newest snapshot of a server that has an older one.
func snapshotIsDamaged(h *harm) (func(), bool) {
	s := h.someone()
	if s == nil || s.host == nil {
		return nil, false
	}
	id := pick(h.w.chance, h.w.ids())
	name, ok := s.host.NewestSnapshot(id)
	if !ok {
		return nil, false
	}
	f, err := s.disk.files.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return nil, false
	}
	at := h.w.chance.Int64N(st.Size())
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return nil, false
	}
	b[0] ^= 1 << h.w.chance.IntN(8)
	_, err = f.WriteAt(b, at)
	return nil, err == nil
}

func serverIsAdded(h *harm) (func(), bool) {
	w := h.w
	p := w.pool()
	if len(w.topology) >= quorum.MaxFrontEnds || len(p.Servers) != len(w.topology) || h.primary(uc.PoolGroup) == nil {
		return nil, false
	}
	s := &server{w: w, name: w.newName(), disk: newDisk(), watch: watch{w: w, rate: 1}}
	w.servers = append(w.servers, s)
	w.topology = append(slices.Clone(w.topology), s.name)
	w.domains[s.name] = 1 + w.chance.IntN(w.opts.Servers)
	w.publish()
	s.start()
	return nil, true
}

// serverIsTakenOut takes a server out of the topology while it runs, and ends it later.
func serverIsTakenOut(h *harm) (func(), bool) {
	w := h.w
	if len(w.topology) < 4 || !h.safe() {
		return nil, false
	}
	h.reckless = true
	name := pick(w.chance, w.topology)
	w.topology = slices.DeleteFunc(slices.Clone(w.topology), func(n uc.ServerFQDN) bool { return n == name })
	w.publish()
	s := w.named(name)
	return func() {
		if p := w.pool(); p.Open() && p.Server(name) == nil {
			s.gone = true
			s.stop("taken out")
		}
	}, true
}

// publish has the pool take the topology, until it has.
func (w *world) publish() {
	p := w.pool()
	var have []uc.ServerFQDN
	for _, s := range p.Servers {
		have = append(have, s.FQDN)
	}
	if slices.Equal(have, w.topology) && p.Open() {
		for _, s := range w.servers {
			if !slices.Contains(w.topology, s.name) && !s.gone {
				w.after(5*time.Second, func() { s.gone = true; s.stop("taken out") })
			}
		}
		return
	}
	if p.Open() {
		w.harm.propose(&poolstate.Publish{Version: p.Topology.Version, Witness: p.Witness, Members: w.members(w.topology)})
	}
	w.after(time.Second, w.publish)
}

// rollingRestart is an upgrade: each server is drained, stopped, and started again.
func rollingRestart(h *harm) (func(), bool) {
	w := h.w
	if len(w.topology) < 3 || len(w.up()) < len(w.topology) {
		return nil, false
	}
	for i, name := range w.topology {
		s, at := w.named(name), time.Duration(i)*2*time.Second
		w.after(at, func() {
			if h.idle {
				return
			}
			s.halted = true
			h.propose(&poolstate.Drain{FQDN: s.name, Draining: true})
		})
		w.after(at+1500*time.Millisecond, func() {
			if !h.idle && s.halted {
				s.stop("replaced")
			}
		})
		w.after(at+1800*time.Millisecond, func() {
			if !h.idle {
				s.halted = false
				s.start()
			}
		})
	}
	return nil, true
}

// quorumIsLost destroys a majority of those who vote in a group, or in the pool, and has
// what is left recovered.
func quorumIsLost(h *harm) (func(), bool) {
	w := h.w
	if len(w.topology) < 3 || !h.safe() {
		return nil, false
	}
	id := h.anyGroup()
	at := h.primary(id)
	voters := slices.DeleteFunc(at.host.Group(id).Status().Voters, func(n uint64) bool { return n == quorum.Witness })
	w.chance.Shuffle(len(voters), func(i, k int) { voters[i], voters[k] = voters[k], voters[i] })
	lost := voters[:len(voters)/2+1]
	h.reckless = true
	h.dead = nil
	for i, n := range lost {
		s := at.numbered(n)
		h.dead = append(h.dead, s)
		if i == 0 && w.chance.percent(40) { // an old copy that comes back
			s.stop("away for long")
			continue
		}
		s.destroy()
	}
	h.recoverIn(3 * time.Second)
	return func() {
		h.recover()
		for _, s := range h.dead {
			s.start()
		}
		h.dead = nil
	}, true
}

// recoverIn has somebody look whether the pool needs recovery.
func (h *harm) recoverIn(d time.Duration) { h.w.after(d, h.recover) }

// recover is Reset-CsPoolRegistrarState -ResetType QuorumLossRecovery on what runs; it
// follows role/frontend.
func (h *harm) recover() {
	w := h.w
	if !h.reckless || w.now < h.recovered+20*time.Second || w.judge.ill() == "" {
		return
	}
	// Whoever is left out and comes back could go on without the others, so everybody has
	// to be there who can be.
	for _, s := range w.servers {
		if !s.gone && !slices.Contains(h.dead, s) && !s.tells() || len(w.net.cut) > 0 {
			h.recoverIn(time.Second)
			return
		}
	}
	h.recovered = w.now
	var desk *server
	groups, servers := map[uc.GroupID]*recovery.Group{}, []uc.ServerFQDN{}
	newest := map[uc.GroupID]replica.Status{}
	for _, s := range w.up() {
		if !s.runs() || s.host == nil {
			continue
		}
		desk = s
		servers = append(servers, s.name)
		for _, st := range s.host.Status() {
			g := groups[st.Group]
			if g == nil {
				g = &recovery.Group{ID: st.Group}
				groups[st.Group] = g
			}
			g.Copies = append(g.Copies, recovery.Copy{
				Server: s.name, Voter: slices.Contains(st.Voters, s.number()), Leads: st.Primary,
				Generation: st.Generation, Term: st.Term, LastTerm: st.LastTerm, LastIndex: st.LastIndex,
			})
			if n := newest[st.Group]; len(st.Voters) > 0 && (n.Generation < st.Generation || n.Generation == st.Generation && (n.LastTerm < st.LastTerm || n.LastTerm == st.LastTerm && n.LastIndex <= st.LastIndex)) {
				newest[st.Group] = st
			}
		}
	}
	if desk == nil {
		return
	}
	var list []recovery.Group
	for _, id := range w.ids() {
		g := groups[id]
		if g == nil {
			continue
		}
		g.Voters, g.Witness = desk.holders(newest[id].Voters)
		g.Leaving, _ = desk.holders(newest[id].Leaving)
		list = append(list, *g)
	}
	h.take(desk, recovery.Plan(list, servers))
}

// tells reports whether this server could say what it has.
func (s *server) tells() bool {
	switch {
	case !s.runs() || s.number() != 0 && s.host == nil:
		return false
	case s.host == nil || !s.view.Open():
		return true
	}
	return len(s.host.Status()) == 1+len(s.view.Groups)
}

// holders are the servers among voters, and whether the witness is one of them.
func (s *server) holders(voters []uint64) (names []uc.ServerFQDN, witness bool) {
	for _, n := range voters {
		name := uc.ServerFQDN("a server that is gone")
		if n == quorum.Witness {
			witness = true
			continue
		}
		if x := s.numbered(n); x != nil {
			name = x.name
		}
		names = append(names, name)
	}
	return names, witness
}

// take carries out a plan.
func (h *harm) take(desk *server, steps []recovery.Step) {
	w := h.w
	for _, step := range steps {
		if step.Source != recovery.FromCopy {
			continue
		}
		s := w.named(step.Server)
		w.say("recovery of group %d from %s, generation %d, certain: %v", step.Group, s, step.Generation, step.Certain)
		w.counts.Recoveries++
		if l := s.machines[step.Group]; l != nil && !step.Certain {
			w.book.forget(l)
		}
		if !s.begin(step.Group, func(m replica.Machine) (*replica.Group, error) {
			return s.host.Recover(context.Background(), step.Group, m, replica.Recovery{Term: step.Term, Generation: step.Generation})
		}) {
			return
		}
		s.soon()
	}
}
