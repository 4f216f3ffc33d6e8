package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"trivet/rule/quorum"
)

func pool(n, domains int) []Server {
	var out []Server
	for i := range n {
		out = append(out, Server{Number: uint64(i + 1), Domain: i%domains + 1, Live: true})
	}
	return out
}

// count is how many voters and preferred primaries each server has.
func count(places []Place) (voters, leads map[uint64]int) {
	voters, leads = map[uint64]int{}, map[uint64]int{}
	for _, g := range places {
		for _, n := range g.Voters {
			voters[n]++
		}
		leads[g.Preferred]++
	}
	return voters, leads
}

func spreadOf(m map[uint64]int, servers []Server) int {
	lo, hi := 1<<30, 0
	for _, s := range servers {
		if s.Gone || s.Draining || !s.Live {
			continue
		}
		lo, hi = min(lo, m[s.Number]), max(hi, m[s.Number])
	}
	return hi - lo
}

func TestInitial(t *testing.T) {
	for n := 1; n <= quorum.MaxFrontEnds; n++ {
		servers := pool(n, n)
		places := Initial(servers, 32, true)
		voters, leads := count(places)
		if spreadOf(voters, servers) > 1 || spreadOf(leads, servers) > 1 {
			t.Errorf("pool of %d: voters %v, primaries %v", n, voters, leads)
		}
		for g, p := range places {
			data := slices.DeleteFunc(slices.Clone(p.Voters), func(v uint64) bool { return v == quorum.Witness })
			if len(data) != min(n, 3) || (len(p.Voters) > len(data)) != (n == 2) || !slices.Contains(data, p.Preferred) {
				t.Fatalf("pool of %d, group %d: %v", n, g, p)
			}
		}
		if next := Next(servers, places, true); len(next) > 0 {
			t.Errorf("pool of %d: changed at once: %+v", n, next)
		}
	}
}

// settle repeats Next until it names nothing, and returns how many copies moved.
func settle(t *testing.T, what string, servers []Server, places []Place, witness bool) (moved int) {
	t.Helper()
	for step := 0; ; step++ {
		next := Next(servers, places, witness)
		if len(next) == 0 {
			return moved
		}
		if step > 2000 {
			t.Fatalf("%s: no end, %+v", what, next)
		}
		seen := map[int]bool{}
		for _, c := range next {
			if seen[c.Group] {
				t.Fatalf("%s: group %d twice in a step", what, c.Group)
			}
			seen[c.Group] = true
			was := places[c.Group]
			live := func(list []uint64) (k int) {
				for _, n := range list {
					if i := slices.IndexFunc(servers, func(s Server) bool { return s.Number == n }); i >= 0 && servers[i].Live {
						k++
					}
				}
				return k
			}
			if live(c.Place.Voters) < min(live(was.Voters), quorum.Copies(len(servers))) {
				t.Fatalf("%s: group %d goes from %v to %v, with fewer live", what, c.Group, was, c.Place)
			}
			for _, n := range c.Place.Voters {
				if !slices.Contains(was.Voters, n) {
					moved++
				}
			}
			if !slices.Contains(c.Place.Voters, c.Place.Preferred) || c.Place.Preferred == quorum.Witness {
				t.Fatalf("%s: group %d: %v", what, c.Group, c.Place)
			}
			places[c.Group] = c.Place
		}
	}
}

func TestAServerComesAndGoes(t *testing.T) {
	for n := 4; n <= quorum.MaxFrontEnds; n++ {
		what := fmt.Sprintf("pool of %d", n)
		servers := pool(n-1, 12)
		places := Initial(servers, 32, true)
		servers = append(servers, Server{Number: uint64(n), Domain: n, Live: true})
		moved := settle(t, what, servers, places, true)
		voters, leads := count(places)
		fair := 32 * 3 / n
		if moved > fair+n || voters[uint64(n)] < fair-2 {
			t.Errorf("%s: %d copies moved to the new server, its share is %d", what, moved, fair)
		}
		if spreadOf(leads, servers) > 1 {
			t.Errorf("%s: primaries %v", what, leads)
		}
		servers[0].Live, servers[0].Gone = false, true
		settle(t, what, servers, places, true)
		if voters, leads = count(places); voters[1] > 0 || leads[1] > 0 {
			t.Errorf("%s: a server that is gone still has %d copies and %d primaries", what, voters[1], leads[1])
		}
		if spreadOf(voters, servers) > 2 {
			t.Errorf("%s without one: %v", what, voters)
		}
	}
}

// No two copies of a group are in one upgrade domain where that can be avoided, even
// though servers then have more copies than others.
func TestUpgradeDomainsAreKeptApart(t *testing.T) {
	apart := func(what string, servers []Server, places []Place) {
		t.Helper()
		for g, p := range places {
			seen := map[int]bool{}
			for _, v := range p.Voters {
				d := servers[v-1].Domain
				if seen[d] {
					t.Fatalf("%s: group %d has two copies in upgrade domain %d: %v", what, g, d, p)
				}
				seen[d] = true
			}
		}
	}
	for n := 3; n <= quorum.MaxFrontEnds; n++ {
		servers := pool(n, 3)
		places := Initial(servers, 32, true)
		apart(fmt.Sprintf("pool of %d", n), servers, places)
		if n < 7 {
			continue
		}
		servers[n-1].Live, servers[n-1].Gone = false, true
		settle(t, "one gone", servers, places, true)
		apart(fmt.Sprintf("pool of %d without one", n), servers, places)
		servers[n-1].Live, servers[n-1].Gone = true, false
		settle(t, "back", servers, places, true)
		apart(fmt.Sprintf("pool of %d whole again", n), servers, places)
	}
}

func TestAServerDrains(t *testing.T) {
	servers := pool(3, 3)
	places := Initial(servers, 9, true)
	servers[1].Draining = true
	if moved := settle(t, "draining", servers, places, true); moved > 0 {
		t.Errorf("%d copies were moved for a server that only drains", moved)
	}
	if _, leads := count(places); leads[2] > 0 || leads[1] < 4 || leads[3] < 4 {
		t.Errorf("primaries %v", leads)
	}
	servers[1].Draining = false
	settle(t, "back", servers, places, true)
	if _, leads := count(places); spreadOf(leads, servers) > 1 {
		t.Errorf("after it is back: %v", leads)
	}
}

// Whatever has happened to a pool, the steps end, none takes a live copy away, and what
// can be spread is.
func TestAnyPoolSettles(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		n := 1 + r.IntN(quorum.MaxFrontEnds)
		servers := pool(n, 1+r.IntN(4))
		places := Initial(servers, 1+r.IntN(40), true)
		for range 6 {
			s := &servers[r.IntN(len(servers))]
			switch r.IntN(6) {
			case 0:
				s.Live, s.Gone = false, r.IntN(2) == 0
			case 1:
				s.Live, s.Gone, s.Draining = true, false, false
			case 2:
				s.Draining = !s.Draining
			case 3: // comes back with nothing, under a new number
				s.Number, s.Live, s.Gone, s.Draining = s.Number+100, true, false, false
			case 4:
				if len(servers) < quorum.MaxFrontEnds {
					servers = append(servers, Server{Number: 50 + r.Uint64N(1000)*1000 + uint64(len(servers)), Domain: 1 + r.IntN(4), Live: true})
				}
			case 5:
				if len(servers) > 1 {
					servers = slices.Delete(servers, 0, 1)
				}
			}
			settle(t, fmt.Sprintf("seed %d", seed), servers, places, true)
			fit := 0
			for _, s := range servers {
				if s.Live && !s.Gone && !s.Draining {
					fit++
				}
			}
			for g, p := range places {
				for _, v := range p.Voters {
					i := slices.IndexFunc(servers, func(s Server) bool { return s.Number == v })
					if v != quorum.Witness && (i < 0 || servers[i].Gone) && fit >= 3 && livesOn(servers, p.Voters) {
						t.Fatalf("seed %d: group %d keeps %d, which is gone: %v", seed, g, v, p)
					}
				}
			}
		}
	}
}
