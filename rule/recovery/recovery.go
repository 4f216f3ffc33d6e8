// Package recovery plans how groups go on whose quorum is lost: from the newest copy that
// a running server has, else from the Back End, and says what may be lost by that.
//
// A copy is newer by how often its group was recovered, then by the term of its last
// entry, then by its length: the order in which raft compares logs
// (Ongaro's dissertation, 3.6.1), with recoveries before it.
package recovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"trivet/uc"
)

// Copy is what a running server has of a group.
type Copy struct {
	Server     uc.ServerFQDN
	Voter      bool
	Leads      bool   // it is the group's primary
	Generation uint64 // how often the group was recovered
	Term       uint64 // the newest it has heard of
	LastTerm   uint64
	LastIndex  uint64
}

// empty reports whether there is nothing in it.
func (c Copy) empty() bool { return c.LastIndex <= 1 }

func (c Copy) compare(o Copy) int {
	return cmp.Or(cmp.Compare(c.Generation, o.Generation), cmp.Compare(c.LastTerm, o.LastTerm), cmp.Compare(c.LastIndex, o.LastIndex))
}

// Kept is the copy of a routing group in the Back End.
type Kept struct {
	Term, Index uint64
	Age         string // in words
}

// Group is what is known of a group.
type Group struct {
	ID     uc.GroupID
	Voters []uc.ServerFQDN // with data, as the newest copy or the pool's state names them
	// Leaving are the voters with data of before, while a change of membership is under
	// way: nothing is decided without their majority either.
	Leaving []uc.ServerFQDN
	Witness bool // it votes as well
	Copies  []Copy
	Kept    *Kept // nil: the Back End has none, or there is no Back End
}

// Source is where a group goes on from.
type Source uint8

// The sources.
const (
	Healthy Source = iota // it has a primary, or can elect one: nothing is done
	FromCopy
	FromBackEnd
	FromNothing // it begins empty
)

// Step is what is done about a group.
type Step struct {
	Group      uc.GroupID
	Source     Source
	Server     uc.ServerFQDN // that has the copy, or takes the data of the Back End
	Term       uint64        // the highest that is known
	Generation uint64        // under which the group goes on
	// Missing are the voters that do not run: what only they had is lost.
	Missing []uc.ServerFQDN
	// Certain says that nothing acknowledged is lost: a majority of the voters runs.
	Certain bool
}

// Plan decides about groups; servers are those that run, in the order in which they are
// preferred to take what the Back End has.
func Plan(groups []Group, servers []uc.ServerFQDN) []Step {
	var out []Step
	for _, g := range groups {
		out = append(out, plan(g, servers))
	}
	return out
}

func plan(g Group, servers []uc.ServerFQDN) Step {
	s := Step{Group: g.ID}
	live := 0
	for _, v := range g.Voters {
		if slices.ContainsFunc(g.Copies, func(c Copy) bool { return c.Server == v && !c.empty() }) {
			live++
		} else {
			s.Missing = append(s.Missing, v)
		}
	}
	s.Certain = len(g.Voters) > 0 && live > len(g.Voters)/2
	best := Copy{}
	for _, c := range g.Copies {
		s.Term, s.Generation = max(s.Term, c.Term), max(s.Generation, c.Generation)
		if c.Leads {
			return Step{Group: g.ID, Server: c.Server}
		}
		if !c.empty() && (best.Server == "" || c.compare(best) > 0 || c.compare(best) == 0 && c.Voter && !best.Voter) {
			best = c
		}
	}
	if g.elects() {
		return Step{Group: g.ID}
	}
	s.Generation++
	switch {
	case best.Server != "":
		s.Source, s.Server = FromCopy, best.Server
	case len(servers) == 0:
		s.Source = FromNothing
	case g.Kept != nil:
		s.Source, s.Server, s.Certain = FromBackEnd, servers[0], false
	default:
		s.Source, s.Server, s.Certain = FromNothing, servers[0], false
	}
	return s
}

// elects reports whether enough voters run to elect a primary, with or without the
// witness. Such a group must not be recovered, however long it takes: those who are left
// out would go on among themselves, and acknowledge what is lost with them.
func (g Group) elects() bool {
	newest := uint64(0)
	for _, c := range g.Copies {
		newest = max(newest, c.Generation)
	}
	majority := func(voters []uc.ServerFQDN, witness int) bool {
		live := 0
		for _, v := range voters {
			if slices.ContainsFunc(g.Copies, func(c Copy) bool { return c.Server == v && !c.empty() && c.Generation == newest }) {
				live++
			}
		}
		return live > (len(voters)+witness)/2
	}
	witness := 0
	if g.Witness {
		witness = 1
	}
	return majority(g.Voters, witness) && (len(g.Leaving) == 0 || majority(g.Leaving, witness))
}

// Loss says in words what may be lost.
func (s Step) Loss(kept *Kept) string {
	switch s.Source {
	case Healthy:
		return ""
	case FromNothing:
		return "everything: no server that runs has a copy, nor has the Back End"
	case FromBackEnd:
		return fmt.Sprintf("what changed since the copy in the Back End was made (%s)", kept.Age)
	}
	if s.Certain {
		return "nothing that was acknowledged"
	}
	return "what only " + names(s.Missing) + " had"
}

func names(list []uc.ServerFQDN) string {
	var out []string
	for _, n := range list {
		out = append(out, string(n))
	}
	return strings.Join(out, " and ")
}
