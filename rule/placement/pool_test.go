package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"trivet/rule/quorum"
)

// The pool's history in these tests: what happens to whole pools, step by step.

// A pool that opens without all of its servers gives each group enough that run, and
// lets these lead; when the others have come, everything is even.
func TestInitialWithoutAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 1 + r.IntN(quorum.MaxFrontEnds)
		servers := pool(n, min(n, 3)+r.IntN(n))
		for _, i := range r.Perm(n)[quorum.FirstStart(n):] {
			servers[i].Live = false
		}
		places := Initial(servers, 32, true)
		for g, at := range places {
			if s := find(servers, at.Preferred); !livesOn(servers, at.Voters) || !fits(s) || len(withData(at.Voters)) != min(n, 3) {
				t.Fatalf("seed %d: pool of %d, group %d: %v\n%+v", seed, n, g, at, servers)
			}
		}
		voters, _ := count(places)
		distinct := n == 1 || servers[n-1].Domain == n
		if everyone(servers, voters) > 1 && distinct {
			t.Errorf("seed %d: pool of %d: copies %v", seed, n, voters)
		}
		for i := range servers {
			servers[i].Live = true
		}
		settle(t, fmt.Sprint("seed ", seed), servers, places, true)
		if voters, leads := count(places); distinct && (everyone(servers, voters) > 1 || everyone(servers, leads) > 1) {
			t.Errorf("seed %d: pool of %d, whole: copies %v, primaries %v", seed, n, voters, leads)
		}
	}
}

// everyone is the difference between the server with the most and that with the fewest.
func everyone(servers []Server, m map[uint64]int) int {
	lo, hi := 1<<30, 0
	for _, s := range servers {
		lo, hi = min(lo, m[s.Number]), max(hi, m[s.Number])
	}
	return hi - lo
}

// Any two servers share about as many groups as any other two, so a server's primaries
// go to all others when it is lost, and the loss of two at once costs as much whichever
// they are.
func TestGroupsAreMixed(t *testing.T) {
	t.Parallel()
	for n := 4; n <= quorum.MaxFrontEnds; n++ {
		places := Initial(pool(n, n), 96, true)
		lo, hi := 96, 0
		for a := uint64(1); a <= uint64(n); a++ {
			for b := a + 1; b <= uint64(n); b++ {
				k := 0
				for _, at := range places {
					if slices.Contains(at.Voters, a) && slices.Contains(at.Voters, b) {
						k++
					}
				}
				lo, hi = min(lo, k), max(hi, k)
			}
		}
		if fair := 96 * 6 / (n * (n - 1)); lo < fair-2 || hi > fair+3 {
			t.Errorf("pool of %d: two servers share %d to %d groups, %d are fair", n, lo, hi, fair)
		}
	}
}

// Only the new server gets copies, and not more than its share.
func TestANewServerTakesItsShare(t *testing.T) {
	t.Parallel()
	for n := 4; n <= quorum.MaxFrontEnds; n++ {
		for _, groups := range []int{1, 8, 32, 100} {
			servers := pool(n-1, n)
			places := Initial(servers, groups, true)
			servers = append(servers, Server{Number: uint64(n), Domain: n, Live: true})
			moved := settle(t, "new", servers, places, true)
			voters, leads := count(places)
			if share := (3*groups + n - 1) / n; moved != voters[uint64(n)] || moved > share || moved < share-1 {
				t.Errorf("pool of %d, %d groups: %d copies moved, the new server has %d, its share is %d", n, groups, moved, voters[uint64(n)], share)
			}
			if everyone(servers, voters) > 1 || everyone(servers, leads) > 1 {
				t.Errorf("pool of %d, %d groups: copies %v, primaries %v", n, groups, voters, leads)
			}
		}
	}
}

// Servers lost one at a time, with time between them to replace their copies: down to
// the number that keeps the pool functioning every group lives. What comes back gets its
// share again.
func TestLossesOneAtATime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 4))
		n := 2 + r.IntN(quorum.MaxFrontEnds-1)
		servers := pool(n, n)
		places := Initial(servers, 32, true)
		seeds := quorum.Seeds(n)
		for _, i := range r.Perm(n) {
			left := seeds
			if i < quorum.Seeds(n) {
				left--
			}
			if !quorum.Pool(n, left, true, true) {
				continue
			}
			seeds = left
			servers[i].Live = false
			for g, at := range places {
				if !livesOn(servers, at.Voters) {
					t.Fatalf("seed %d: pool of %d without %d: group %d has no majority: %v", seed, n, i+1, g, at)
				}
			}
			servers[i].Gone = true
			settle(t, fmt.Sprint("seed ", seed), servers, places, true)
		}
		for i := range servers {
			servers[i].Live, servers[i].Gone = true, false
		}
		settle(t, fmt.Sprint("seed ", seed), servers, places, true)
		if voters, leads := count(places); everyone(servers, voters) > 1 || everyone(servers, leads) > 1 {
			t.Errorf("seed %d: pool of %d, whole again: copies %v, primaries %v", seed, n, voters, leads)
		}
	}
}

// Two servers lost at one instant: the groups with copies on both are lost until they
// are recovered, and hinder no other.
func TestLostGroupsHinderNoOther(t *testing.T) {
	t.Parallel()
	for _, removed := range []bool{false, true} {
		servers := pool(6, 6)
		places := Initial(servers, 100, true)
		a, b := closest(places)
		lost := func(at Place) bool { return slices.Contains(at.Voters, a) && slices.Contains(at.Voters, b) }
		was := slices.Clone(places)
		for _, n := range []uint64{a, b} {
			s := find(servers, n)
			s.Live, s.Gone = false, true
		}
		if removed {
			servers = slices.DeleteFunc(servers, func(s Server) bool { return s.Number == a })
		}
		for range 100 { // what is lost cannot be changed
			for _, c := range Next(servers, places, true) {
				if !lost(places[c.Group]) {
					places[c.Group] = c.Place
				}
			}
		}
		n := 0
		for g, at := range places {
			switch both := lost(was[g]); {
			case both:
				n++
			case slices.Contains(at.Voters, a) || slices.Contains(at.Voters, b):
				t.Errorf("removed %v: group %d keeps a server that is gone: %v", removed, g, at)
			}
		}
		if n < MaxAtOnce {
			t.Fatalf("only %d groups are lost", n)
		}
	}
}

// closest are the two servers that share most groups.
func closest(places []Place) (a, b uint64) {
	shared := map[[2]uint64]int{}
	for _, at := range places {
		for i, x := range at.Voters {
			for _, y := range at.Voters[:i] {
				shared[[2]uint64{y, x}]++
				if shared[[2]uint64{y, x}] > shared[[2]uint64{a, b}] {
					a, b = y, x
				}
			}
		}
	}
	return a, b
}

// A pool grows and shrinks, to two and one as well, without a group that loses its
// majority; who is removed runs until nothing is left there.
func TestPoolsGrowAndShrink(t *testing.T) {
	t.Parallel()
	for from := 1; from <= 6; from++ {
		for to := 1; to <= 6; to++ {
			what := fmt.Sprintf("from %d to %d", from, to)
			places := Initial(pool(from, from), 16, true)
			servers := pool(to, to)
			settle(t, what, servers, places, true)
			for g, at := range places {
				if len(withData(at.Voters)) != min(to, 3) || slices.Contains(at.Voters, quorum.Witness) != (to == 2) || withData(at.Voters)[min(to, 3)-1] > uint64(to) {
					t.Errorf("%s: group %d: %v", what, g, at)
				}
			}
			if voters, leads := count(places); everyone(servers, voters) > 1 || everyone(servers, leads) > 1 {
				t.Errorf("%s: copies %v, primaries %v", what, voters, leads)
			}
		}
	}
}

func TestMending(t *testing.T) {
	t.Parallel()
	const w = quorum.Witness
	gone := func(numbers ...uint64) func([]Server) {
		return func(list []Server) {
			for _, n := range numbers {
				if s := find(list, n); s != nil {
					s.Live, s.Gone = false, true
				}
			}
		}
	}
	removed := func(n uint64) func([]Server) { return func(list []Server) { find(list, n).Gone = true } }
	away := func(n uint64) func([]Server) { return func(list []Server) { find(list, n).Live = false } }
	for _, c := range []struct {
		what   string
		n      int
		alone  bool // without a Back End
		change func([]Server)
		at, to []uint64 // to: nil, nothing is done
	}{
		{what: "one of four is gone", n: 4, change: gone(2), at: []uint64{1, 2, 3}, to: []uint64{1, 3, 4}},
		{what: "one of four is away", n: 4, change: away(2), at: []uint64{1, 2, 3}},
		{what: "one of three is gone", n: 3, change: gone(2), at: []uint64{1, 2, 3}},
		{what: "one is away, another gone", n: 5, at: []uint64{1, 2, 3}, change: func(s []Server) { away(1)(s); gone(2)(s) }},
		{what: "one is away, another taken out", n: 5, at: []uint64{1, 2, 3}, to: []uint64{1, 3, 4}, change: func(s []Server) { away(1)(s); removed(2)(s) }},
		{what: "two are gone", n: 5, change: gone(2, 3), at: []uint64{1, 2, 3}},
		{what: "one that is unknown goes first", n: 5, at: []uint64{1, 2, 9}, to: []uint64{1, 2, 3}, change: func(s []Server) { away(1)(s); removed(2)(s) }},
		{what: "one that does not run goes first", n: 5, at: []uint64{1, 2, 3}, to: []uint64{1, 2, 4}, change: func(s []Server) { removed(2)(s); gone(3)(s) }},
		{what: "nobody to replace one that is unknown", n: 2, at: []uint64{1, 2, 9}, to: []uint64{1, 2, w}},
		{what: "nobody to replace, and one away", n: 2, at: []uint64{1, 2, 9}, change: away(2), to: []uint64{1, 2, w}},
		{what: "one is left", n: 1, at: []uint64{1, 8, 9}, to: []uint64{1}},
		{what: "a second one", n: 2, at: []uint64{1}, to: []uint64{1, 2, w}},
		{what: "a second one without a Back End", n: 2, alone: true, at: []uint64{1}, to: []uint64{1, 2}},
		{what: "a Back End comes", n: 2, at: []uint64{1, 2}, to: []uint64{1, 2, w}},
		{what: "a Back End goes", n: 2, alone: true, at: []uint64{1, 2, w}, to: []uint64{1, 2}},
		{what: "a Back End goes while one is away", n: 2, alone: true, change: away(2), at: []uint64{1, 2, w}},
		{what: "one of two is gone", n: 2, change: gone(2), at: []uint64{1, 2, w}},
		{what: "recovered with one copy", n: 3, at: []uint64{2}, to: []uint64{1, 2}},
		{what: "recovered in a pool of two, the other gone", n: 2, change: gone(2), at: []uint64{1}},
		{what: "recovered in a pool of two", n: 2, at: []uint64{2}, to: []uint64{1, 2, w}},
		{what: "four copies, one away", n: 4, change: away(2), at: []uint64{1, 2, 3, 4}, to: []uint64{1, 3, 4}},
		{what: "four copies", n: 4, at: []uint64{1, 2, 3, 4}, to: []uint64{1, 2, 3}},
		{what: "four copies, two away", n: 4, change: func(s []Server) { away(1)(s); away(2)(s) }, at: []uint64{1, 2, 3, 4}},
	} {
		servers := pool(c.n, c.n)
		if c.change != nil {
			c.change(servers)
		}
		next := Next(servers, []Place{{c.at, c.at[0]}}, !c.alone)
		next = slices.DeleteFunc(next, func(x Change) bool { return slices.Equal(x.Place.Voters, c.at) }) // only another leader
		if c.to == nil && len(next) > 0 || c.to != nil && (len(next) != 1 || !slices.Equal(next[0].Place.Voters, c.to)) {
			t.Errorf("%s: %+v, want %v", c.what, next, c.to)
		}
	}
}

func TestLives(t *testing.T) {
	servers := pool(4, 4)
	servers[0].Live, servers[1].Live = false, false
	for _, c := range []struct {
		voters []uint64
		want   bool
	}{
		{[]uint64{1, 2, 3}, false},
		{[]uint64{1, 3, 4}, true},
		{[]uint64{1, 2, 3, 4}, false},
		{[]uint64{1, 2, 3, 4, quorum.Witness}, true},
		{[]uint64{1, 3, 9}, true},
		{[]uint64{1}, false},
	} {
		if Lives(servers, c.voters) != c.want {
			t.Errorf("%v lives: %v", c.voters, !c.want)
		}
	}
}

func TestHandovers(t *testing.T) {
	t.Parallel()
	servers := pool(3, 3)
	places := []Place{{[]uint64{1, 2, 3}, 1}}
	for _, c := range []struct {
		what      string
		change    func(s []Server)
		leader    uint64
		to        uint64 // 0: nothing is handed over
		voters    []uint64
		preferred uint64
	}{
		{what: "as it should be", leader: 1},
		{what: "nobody leads", leader: 0},
		{what: "the preferred server is well", leader: 2, to: 1},
		{what: "the preferred server is away", leader: 2, change: func(s []Server) { s[0].Live = false }},
		{what: "the preferred server drains", leader: 2, change: func(s []Server) { s[0].Draining = true }},
		{what: "the preferred server leads and drains", leader: 1, to: 2, change: func(s []Server) { s[0].Draining = true }},
		{what: "who leads drains", leader: 2, to: 1, change: func(s []Server) { s[1].Draining = true }},
		{what: "both drain", leader: 2, to: 3, change: func(s []Server) { s[0].Draining, s[1].Draining = true, true }},
		{what: "all drain", leader: 2, change: func(s []Server) { s[0].Draining, s[1].Draining, s[2].Draining = true, true, true }},
		{what: "who leads is removed", leader: 9, to: 1},
		{what: "who leads is removed, the preferred away", leader: 9, to: 2, change: func(s []Server) { s[0].Live = false }},
		{what: "the witness", leader: 1, voters: []uint64{1, 2, quorum.Witness}, preferred: 1, change: func(s []Server) { s[0].Draining, s[1].Live = true, false }},
		{what: "the preferred server has no copy yet", leader: 2, voters: []uint64{2, 3}, preferred: 1},
	} {
		s, at := slices.Clone(servers), slices.Clone(places)
		if c.change != nil {
			c.change(s)
		}
		if c.voters != nil {
			at[0] = Place{c.voters, c.preferred}
		}
		got := Handovers(s, at, []uint64{c.leader})
		if c.to == 0 && len(got) > 0 || c.to != 0 && (len(got) != 1 || got[0].From != c.leader || got[0].To != c.to || got[0].Why == "") {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
}

// When all groups that a server led are handed over because it drains, the others get
// equal parts, even before the preferred servers are chosen anew.
func TestADrainingServerHandsOverEvenly(t *testing.T) {
	t.Parallel()
	servers := pool(3, 3)
	servers[0].Draining = true
	places, leaders := slices.Repeat([]Place{{[]uint64{1, 2, 3}, 1}}, 16), slices.Repeat([]uint64{1}, 16)
	for _, h := range Handovers(servers, places, leaders) {
		leaders[h.Group] = h.To
	}
	led := map[uint64]int{}
	for _, n := range leaders {
		led[n]++
	}
	if led[2] != 8 || led[3] != 8 {
		t.Errorf("led %v", led)
	}
}
