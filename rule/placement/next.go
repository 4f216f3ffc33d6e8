package placement

import (
	"cmp"
	"slices"

	"trivet/rule/quorum"
)

// Change is a new place for a group.
type Change struct {
	Group int // index
	Place Place
	Why   string // for the log: "a server is gone"
}

// MaxAtOnce is how many groups get other voters in one step, so that a pool that loses a
// server is not busy with nothing else.
const MaxAtOnce = 8

// Next is what has to change now, most urgent first. Groups without a live majority are
// left alone: nothing can be changed there before they are recovered.
func Next(servers []Server, places []Place, witness bool) []Change {
	p := newPlan(servers, witness)
	p.count(places)
	out := p.mendAll(places, nil, false)
	out = p.mendAll(places, out, true) // after the others, for they may be past mending
	out = p.relieve(places, out)
	switch {
	case len(out) > 0:
		return out
	default:
		if c, ok := p.separate(places); ok {
			return []Change{c}
		}
		if c, ok := p.balance(places); ok {
			return []Change{c}
		}
	}
	return p.even(places)
}

// mendAll mends the groups that have a majority without servers that are none of the pool
// any more, or, with strangers, those that have one only if such servers still run.
func (p *plan) mendAll(places []Place, out []Change, strangers bool) []Change {
	for g, at := range places {
		if len(out) >= MaxAtOnce {
			break
		}
		if !p.majority(at.Voters, strangers) || strangers && p.majority(at.Voters, false) {
			continue
		}
		voters, why := p.mend(at.Voters, func(to []uint64) bool { return p.majority(to, strangers) })
		if voters == nil {
			continue
		}
		to := Place{voters, at.Preferred}
		if !slices.Contains(voters, to.Preferred) {
			to.Preferred = p.leader(voters)
		}
		p.move(at, to)
		out = append(out, Change{g, to, why})
	}
	return out
}

// mend replaces one voter that is gone, adds one that is missing, or takes one out that
// is too many, if what comes of it is sound; nil when there is nothing to do.
func (p *plan) mend(voters []uint64, sound func([]uint64) bool) (to []uint64, why string) {
	data := without(voters, quorum.Witness)
	try := func(data []uint64, reason string) bool {
		if list := p.complete(slices.Clone(data)); sound(list) {
			to, why = list, reason
		}
		return to != nil
	}
	gone := slices.DeleteFunc(slices.Clone(data), func(n uint64) bool { return !p.gone(n) })
	slices.SortStableFunc(gone, func(a, b uint64) int { return cmp.Compare(p.presence(a), p.presence(b)) })
	for _, bad := range gone {
		rest := without(data, bad)
		if n := p.best(rest, p.fit); n != 0 && try(append(rest, n), "a server is gone") {
			return to, why
		}
	}
	rest := slices.DeleteFunc(slices.Clone(data), func(n uint64) bool { return p.servers[n] == nil })
	if len(rest) > 0 && len(rest) < len(data) && try(rest, "a server is gone") { // for good: nobody to wait for
		return to, why
	}
	if len(gone) == 0 && len(data) < p.copies {
		if n := p.best(data, p.fit); n != 0 && try(append(data, n), "a copy is missing") {
			return to, why
		}
	}
	if len(gone) == 0 && len(data) > p.copies && try(without(data, p.worst(data)), "a copy is too many") {
		return to, why
	}
	if slices.Contains(voters, quorum.Witness) != slices.Contains(p.complete(slices.Clone(data)), quorum.Witness) {
		try(data, "the witness comes or goes")
	}
	return to, why
}

// worst is the voter to take out of too many.
func (p *plan) worst(voters []uint64) uint64 {
	return slices.MaxFunc(voters, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(p.rank(a), p.rank(b)), cmp.Compare(p.voters[a], p.voters[b]), cmp.Compare(a, b))
	})
}

// presence orders servers that are gone by what their votes are worth: least that of one
// that is none of the pool any more.
func (p *plan) presence(n uint64) int {
	switch s := p.servers[n]; {
	case s == nil:
		return 0
	case !s.Live:
		return 1
	}
	return 2
}

func without(list []uint64, n uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(list), func(v uint64) bool { return v == n })
}

// relieve has another server lead what one leads that is gone or drains.
func (p *plan) relieve(places []Place, out []Change) []Change {
	for g, at := range places {
		if len(out) >= MaxAtOnce {
			break
		}
		if p.rank(at.Preferred) < 2 || slices.ContainsFunc(out, func(c Change) bool { return c.Group == g }) {
			continue
		}
		if lead := p.leader(at.Voters); lead != 0 && p.rank(lead) == 0 {
			to := Place{slices.Clone(at.Voters), lead}
			p.move(at, to)
			out = append(out, Change{g, to, "its server drains or is gone"})
		}
	}
	return out
}
