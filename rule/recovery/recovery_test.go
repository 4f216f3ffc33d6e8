package recovery

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trivet/uc"
)

var all = []uc.ServerFQDN{"fe1", "fe2", "fe3"}

func TestPlan(t *testing.T) {
	kept := &Kept{3, 40, "12 seconds old"}
	for _, c := range []struct {
		what   string
		g      Group
		want   Step
		losing string
	}{
		{"one that is led", Group{Voters: all, Copies: []Copy{{Server: "fe1", LastIndex: 9}, {Server: "fe2", Leads: true, LastIndex: 9}}},
			Step{Source: Healthy, Server: "fe2"}, ""},
		{"one voter is left", Group{Voters: all, Copies: []Copy{{Server: "fe3", Voter: true, Term: 7, LastTerm: 5, LastIndex: 9}}, Kept: kept},
			Step{Source: FromCopy, Server: "fe3", Term: 7, Generation: 1, Missing: []uc.ServerFQDN{"fe1", "fe2"}}, "what only fe1 and fe2 had"},
		{"the longer log is older", Group{Voters: all, Copies: []Copy{{Server: "fe1", Voter: true, LastTerm: 4, LastIndex: 90}, {Server: "fe4", LastTerm: 5, LastIndex: 9}}},
			Step{Source: FromCopy, Server: "fe4", Generation: 1, Missing: []uc.ServerFQDN{"fe2", "fe3"}}, "fe2 and fe3"},
		{"recovered before, without the longer", Group{Voters: all, Copies: []Copy{{Server: "fe1", LastTerm: 9, LastIndex: 90}, {Server: "fe2", Generation: 1, LastTerm: 5, LastIndex: 9}}},
			Step{Source: FromCopy, Server: "fe2", Generation: 2, Missing: []uc.ServerFQDN{"fe3"}, Certain: true}, "nothing"},
		{"two voters run and have not agreed on a leader yet", Group{Voters: all, Copies: []Copy{{Server: "fe1", Voter: true, LastTerm: 2, LastIndex: 9}, {Server: "fe2", Voter: true, LastTerm: 2, LastIndex: 8}}},
			Step{Source: Healthy}, ""},
		{"two voters and a witness, which one of them cannot outvote", Group{Voters: all[:2], Witness: true, Copies: []Copy{{Server: "fe1", Voter: true, LastTerm: 2, LastIndex: 9}}},
			Step{Source: FromCopy, Server: "fe1", Generation: 1, Missing: []uc.ServerFQDN{"fe2"}}, "fe2"},
		{"both voters without the witness", Group{Voters: all[:2], Witness: true, Copies: []Copy{{Server: "fe1", LastTerm: 2, LastIndex: 9}, {Server: "fe2", LastTerm: 2, LastIndex: 9}}},
			Step{Source: Healthy}, ""},
		{"a change of membership whose former voters are lost", Group{Voters: all, Leaving: []uc.ServerFQDN{"fe4", "fe5"}, Copies: []Copy{{Server: "fe1", Voter: true, LastTerm: 2, LastIndex: 9}, {Server: "fe2", Voter: true, LastTerm: 2, LastIndex: 9}}},
			Step{Source: FromCopy, Server: "fe1", Generation: 1, Missing: []uc.ServerFQDN{"fe3"}, Certain: true}, "nothing"},
		{"the same log: a voter's", Group{Voters: all, Copies: []Copy{{Server: "fe4", LastTerm: 2, LastIndex: 9}, {Server: "fe1", Voter: true, LastTerm: 2, LastIndex: 9}}},
			Step{Source: FromCopy, Server: "fe1", Generation: 1, Missing: []uc.ServerFQDN{"fe2", "fe3"}}, "fe2"},
		{"no copy", Group{Voters: all, Copies: []Copy{{Server: "fe1", Voter: true, Generation: 3, Term: 8, LastIndex: 1}}, Kept: kept},
			Step{Source: FromBackEnd, Server: "fe1", Term: 8, Generation: 4, Missing: all}, "12 seconds old"},
		{"nothing at all", Group{Voters: all}, Step{Source: FromNothing, Server: "fe1", Generation: 1, Missing: all}, "everything"},
	} {
		got := Plan([]Group{c.g}, all)[0]
		if got.Source != c.want.Source || got.Server != c.want.Server || got.Term != c.want.Term || got.Generation != c.want.Generation || got.Certain != c.want.Certain || !slices.Equal(got.Missing, c.want.Missing) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
		if loss := got.Loss(c.g.Kept); !strings.Contains(loss, c.losing) {
			t.Errorf("%s loses %q, want %q", c.what, loss, c.losing)
		}
	}
}

// No copy that runs is newer than the one that is chosen.
func TestTheNewestCopyWins(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		g := Group{ID: 1, Voters: all}
		for i := range 1 + r.IntN(5) {
			g.Copies = append(g.Copies, Copy{Server: uc.ServerFQDN(rune('a' + i)), Voter: r.IntN(2) == 0, Generation: r.Uint64N(2), LastTerm: r.Uint64N(4), LastIndex: 2 + r.Uint64N(6), Term: 4})
		}
		s := Plan([]Group{g}, all)[0]
		if s.Source == Healthy { // it elects by itself
			continue
		}
		i := slices.IndexFunc(g.Copies, func(c Copy) bool { return c.Server == s.Server })
		for _, c := range g.Copies {
			if c.compare(g.Copies[i]) > 0 || c.Generation >= s.Generation {
				t.Fatalf("seed %d: %+v was chosen, %+v is newer", seed, s, c)
			}
		}
	}
}
