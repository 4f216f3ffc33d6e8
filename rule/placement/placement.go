// Package placement decides where the voters of routing groups sit: three of each, on
// different upgrade domains where there are enough, evenly spread, one of them preferred
// to lead, and those evenly too. Everything is a function of what it is given.
//
// One step at a time: Next names the changes that are due now, at most one of each
// group, none of which leaves a group fewer live voters than it has. Repeated until it
// names none, it ends.
package placement

import (
	"cmp"
	"slices"

	"trivet/rule/quorum"
)

// Server is a Front End as the pool manager sees it.
type Server struct {
	Number uint64
	Domain int  // upgrade domain
	Live   bool // runs and is connected
	// Gone: away for longer than the pool waits, or removed: its voters are replaced.
	Gone bool
	// Draining: leads nothing, and gets no new voters.
	Draining bool
}

// Place is where a group's voters are to be.
type Place struct {
	Voters    []uint64 // ascending; with quorum.Witness where it votes
	Preferred uint64   // to lead
}

// Change is a new place for a group.
type Change struct {
	Group int // index
	Place Place
	Why   string // for the log: "server 3 is gone"
}

// MaxAtOnce is how many groups are changed in one step, so that a pool that loses a
// server is not busy with nothing else.
const MaxAtOnce = 8

// plan counts what each server has.
type plan struct {
	servers map[uint64]*Server
	order   []uint64 // numbers, ascending
	voters  map[uint64]int
	leads   map[uint64]int
	witness bool
	copies  int
}

func newPlan(servers []Server, witness bool) *plan {
	p := &plan{servers: map[uint64]*Server{}, voters: map[uint64]int{}, leads: map[uint64]int{}}
	for i := range servers {
		p.servers[servers[i].Number] = &servers[i]
		p.order = append(p.order, servers[i].Number)
	}
	slices.Sort(p.order)
	p.copies = quorum.Copies(len(servers))
	p.witness = witness && quorum.GroupHasWitness(len(servers))
	return p
}

func (p *plan) count(places []Place) {
	for _, g := range places {
		for _, n := range g.Voters {
			p.voters[n]++
		}
		p.leads[g.Preferred]++
	}
}

func (p *plan) gone(n uint64) bool { s := p.servers[n]; return s == nil || s.Gone }

// fit reports whether a server may get voters.
func (p *plan) fit(n uint64) bool { s := p.servers[n]; return s.Live && !s.Gone && !s.Draining }

// clashes is how many of the voters are in a server's upgrade domain.
func (p *plan) clashes(n uint64, voters []uint64) (k int) {
	for _, v := range voters {
		if s := p.servers[v]; s != nil && v != n && s.Domain == p.servers[n].Domain {
			k++
		}
	}
	return k
}

// best is the server to add to voters: of another upgrade domain, then with the fewest
// voters; 0 when there is none.
func (p *plan) best(voters []uint64, may func(uint64) bool) uint64 {
	list := slices.DeleteFunc(slices.Clone(p.order), func(n uint64) bool { return slices.Contains(voters, n) || !may(n) })
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(p.clashes(a, voters), p.clashes(b, voters)), cmp.Compare(p.voters[a], p.voters[b]), cmp.Compare(p.leads[a], p.leads[b]), cmp.Compare(a, b))
	})
}

// leader is the voter that is to lead: one that can, with the fewest primaries.
func (p *plan) leader(voters []uint64) uint64 {
	list := slices.DeleteFunc(slices.Clone(voters), func(n uint64) bool { return n == quorum.Witness || p.servers[n] == nil })
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(p.rank(a), p.rank(b)), cmp.Compare(p.leads[a], p.leads[b]), cmp.Compare(p.voters[a], p.voters[b]), cmp.Compare(a, b))
	})
}

// rank orders servers by how well they can lead.
func (p *plan) rank(n uint64) int {
	switch s := p.servers[n]; {
	case s.Gone:
		return 3
	case s.Draining:
		return 2
	case !s.Live:
		return 1
	}
	return 0
}

// Initial places groups on the servers of a pool that is opened. All servers count, also
// those that do not run yet: they are expected.
func Initial(servers []Server, groups int, witness bool) []Place {
	p := newPlan(servers, witness)
	all := func(uint64) bool { return true }
	places := make([]Place, groups)
	for g := range places {
		var voters []uint64
		for len(voters) < p.copies {
			n := p.best(voters, all)
			voters = append(voters, n)
			p.voters[n]++
		}
		lead := p.leader(voters)
		p.leads[lead]++
		if p.witness {
			voters = append(voters, quorum.Witness)
		}
		slices.Sort(voters)
		places[g] = Place{voters, lead}
	}
	for way := p.even(places); way != nil; way = p.even(places) {
		for _, c := range way {
			p.move(places[c.Group], c.Place)
			places[c.Group] = c.Place
		}
	}
	return places
}

// Next is what has to change now, most urgent first.
func Next(servers []Server, places []Place, witness bool) []Change {
	p := newPlan(servers, witness)
	p.count(places)
	var out []Change
	touched := map[int]bool{}
	change := func(g int, to Place, why string) {
		slices.Sort(to.Voters)
		out = append(out, Change{g, to, why})
		touched[g] = true
	}
	for g, at := range places {
		if len(out) >= MaxAtOnce {
			return out
		}
		if voters, why, ok := p.mend(at.Voters); ok {
			lead := at.Preferred
			if !slices.Contains(voters, lead) {
				lead = p.leader(voters)
			}
			p.move(at, Place{voters, lead})
			change(g, Place{voters, lead}, why)
		}
	}
	for g, at := range places {
		if len(out) >= MaxAtOnce {
			return out
		}
		if touched[g] || p.servers[at.Preferred] != nil && p.rank(at.Preferred) < 2 {
			continue
		}
		if lead := p.leader(at.Voters); lead != 0 && lead != at.Preferred && p.rank(lead) < 2 {
			to := Place{slices.Clone(at.Voters), lead}
			p.move(at, to)
			change(g, to, "another server is to lead")
		}
	}
	if len(out) > 0 {
		return out
	}
	if g, to, ok := p.spread(places); ok {
		change(g, to, "servers have as many copies as others")
		return out
	}
	return p.even(places)
}

// move counts a change.
func (p *plan) move(from, to Place) {
	for _, n := range from.Voters {
		p.voters[n]--
	}
	for _, n := range to.Voters {
		p.voters[n]++
	}
	p.leads[from.Preferred]--
	p.leads[to.Preferred]++
}

// mend replaces one voter that is gone, adds one that is missing, or takes one out that
// is too many.
func (p *plan) mend(voters []uint64) (to []uint64, why string, ok bool) {
	data := slices.DeleteFunc(slices.Clone(voters), func(n uint64) bool { return n == quorum.Witness })
	bad := slices.IndexFunc(data, p.gone)
	switch {
	case bad >= 0:
		why = "a server is gone"
		rest := slices.Delete(slices.Clone(data), bad, bad+1)
		if n := p.best(rest, p.fit); n != 0 {
			return p.complete(append(rest, n)), why, true
		}
		if p.servers[data[bad]] == nil && len(rest) > 0 { // removed for good: nobody to wait for
			return p.complete(rest), why, true
		}
	case len(data) < p.copies:
		if n := p.best(data, p.fit); n != 0 {
			return p.complete(append(data, n)), "a copy is missing", true
		}
	case len(data) > p.copies:
		worst := slices.MaxFunc(data, func(a, b uint64) int {
			return cmp.Or(cmp.Compare(p.rank(a), p.rank(b)), cmp.Compare(p.voters[a], p.voters[b]), cmp.Compare(a, b))
		})
		return p.complete(slices.DeleteFunc(data, func(n uint64) bool { return n == worst })), "a copy is too many", true
	}
	if slices.Contains(voters, quorum.Witness) != p.witness {
		return p.complete(data), "the witness comes or goes", true
	}
	return nil, "", false
}

// complete adds the witness where it votes.
func (p *plan) complete(data []uint64) []uint64 {
	if p.witness {
		data = append(data, quorum.Witness)
	}
	slices.Sort(data)
	return data
}

// spread moves a copy from a server with too many to one with too few, or to another
// upgrade domain.
func (p *plan) spread(places []Place) (int, Place, bool) {
	fit := slices.DeleteFunc(slices.Clone(p.order), func(n uint64) bool { return !p.fit(n) })
	for _, to := range fit {
		for g, at := range places { // two voters in one domain, and a domain that has none
			if slices.Contains(at.Voters, to) || p.clashes(to, at.Voters) > 0 || p.voters[to] > p.fewest(fit) {
				continue
			}
			for _, from := range at.Voters {
				if s := p.servers[from]; s != nil && p.clashes(from, at.Voters) > 0 {
					return g, p.swap(at, from, to), true
				}
			}
		}
	}
	best, gain, place := -1, 1, Place{}
	for _, to := range fit {
		for g, at := range places {
			if slices.Contains(at.Voters, to) {
				continue
			}
			for _, from := range at.Voters {
				d := p.voters[from] - p.voters[to]
				if p.servers[from] == nil || d <= gain {
					continue
				}
				rest := slices.DeleteFunc(slices.Clone(at.Voters), func(n uint64) bool { return n == from })
				if p.clashes(to, rest) <= p.clashes(from, rest) {
					best, gain, place = g, d, p.swap(at, from, to)
				}
			}
		}
	}
	return best, place, best >= 0
}

func (p *plan) fewest(list []uint64) int {
	low := p.voters[list[0]]
	for _, n := range list {
		low = min(low, p.voters[n])
	}
	return low
}

// swap is the place with one voter in place of another, which leads what that one led.
func (p *plan) swap(at Place, from, to uint64) Place {
	voters := slices.Clone(at.Voters)
	voters[slices.Index(voters, from)] = to
	lead := at.Preferred
	if lead == from {
		lead = to
	}
	return Place{voters, lead}
}

// even gives a group of a server that leads most to one that leads fewer by two or
// more, over others in between where no group has voters on both: along that way each
// passes one group on.
func (p *plan) even(places []Place) []Change {
	var able []uint64
	for _, n := range p.order {
		if p.rank(n) == 0 {
			able = append(able, n)
		}
	}
	slices.SortStableFunc(able, func(a, b uint64) int { return cmp.Compare(p.leads[b], p.leads[a]) })
	for _, most := range able {
		if way := p.way(places, most); way != nil {
			return way
		}
	}
	return nil
}

// way searches, breadth first, from a server over the groups it leads to their voters.
func (p *plan) way(places []Place, from uint64) []Change {
	by := map[uint64]*Change{from: nil} // how a server was reached
	queue := []uint64{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if p.leads[from]-p.leads[at] >= 2 {
			var out []Change
			for c := by[at]; c != nil; c = by[places[c.Group].Preferred] {
				out = append(out, *c)
			}
			return out
		}
		for g, place := range places {
			if place.Preferred != at {
				continue
			}
			for _, n := range place.Voters {
				if _, seen := by[n]; seen || n == quorum.Witness || p.servers[n] == nil || p.rank(n) > 0 {
					continue
				}
				by[n] = &Change{g, Place{slices.Clone(place.Voters), n}, "servers lead as many groups as others"}
				queue = append(queue, n)
			}
		}
	}
	return nil
}
