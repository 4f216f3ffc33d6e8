package poolstate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trivet/rule/placement"
	"trivet/rule/quorum"
	"trivet/uc"
)

// life is a pool whose servers come and go, and the log of its commands.
type life struct {
	t     *testing.T
	r     *rand.Rand
	s     *State
	log   [][]byte
	live  map[uc.ServerFQDN]bool
	given map[uint64]uc.ServerFQDN // every number that was ever given
	names int
}

// do carries out a command, and holds what it changed against what may never happen.
func (l *life) do(c Command) *Pool {
	l.t.Helper()
	was := l.s.Pool()
	p := do(l.t, l.s, c)
	l.log = append(l.log, Encode(c))
	for _, s := range p.Servers {
		if had, ok := l.given[s.Number]; ok && had != s.FQDN || s.Number >= p.Next {
			l.t.Fatalf("%T: number %d of %s was given to %s; next is %d", c, s.Number, s.FQDN, had, p.Next)
		} else if !ok && was.Open() && s.Number < was.Next {
			l.t.Fatalf("%T: number %d is new and below %d", c, s.Number, was.Next)
		}
		l.given[s.Number] = s.FQDN
	}
	for i := range was.Groups {
		if a, b := was.Groups[i], p.Groups[i]; b.Version != a.Version && b.Version != a.Version+1 || b.Version == a.Version && !slices.Equal(a.Voters, b.Voters) {
			l.t.Fatalf("%T: group %d from %+v to %+v", c, i+1, a, b)
		}
	}
	if all, _ := quorum.Votes(len(p.Servers), p.Witness); len(p.Voters()) != all || p.Voters()[0] == quorum.Witness {
		l.t.Fatalf("%T: voters %v of %d servers", c, p.Voters(), len(p.Servers))
	}
	return p
}

func (l *life) members(n int) (list []Member) {
	for range n {
		l.names++
		list = append(list, Member{uc.ServerFQDN(fmt.Sprintf("fe%d.example.test", l.names)), 1 + l.r.IntN(5)})
	}
	return list
}

func (l *life) open() {
	n := 1 + l.r.IntN(quorum.MaxFrontEnds)
	c := &Open{ID: "p", Witness: l.r.IntN(4) > 0, Members: l.members(n)}
	var servers []placement.Server
	for i, m := range c.Members {
		l.live[m.FQDN] = true
		servers = append(servers, placement.Server{Number: uint64(i + 1), Domain: m.Domain, Live: true})
	}
	for _, at := range placement.Initial(servers, 1+l.r.IntN(12), c.Witness) {
		c.Groups = append(c.Groups, Place{Voters: at.Voters, Preferred: at.Preferred})
	}
	for _, m := range l.do(c).Servers {
		l.do(&Claim{m.FQDN, "first"})
	}
}

// disturb has something happen to the pool.
func (l *life) disturb() {
	p := l.s.Pool()
	s := p.Servers[l.r.IntN(len(p.Servers))]
	switch l.r.IntN(5) {
	case 0:
		l.live[s.FQDN] = !l.live[s.FQDN]
	case 1:
		l.do(&Drain{s.FQDN, !s.Draining})
	case 2:
		l.live[s.FQDN] = true
		l.do(&Claim{s.FQDN, fmt.Sprint(l.r.Uint32())})
	default:
		c := &Publish{Version: p.Topology.Version, Witness: p.Witness != (l.r.IntN(6) == 0)}
		for _, s := range p.Servers {
			if l.r.IntN(5) > 0 {
				c.Members = append(c.Members, Member{s.FQDN, s.Domain})
			}
		}
		more := l.members(max(min(l.r.IntN(3), quorum.MaxFrontEnds-len(c.Members)), 1-len(c.Members)))
		for _, m := range more {
			l.live[m.FQDN] = true
		}
		c.Members = append(c.Members, more...)
		l.do(c)
	}
}

// recover has the groups go on that have lost their majority, each with the copy of a
// server that runs.
func (l *life) recover() {
	p := l.s.Pool()
	servers := l.servers()
	c := &Recovered{Generation: 1}
	for i, g := range p.Groups {
		if placement.Lives(servers, g.Voters) {
			continue
		}
		if at := slices.IndexFunc(servers, func(s placement.Server) bool { return s.Live }); at >= 0 {
			c.Groups, c.Copies = append(c.Groups, uc.GroupID(i+1)), append(c.Copies, servers[at].Number)
			c.Generation = max(c.Generation, p.Generations[uc.GroupID(i+1)]+1)
		}
	}
	if len(c.Groups) > 0 {
		l.do(c)
	}
}

// servers are those of the pool as placement sees them.
func (l *life) servers() (list []placement.Server) {
	for _, s := range l.s.Pool().Servers {
		list = append(list, placement.Server{Number: s.Number, Domain: s.Domain, Live: l.live[s.FQDN], Gone: !l.live[s.FQDN], Draining: s.Draining})
	}
	return list
}

// place takes all steps that placement names. None may be refused.
func (l *life) place() {
	for round := 0; ; round++ {
		p := l.s.Pool()
		servers := l.servers()
		var places []placement.Place
		for _, g := range p.Groups {
			places = append(places, placement.Place{Voters: g.Voters, Preferred: g.Preferred})
		}
		next := placement.Next(servers, places, p.Witness)
		if len(next) == 0 {
			return
		}
		if round > 2000 {
			l.t.Fatalf("no end: %+v", next)
		}
		for _, c := range next {
			l.do(&PutPlace{uc.GroupID(c.Group + 1), p.Groups[c.Group].Version, c.Place.Voters, c.Place.Preferred})
		}
	}
}

// Whatever happens to a pool, its state takes what placement decides, and the log of its
// commands gives the same state to every server, whichever snapshot it begins with.
func TestAnyLifeOfAPool(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			l := &life{t: t, r: rand.New(rand.NewPCG(seed, 5)), s: New(), live: map[uc.ServerFQDN]bool{}, given: map[uint64]uc.ServerFQDN{}}
			l.open()
			for range 12 {
				l.disturb()
				if l.r.IntN(4) == 0 {
					l.recover()
				}
				if l.r.IntN(3) > 0 {
					l.place()
				}
			}
			l.heal()
			want := written(t, l.s)
			cut := l.r.IntN(len(l.log))
			a := New()
			for i, c := range l.log {
				if i == cut {
					b := written(t, a)
					a = New()
					if err := a.Restore(strings.NewReader(b)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := Result(first(a.Apply(uint64(i+1), c)), nil); err != nil {
					t.Fatal(err)
				}
			}
			if got := written(t, a); got != want {
				t.Errorf("another server has\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// heal has everything well again: then no group lacks a copy, and none has a voter that
// is no server.
func (l *life) heal() {
	l.t.Helper()
	for _, s := range l.s.Pool().Servers {
		l.live[s.FQDN] = true
		l.do(&Drain{s.FQDN, false})
	}
	l.place()
	l.recover()
	l.place()
	p := l.s.Pool()
	for i, g := range p.Groups {
		data := slices.DeleteFunc(slices.Clone(g.Voters), func(n uint64) bool { return n == quorum.Witness })
		known := !slices.ContainsFunc(data, func(n uint64) bool { return p.ByNumber(n) == nil })
		if len(data) != quorum.Copies(len(p.Servers)) || !known || (len(data) < len(g.Voters)) != (p.Witness && len(data) == 2) {
			l.t.Errorf("group %d has %+v of %+v", i+1, g, p.Servers)
		}
	}
}

func first(v any, _ []any) any { return v }
