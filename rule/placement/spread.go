package placement

import (
	"cmp"
	"slices"

	"trivet/rule/quorum"
)

// separate takes one of two voters out of an upgrade domain, if another domain has a
// server for it.
func (p *plan) separate(places []Place) (Change, bool) {
	for g, at := range places {
		var close []uint64 // voters in one domain
		for _, n := range at.Voters {
			if p.servers[n] != nil && p.clashes(n, at.Voters) > 0 {
				close = append(close, n)
			}
		}
		slices.SortStableFunc(close, func(a, b uint64) int { return cmp.Compare(p.voters[b], p.voters[a]) })
		for _, from := range close {
			apart := func(n uint64) bool { return p.fit(n) && p.clashes(n, at.Voters) == 0 && p.sound(at, from, n) }
			if to := p.best(at.Voters, apart); to != 0 {
				return Change{g, swap(at, from, to), "two copies are in one upgrade domain"}, true
			}
		}
	}
	return Change{}, false
}

// sound reports whether a group has a live majority with one voter in place of another
// as well as before.
func (p *plan) sound(at Place, from, to uint64) bool {
	return p.majority(at.Voters, false) && p.majority(swap(at, from, to).Voters, false)
}

// swap is the place with one voter in place of another, which leads what that one led.
func swap(at Place, from, to uint64) Place {
	voters := slices.Clone(at.Voters)
	voters[slices.Index(voters, from)] = to
	slices.Sort(voters)
	lead := at.Preferred
	if lead == from {
		lead = to
	}
	return Place{voters, lead}
}

// balance moves a voter from a server with many towards one that has fewer by two or
// more, the shortest way there is: where upgrade domains forbid the move itself, over
// servers in between. It returns the last move of that way; the others follow.
func (p *plan) balance(places []Place) (Change, bool) {
	from := slices.Clone(p.order)
	slices.SortStableFunc(from, func(a, b uint64) int { return cmp.Compare(p.voters[b], p.voters[a]) })
	for _, n := range from {
		if c, ok := p.towardsFewest(places, n); ok {
			return c, true
		}
	}
	return Change{}, false
}

// towardsFewest searches, breadth first, from a server over moves to others.
func (p *plan) towardsFewest(places []Place, from uint64) (Change, bool) {
	seen := map[uint64]Change{from: {}} // the move to a server
	for ring := []uint64{from}; len(ring) > 0; {
		var next []uint64
		for _, at := range ring {
			for _, to := range p.order {
				if _, ok := seen[to]; ok || !p.fit(to) {
					continue
				}
				if c, ok := p.shift(places, at, to); ok {
					seen[to] = c
					next = append(next, to)
				}
			}
		}
		slices.SortStableFunc(next, func(a, b uint64) int { return cmp.Compare(p.voters[a], p.voters[b]) })
		if len(next) > 0 && p.voters[from]-p.voters[next[0]] >= 2 {
			return seen[next[0]], true
		}
		ring = next
	}
	return Change{}, false
}

// shift finds a group with a voter on one server that may sit on the other: rather one
// that the first does not lead.
func (p *plan) shift(places []Place, from, to uint64) (c Change, ok bool) {
	for g, at := range places {
		if !slices.Contains(at.Voters, from) || slices.Contains(at.Voters, to) || ok && at.Preferred == from {
			continue
		}
		rest := without(at.Voters, from)
		if p.clashes(to, rest) > p.clashes(from, rest) || !p.sound(at, from, to) {
			continue
		}
		c, ok = Change{g, swap(at, from, to), "servers have as many copies as others"}, true
		if at.Preferred != from {
			break
		}
	}
	return c, ok
}

// even gives a group of a server that leads most to one that leads fewer by two or
// more, over others in between where no group has voters on both: along that way each
// passes one group on.
func (p *plan) even(places []Place) []Change {
	able := p.able()
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
				if _, seen := by[n]; seen || n == quorum.Witness || p.rank(n) > 0 {
					continue
				}
				by[n] = &Change{g, Place{slices.Clone(place.Voters), n}, "servers lead as many groups as others"}
				queue = append(queue, n)
			}
		}
	}
	return nil
}
