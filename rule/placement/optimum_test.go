package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// From wherever the copies are, small pools come to what is best of all there is: the
// fewest pairs in one upgrade domain, then the most even numbers of copies.
func TestTheBestIsFound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 9))
		servers := pool(4+r.IntN(2), 4)
		for i := range servers {
			servers[i].Domain = 1 + r.IntN(5)
		}
		triples := triplesOf(len(servers))
		places := make([]Place, 1+r.IntN(4))
		for g := range places {
			voters := triples[r.IntN(len(triples))]
			places[g] = Place{voters, voters[0]}
		}
		begin := slices.Clone(places)
		settle(t, fmt.Sprint("seed ", seed), servers, places, true)
		if got, want := cost(servers, places), best(servers, triples, make([]Place, len(places)), 0); got != want {
			t.Errorf("seed %d: cost %d, the best has %d: %v from %v\n%+v", seed, got, want, places, begin, servers)
		}
	}
}

// The server with most copies cannot give one to any that has fewer by two, for the
// others of its groups are in that one's domain; one in between can take and give.
func TestOverAServerInBetween(t *testing.T) {
	t.Parallel()
	var servers []Server
	for i, domain := range []int{2, 3, 1, 3, 4, 3, 2, 2, 1, 3, 3} {
		servers = append(servers, Server{Number: uint64(i + 1), Domain: domain, Live: true})
	}
	var places []Place
	for _, voters := range [][]uint64{{2, 3, 8}, {1, 3, 4}, {3, 6, 8}, {3, 7, 10}, {6, 7, 9}, {1, 3, 10}, {5, 7, 11}, {5, 8, 11}, {1, 2, 9}, {5, 6, 9}, {4, 5, 9}} {
		places = append(places, Place{voters, voters[0]})
	}
	most := func() (k int) {
		voters, _ := count(places)
		for _, n := range voters {
			k = max(k, n)
		}
		return k
	}
	if most() != 5 {
		t.Fatalf("begins with %d", most())
	}
	settle(t, "in between", servers, places, true)
	if most() != 4 {
		t.Errorf("ends with %d: %v", most(), places)
	}
}

func triplesOf(n int) (out [][]uint64) {
	for a := range n {
		for b := range a {
			for c := range b {
				out = append(out, []uint64{uint64(c + 1), uint64(b + 1), uint64(a + 1)})
			}
		}
	}
	return out
}

// best is the least cost, found by trying everything.
func best(servers []Server, triples [][]uint64, places []Place, from int) int {
	if from == len(places) {
		return cost(servers, places)
	}
	least := 1 << 30
	for _, voters := range triples {
		places[from].Voters = voters
		least = min(least, best(servers, triples, places, from+1))
	}
	return least
}

func cost(servers []Server, places []Place) (sum int) {
	for _, at := range places {
		sum += 1000 * clashing(servers, at.Voters)
	}
	voters, _ := count(places)
	for _, k := range voters {
		sum += k * k
	}
	return sum
}
