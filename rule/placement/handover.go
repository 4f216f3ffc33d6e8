package placement

import "slices"

// Handover is a group that another of its voters is to lead now.
type Handover struct {
	Group    int // index
	From, To uint64
	Why      string // for the log
}

// Handovers names the groups whose primary is to hand over: to the preferred server as
// soon as that is well, and away from one that drains or is no part of the pool any more,
// to whoever can lead. leaders has the number of the server that leads each group now, 0
// where none does.
func Handovers(servers []Server, places []Place, leaders []uint64) []Handover {
	p := newPlan(servers, false)
	for _, n := range leaders {
		p.leads[n]++
	}
	var out []Handover
	for g, at := range places {
		if g >= len(leaders) {
			break
		}
		from, to, why := leaders[g], at.Preferred, "the preferred server is well"
		if from == 0 || from == to && p.rank(to) < 2 {
			continue
		}
		if p.rank(to) > 0 || !slices.Contains(at.Voters, to) {
			if p.rank(from) < 2 {
				continue
			}
			to, why = p.leader(at.Voters), "the server that leads drains or is gone"
		}
		if to == 0 || to == from || p.rank(to) > 0 {
			continue
		}
		p.leads[from]--
		p.leads[to]++
		out = append(out, Handover{g, from, to, why})
	}
	return out
}
