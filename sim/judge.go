package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"trivet/replica"
	"trivet/rule/placement"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// judge looks at the invariants.
type judge struct {
	w       *world
	entries map[place]string // what stands where in the log of a group
	primary map[reign]uint64
	began   bool // the pool was opened
}

// place is a place in the log of a group; gen counts its recoveries.
type place struct {
	group uc.GroupID
	gen   uint64
	index uint64
}

// reign is a term of a group.
type reign struct {
	group uc.GroupID
	gen   uint64
	term  uint64
}

func newJudge(w *world) judge {
	return judge{w: w, entries: map[place]string{}, primary: map[reign]uint64{}}
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	At        time.Duration // since the beginning of the run
	What      string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s, after %v: %s", v.Invariant, v.At.Truncate(time.Millisecond), v.What)
}

// applied looks at a command that a replica carries out: all carry out the same.
func (j *judge) applied(l *ledger, index uint64, cmd []byte) {
	if !l.seen {
		l.seen, l.gen = true, l.s.host.Group(l.group).Status().Generation
	}
	at := place{l.group, l.gen, index}
	was, ok := j.entries[at]
	if !ok {
		j.entries[at] = string(cmd)
	} else if was != string(cmd) {
		j.w.violated("agreement", "%s carries out another command at %d of group %d than others did", l.s, index, l.group)
	}
}

// look sees who leads: one server in a term.
func (j *judge) look(s *server) {
	for _, id := range j.w.ids() {
		g := s.host.Group(id)
		if g == nil {
			continue
		}
		term, leads := s.host.Leads(g)
		if !leads {
			continue
		}
		at := reign{id, g.Generation(), term}
		if was, ok := j.primary[at]; !ok {
			j.primary[at] = s.number()
			j.w.counts.Elections++
			j.w.say("%s leads group %d in term %d", s, id, term)
		} else if was != s.number() {
			j.w.violated("one primary", "servers %d and %d lead group %d in term %d", was, s.number(), id, term)
		}
	}
}

// ids are the groups of the pool.
func (w *world) ids() []uc.GroupID {
	list := []uc.GroupID{uc.PoolGroup}
	for i := range w.groups {
		list = append(list, uc.GroupID(i+1))
	}
	return list
}

// opened looks at the first start: enough servers have to run.
func (j *judge) opened(s *server) {
	if j.began {
		return
	}
	j.began = true
	running := 0
	for _, o := range j.w.servers {
		if o.up || o.life > 0 && j.w.now-o.ended < linkPatience+2*time.Second {
			running++
		}
	}
	if need := quorum.FirstStart(j.w.opts.Servers); running < need {
		j.w.violated("first start", "the pool was opened with %d servers running, %d are needed", running, need)
	}
	if j.w.base != nil {
		j.w.base.opened = true
	}
	j.w.say("the pool is open (%s)", s)
}

// ill says what the pool lacks to be whole, "" for nothing.
func (j *judge) ill() string {
	w := j.w
	p := w.pool()
	if !p.Open() {
		return "the pool was not opened"
	}
	if len(p.Servers) != len(w.topology) {
		return "the topology has not arrived"
	}
	var servers []placement.Server
	for _, x := range p.Servers {
		s := w.named(x.FQDN)
		switch {
		case s == nil || !slices.Contains(w.topology, x.FQDN):
			return string(x.FQDN) + " is no part of the topology"
		case !s.runs() || s.host == nil:
			return fmt.Sprintf("%s does not run", s)
		case !s.serving:
			n, primary := s.poolLog.Leader()
			return fmt.Sprintf("%s does not serve: halted %v, leader %d (%v), claim %v, view %d", s, s.halted, n, primary, s.claim != nil, s.poolAt())
		case s.number() != x.Number:
			return fmt.Sprintf("%s has another number", s)
		}
		servers = append(servers, placement.Server{Number: x.Number, Domain: x.Domain, Draining: x.Draining, Live: true})
	}
	leaders := make([]uint64, len(p.Groups))
	for _, id := range w.ids() {
		why, leader := j.illGroup(p, id)
		if why != "" {
			return fmt.Sprintf("group %d: %s", id, why)
		}
		if id != uc.PoolGroup {
			leaders[id-1] = leader
		}
	}
	places := make([]placement.Place, len(p.Groups))
	for i, g := range p.Groups {
		places[i] = placement.Place{Voters: g.Voters, Preferred: g.Preferred}
	}
	if next := placement.Next(servers, places, p.Witness); len(next) > 0 {
		return fmt.Sprintf("group %d is to be moved from %v to %v: %s", next[0].Group+1, places[next[0].Group].Voters, next[0].Place.Voters, next[0].Why)
	}
	if next := placement.Handovers(servers, places, leaders); len(next) > 0 {
		return fmt.Sprintf("group %d is to be led by %d: %s", next[0].Group+1, next[0].To, next[0].Why)
	}
	return ""
}

// illGroup says what a group lacks, and who leads it.
func (j *judge) illGroup(p *poolstate.Pool, id uc.GroupID) (why string, leader uint64) {
	var at replica.Status
	for _, x := range p.Servers {
		s := j.w.named(x.FQDN)
		g := s.host.Group(id)
		if g == nil {
			return fmt.Sprintf("%s has not begun it", s), 0
		}
		if st := g.Status(); st.Primary {
			at, leader = st, x.Number
		}
	}
	if leader == 0 {
		return "it has no primary", 0
	}
	want := replica.Members{Voters: p.Voters()}
	if id != uc.PoolGroup {
		want.Voters = p.Groups[id-1].Voters
		if n := len(slices.DeleteFunc(slices.Clone(want.Voters), func(n uint64) bool { return n == quorum.Witness })); n != quorum.Copies(len(p.Servers)) {
			return fmt.Sprintf("it is to have %d copies", n), leader
		}
	}
	for _, n := range p.Numbers() {
		if !slices.Contains(want.Voters, n) {
			want.Observers = append(want.Observers, n)
		}
	}
	if !at.Members.Equal(want) {
		return fmt.Sprintf("its members are %v, and are to be %v", at.Members, want), leader
	}
	for _, x := range p.Servers {
		s := j.w.named(x.FQDN)
		st := s.host.Group(id).Status()
		if st.Applied != at.Applied || st.LastIndex != at.LastIndex || st.Generation != at.Generation {
			return fmt.Sprintf("%s is at %d of %d", s, st.Applied, at.Applied), leader
		}
	}
	return "", leader
}

// agree looks at the states of a pool that is whole and quiet: they are alike, and have
// everything that was promised.
func (j *judge) agree() {
	w := j.w
	p := w.pool()
	first := w.named(p.Servers[0].FQDN)
	for _, x := range p.Servers {
		s := w.named(x.FQDN)
		for id, l := range s.machines {
			if string(l.encode()) != string(first.machines[id].encode()) {
				w.violated("agreement", "%s and %s differ in group %d", s, first, id)
				return
			}
		}
		a, _ := json.Marshal(s.view)
		b, _ := json.Marshal(first.view)
		if string(a) != string(b) {
			w.violated("agreement", "%s and %s differ about the pool", s, first)
			return
		}
	}
	for id := uc.GroupID(1); int(id) <= w.groups; id++ {
		w.book.check(first, first.machines[id])
	}
}
