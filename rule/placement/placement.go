// Package placement decides where the voters of routing groups sit: three of each, on
// different upgrade domains where there are enough, evenly spread, one of them preferred
// to lead, and those evenly too. Everything is a function of what it is given.
//
// One step at a time: Next names the changes that are due now, at most one of each
// group, none of which leaves a group fewer live voters than it has, or without a
// majority of them. Repeated until it names none, it ends. What is weighed, the most
// important first: a majority that lives, no two voters in one upgrade domain, as many
// voters on each server, as many primaries on each.
//
// The voters of the pool group are not placed: they are the seeds (rule/quorum).
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

// plan counts what each server has.
type plan struct {
	servers map[uint64]*Server
	order   []uint64 // numbers, ascending
	voters  map[uint64]int
	leads   map[uint64]int
	shared  map[[2]uint64]int // groups with voters on both servers
	witness bool
	copies  int
}

func newPlan(servers []Server, witness bool) *plan {
	p := &plan{servers: map[uint64]*Server{}, voters: map[uint64]int{}, leads: map[uint64]int{}, shared: map[[2]uint64]int{}}
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
		p.add(g, 1)
	}
}

// move counts a change.
func (p *plan) move(from, to Place) {
	p.add(from, -1)
	p.add(to, 1)
}

func (p *plan) add(at Place, k int) {
	for i, n := range at.Voters {
		p.voters[n] += k
		for _, other := range at.Voters[:i] {
			p.shared[[2]uint64{other, n}] += k
		}
	}
	p.leads[at.Preferred] += k
}

// common is how many groups a server has together with the voters, so that what is lost
// with two servers, and what others take over from one, is about the same for all.
func (p *plan) common(n uint64, voters []uint64) (k int) {
	for _, v := range voters {
		k += p.shared[[2]uint64{min(n, v), max(n, v)}]
	}
	return k
}

func (p *plan) gone(n uint64) bool { s := p.servers[n]; return s == nil || s.Gone }

// fit reports whether a server may get voters.
func (p *plan) fit(n uint64) bool { s := p.servers[n]; return s.Live && !s.Gone && !s.Draining }

// rank orders servers by how well they can lead; those of rank 0 can.
func (p *plan) rank(n uint64) int {
	switch s := p.servers[n]; {
	case s == nil || s.Gone:
		return 3
	case s.Draining:
		return 2
	case !s.Live:
		return 1
	}
	return 0
}

// able are the servers that can lead.
func (p *plan) able() []uint64 {
	return slices.DeleteFunc(slices.Clone(p.order), func(n uint64) bool { return p.rank(n) > 0 })
}

// majority reports whether most of the voters live. The witness is taken for one that
// does. Those that are none of the servers any more may still run: strangers says
// whether they count.
func (p *plan) majority(voters []uint64, strangers bool) bool {
	live := 0
	for _, n := range voters {
		if s := p.servers[n]; n == quorum.Witness || s != nil && s.Live || s == nil && strangers {
			live++
		}
	}
	return live >= quorum.Majority(len(voters))
}

// Lives reports whether most of the voters run, so that a group may be given them. The
// witness is taken for one that does, and so are those that are none of the servers: they
// are about to go, and what they do is not known.
func Lives(servers []Server, voters []uint64) bool {
	return newPlan(servers, false).majority(voters, true)
}

// clashes is how many of the voters, n aside, are in the upgrade domain of n.
func (p *plan) clashes(n uint64, voters []uint64) (k int) {
	for _, v := range voters {
		if s := p.servers[v]; s != nil && v != n && s.Domain == p.servers[n].Domain {
			k++
		}
	}
	return k
}

// best is the server to add to voters: one that leaves them a majority, of another
// upgrade domain, then with the fewest voters; 0 when there is none.
func (p *plan) best(voters []uint64, may func(uint64) bool) uint64 {
	list := slices.DeleteFunc(slices.Clone(p.order), func(n uint64) bool { return slices.Contains(voters, n) || !may(n) })
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(p.risk(a, voters), p.risk(b, voters)), cmp.Compare(p.clashes(a, voters), p.clashes(b, voters)),
			cmp.Compare(p.voters[a], p.voters[b]), cmp.Compare(p.common(a, voters), p.common(b, voters)), cmp.Compare(p.leads[a], p.leads[b]), cmp.Compare(a, b))
	})
}

// risk is 1 for a server that does not live where the voters can spare no further one.
func (p *plan) risk(n uint64, voters []uint64) int {
	if p.servers[n].Live {
		return 0
	}
	all := p.copies
	if p.witness {
		all++
	}
	spare := all - quorum.Majority(all) - 1
	for _, v := range voters {
		if s := p.servers[v]; s != nil && !s.Live {
			spare--
		}
	}
	if spare < 0 {
		return 1
	}
	return 0
}

// leader is the voter that is to lead: one that can, with the fewest primaries.
func (p *plan) leader(voters []uint64) uint64 {
	list := slices.DeleteFunc(slices.Clone(voters), func(n uint64) bool { return p.servers[n] == nil })
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(p.rank(a), p.rank(b)), cmp.Compare(p.leads[a], p.leads[b]), cmp.Compare(p.voters[a], p.voters[b]), cmp.Compare(a, b))
	})
}

// complete adds the witness where it votes. One copy alone has no use for it: the two
// could not do without each other.
func (p *plan) complete(data []uint64) []uint64 {
	if p.witness && len(data) > 1 {
		data = append(data, quorum.Witness)
	}
	slices.Sort(data)
	return data
}

// Initial places groups on the servers of a pool that is opened. All servers count, also
// those that do not run yet, which are expected; but no group is given so many of these
// that it could not begin, and those that run lead.
func Initial(servers []Server, groups int, witness bool) []Place {
	p := newPlan(servers, witness)
	all := func(uint64) bool { return true }
	places := make([]Place, groups)
	for g := range places {
		var voters []uint64
		for len(voters) < p.copies {
			voters = append(voters, p.best(voters, all))
		}
		places[g] = Place{p.complete(voters), p.leader(voters)}
		p.add(places[g], 1)
	}
	for way := p.even(places); way != nil; way = p.even(places) {
		for _, c := range way {
			p.move(places[c.Group], c.Place)
			places[c.Group] = c.Place
		}
	}
	return places
}
