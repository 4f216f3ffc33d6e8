package placement

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"trivet/rule/quorum"
)

// Whatever a pool looks like, what is decided about it holds to the rules that the
// package comment states. They are stated here anew, over the servers as they are given.

func find(servers []Server, n uint64) *Server {
	if i := slices.IndexFunc(servers, func(s Server) bool { return s.Number == n }); i >= 0 {
		return &servers[i]
	}
	return nil
}

func fits(s *Server) bool { return s != nil && s.Live && !s.Gone && !s.Draining }

func living(servers []Server, voters []uint64) (k int) {
	for _, n := range voters {
		if s := find(servers, n); n == quorum.Witness || s != nil && s.Live {
			k++
		}
	}
	return k
}

func livesOn(servers []Server, voters []uint64) bool {
	return 2*living(servers, voters) > len(voters)
}

func withData(voters []uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(voters), func(n uint64) bool { return n == quorum.Witness })
}

// clashing is how many pairs of the voters are in one upgrade domain.
func clashing(servers []Server, voters []uint64) (k int) {
	for i, a := range voters {
		for _, b := range voters[:i] {
			x, y := find(servers, a), find(servers, b)
			if x != nil && y != nil && x.Domain == y.Domain {
				k++
			}
		}
	}
	return k
}

// anyPool is a pool in some state, and where its groups were when all was well.
func anyPool(r *rand.Rand) ([]Server, []Place) {
	n := 1 + r.IntN(quorum.MaxFrontEnds)
	servers := pool(n, 1+r.IntN(n))
	for i := range servers {
		if r.IntN(3) == 0 {
			servers[i].Domain = 1 + r.IntN(n)
		}
	}
	places := Initial(servers, 1+r.IntN(40), true)
	for range r.IntN(5) {
		servers = disturb(r, servers)
		if r.IntN(2) == 0 {
			for _, c := range Next(servers, places, true) {
				places[c.Group] = c.Place
			}
		}
	}
	return servers, places
}

// disturb has something happen to one server.
func disturb(r *rand.Rand, servers []Server) []Server {
	s := &servers[r.IntN(len(servers))]
	switch r.IntN(8) {
	case 0:
		s.Live, s.Gone = false, false
	case 1:
		s.Live, s.Gone = false, true
	case 2:
		s.Live, s.Gone, s.Draining = true, false, false
	case 3:
		s.Draining = !s.Draining
	case 4: // comes back with nothing, under a new number
		s.Number, s.Live, s.Gone, s.Draining = 100+r.Uint64N(1000), true, false, false
	case 5:
		if len(servers) < quorum.MaxFrontEnds {
			servers = append(servers, Server{Number: 2000 + r.Uint64N(1000), Domain: 1 + r.IntN(5), Live: true})
		}
	case 6: // taken out, and still running
		s.Gone = true
	case 7:
		if len(servers) > 1 {
			at := r.IntN(len(servers))
			servers = slices.Delete(servers, at, at+1)
		}
	}
	return servers
}

func TestEveryStepIsSound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		servers, places := anyPool(rand.New(rand.NewPCG(seed, 1)))
		for step := 0; ; step++ {
			next := Next(servers, places, true)
			if len(next) == 0 {
				break
			}
			if step > 2000 {
				t.Fatalf("seed %d: no end: %+v", seed, next)
			}
			changed, seen := 0, map[int]bool{}
			for _, c := range next {
				if seen[c.Group] {
					t.Fatalf("seed %d: group %d is changed twice in a step", seed, c.Group)
				}
				seen[c.Group] = true
				if !slices.Equal(places[c.Group].Voters, c.Place.Voters) {
					changed++
				}
				if err := sound(servers, places[c.Group], c.Place); err != nil {
					t.Fatalf("seed %d: group %d, %s, from %v to %v: %v\n%+v", seed, c.Group, c.Why, places[c.Group], c.Place, err, servers)
				}
				places[c.Group] = c.Place
			}
			if changed > MaxAtOnce {
				t.Fatalf("seed %d: %d groups get other voters at once", seed, changed)
			}
		}
		if err := settled(servers, places); err != nil {
			t.Fatalf("seed %d: %v\n%+v\n%v", seed, err, servers, places)
		}
	}
}

// sound says what is wrong with a step of one group. Replication asks for a majority of
// the old voters and of the new ones while it is made.
func sound(servers []Server, was, to Place) error {
	var come, go_ []uint64
	for _, n := range to.Voters {
		if !slices.Contains(was.Voters, n) && n != quorum.Witness {
			come = append(come, n)
		}
	}
	for _, n := range was.Voters {
		if !slices.Contains(to.Voters, n) && n != quorum.Witness {
			go_ = append(go_, n)
		}
	}
	strangers := func(voters []uint64) (k int) { // who may still run
		for _, n := range withData(voters) {
			if find(servers, n) == nil {
				k++
			}
		}
		return k
	}
	moved := !slices.Equal(was.Voters, to.Voters)
	switch data := withData(to.Voters); {
	case !slices.IsSorted(to.Voters) || len(slices.Compact(slices.Clone(to.Voters))) != len(to.Voters) || len(data) == 0 || len(data) > 3:
		return fmt.Errorf("no list of voters")
	case !slices.Contains(data, to.Preferred):
		return fmt.Errorf("the preferred server has no copy")
	case len(come) > 1 || len(go_) > 1 && slices.ContainsFunc(go_, func(n uint64) bool { return find(servers, n) != nil }):
		return fmt.Errorf("more than one copy moves")
	case len(come) == 1 && !fits(find(servers, come[0])):
		return fmt.Errorf("server %d may not get a copy", come[0])
	case moved && 2*(living(servers, was.Voters)+strangers(was.Voters)) <= len(was.Voters):
		return fmt.Errorf("no majority can decide it")
	case moved && !livesOn(servers, to.Voters) && (livesOn(servers, was.Voters) || 2*(living(servers, to.Voters)+strangers(to.Voters)) <= len(to.Voters)):
		return fmt.Errorf("no majority is left")
	case moved && living(servers, data) < min(living(servers, withData(was.Voters)), quorum.Copies(len(servers))):
		return fmt.Errorf("fewer live copies are left")
	}
	return nil
}

// settled says what is wrong with places that nothing is to be done about.
func settled(servers []Server, places []Place) error {
	voters, leads := count(places)
	for g, at := range places {
		if s := find(servers, at.Preferred); s == nil || s.Gone || s.Draining {
			for _, n := range at.Voters {
				if fits(find(servers, n)) {
					return fmt.Errorf("group %d is to be led by %d, and %d could", g, at.Preferred, n)
				}
			}
		}
		if !livesOn(servers, at.Voters) {
			continue // not to be changed before it is recovered
		}
		for _, from := range withData(at.Voters) {
			rest := slices.DeleteFunc(slices.Clone(at.Voters), func(n uint64) bool { return n == from })
			for i := range servers {
				to := &servers[i]
				if !fits(to) || slices.Contains(at.Voters, to.Number) {
					continue
				}
				was, is := clashing(servers, at.Voters), clashing(servers, append(slices.Clone(rest), to.Number))
				switch s := find(servers, from); {
				case s == nil || s.Gone:
					return fmt.Errorf("group %d keeps %d, which is gone, and %d could have its place", g, from, to.Number)
				case !apart(servers, rest, s) && apart(servers, at.Voters, to):
					return fmt.Errorf("group %d has two copies in one upgrade domain, and %d is in another", g, to.Number)
				case is <= was && voters[from] >= voters[to.Number]+2:
					return fmt.Errorf("server %d has %d copies and %d has %d, and group %d could move", from, voters[from], to.Number, voters[to.Number], g)
				}
			}
		}
		if !fits(find(servers, at.Preferred)) {
			continue
		}
		for _, n := range withData(at.Voters) {
			if fits(find(servers, n)) && leads[at.Preferred] >= leads[n]+2 {
				return fmt.Errorf("server %d leads %d groups, %d leads %d", at.Preferred, leads[at.Preferred], n, leads[n])
			}
		}
	}
	return nil
}

// apart reports whether a server is in an upgrade domain that none of the voters is in.
func apart(servers []Server, voters []uint64, to *Server) bool {
	return !slices.ContainsFunc(voters, func(n uint64) bool { s := find(servers, n); return s != nil && s.Domain == to.Domain })
}

// The answer depends on the servers and places alone, in whatever order servers are
// named, and changes neither.
func TestTheAnswerIsOne(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		servers, places := anyPool(r)
		leaders := make([]uint64, len(places))
		for g := range leaders {
			leaders[g] = places[g].Voters[0]
		}
		kept := make([]Place, len(places))
		for g, at := range places {
			kept[g] = Place{slices.Clone(at.Voters), at.Preferred}
		}
		other := slices.Clone(servers)
		r.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		if a, b := Next(servers, places, true), Next(other, places, true); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d: %+v or %+v", seed, a, b)
		}
		if a, b := Initial(servers, 9, true), Initial(other, 9, true); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d: %+v or %+v", seed, a, b)
		}
		if a, b := Handovers(servers, places, leaders), Handovers(other, places, leaders); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d: %+v or %+v", seed, a, b)
		}
		if !reflect.DeepEqual(kept, places) {
			t.Fatalf("seed %d: the places were changed", seed)
		}
	}
}
