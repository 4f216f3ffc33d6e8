package poolstate

import (
	"slices"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/quorum"
	"trivet/uc"
)

// What each command refuses, beyond what TestLifeOfAPool has; each on a pool of four
// with a Back End that was just opened.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	for _, c := range []struct {
		what string
		cmd  Command
		kind fault.Kind
	}{
		{"a folder's name that is too long", &Claim{"fe1.example.test", long}, fault.Invalid},
		{"no group", &PutPlace{Group: 0, Voters: []uint64{1}, Preferred: 1}, fault.NotFound},
		{"no voters", &PutPlace{Group: 1, Version: 1}, fault.Invalid},
		{"the witness alone", &PutPlace{Group: 1, Version: 1, Voters: []uint64{quorum.Witness}, Preferred: quorum.Witness}, fault.Invalid},
		{"a place of an older version", &PutPlace{Group: 1, Version: 0, Voters: []uint64{1}, Preferred: 1}, fault.Stale},
		{"no members", &Publish{Version: 1}, fault.Invalid},
		{"a member without a name", &Publish{Version: 1, Members: []Member{{"", 1}}}, fault.Invalid},
		{"a member's name that is too long", &Publish{Version: 1, Members: []Member{{uc.ServerFQDN(long), 1}}}, fault.Invalid},
		{"no upgrade domain", &Publish{Version: 1, Members: []Member{{"fe1.example.test", 0}}}, fault.Invalid},
		{"an upgrade domain too many", &Publish{Version: 1, Members: []Member{{"fe1.example.test", 13}}}, fault.Invalid},
		{"nothing recovered", &Recovered{Generation: 1}, fault.Invalid},
		{"recovered from nowhere", &Recovered{Groups: []uc.GroupID{1, 2}, Copies: []uint64{1}, Generation: 1}, fault.Invalid},
		{"recovered from a server that is none", &Recovered{Groups: []uc.GroupID{1, 2}, Copies: []uint64{1, 9}, Generation: 1}, fault.NotFound},
		{"recovered without a number", &Recovered{Groups: []uc.GroupID{1}, Copies: []uint64{1}}, fault.Stale},
		{"recovered twice at once", &Recovered{Groups: []uc.GroupID{1, 1}, Copies: []uint64{1, 2}, Generation: 1}, fault.Stale},
		{"group 0 recovered", &Recovered{Groups: []uc.GroupID{0}, Copies: []uint64{1}, Generation: 1}, fault.NotFound},
		{"an upgrade of no domain", &PutUpgrade{New: Upgrade{Domain: -1}}, fault.Invalid},
		{"an upgrade of a domain too many", &PutUpgrade{New: Upgrade{Domain: 13}}, fault.Invalid},
		{"a domain upgraded that is none", &PutUpgrade{New: Upgrade{Done: []int{1, 0}}}, fault.Invalid},
		{"a domain upgraded twice", &PutUpgrade{New: Upgrade{Done: []int{1, 2, 1}}}, fault.Invalid},
		{"an upgrade that waits for a negative time", &PutUpgrade{New: Upgrade{ReadyTime: -1}}, fault.Invalid},
		{"an upgrade by a name that is too long", &PutUpgrade{New: Upgrade{By: long}}, fault.Limit},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := New()
			do(t, s, opening(4))
			refused(t, s, c.cmd, c.kind)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for what, change := range map[string]func(*Open){
		"an identity that is too long": func(c *Open) { c.ID = strings.Repeat("x", MaxText+1) },
		"no groups":                    func(c *Open) { c.Groups = nil },
		"too many groups":              func(c *Open) { c.Groups = make([]Place, MaxGroups+1) },
		"no members":                   func(c *Open) { c.Members = nil },
		"a place twice the same":       func(c *Open) { c.Groups[1].Voters = []uint64{2, 1, 2} },
		"the witness leads":            func(c *Open) { c.Groups[1] = Place{Voters: []uint64{1, quorum.Witness}, Preferred: quorum.Witness} },
	} {
		c := opening(4)
		change(c)
		t.Run(what, func(t *testing.T) { refused(t, New(), c, fault.Invalid) })
	}
	c := opening(4)
	c.Groups[1].Voters = []uint64{1, 2, 5}
	refused(t, New(), c, fault.NotFound)
	c = opening(2)
	c.Groups, c.Witness = []Place{{Voters: []uint64{1, 2, quorum.Witness}, Preferred: 1}}, false
	refused(t, New(), c, fault.NotFound)
	c.Witness = true
	c.Groups[0].Voters = []uint64{quorum.Witness, 2, 1} // in any order
	if p := do(t, New(), c); !slices.Equal(p.Groups[0].Voters, []uint64{1, 2, quorum.Witness}) {
		t.Errorf("%+v", p.Groups[0])
	}
}

// Of several voters that are servers no more each goes in a step of its own, the others
// staying meanwhile; none comes back.
func TestVotersThatAreServersNoMore(t *testing.T) {
	s := New()
	do(t, s, opening(5))
	p := do(t, s, &Publish{Version: 1, Members: members(5)[2:]})
	if p.ByNumber(1) != nil || p.ByNumber(2) != nil || p.Witness {
		t.Fatalf("%+v", p.Servers)
	}
	do(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 3, 4}, Preferred: 2})
	refused(t, s, &PutPlace{Group: 1, Version: 2, Voters: []uint64{1, 3, 4}, Preferred: 3}, fault.NotFound)
	refused(t, s, &PutPlace{Group: 1, Version: 2, Voters: []uint64{3, 4, quorum.Witness}, Preferred: 3}, fault.NotFound)
	do(t, s, &PutPlace{Group: 1, Version: 2, Voters: []uint64{3, 4, 5}, Preferred: 3})
	refused(t, s, &PutPlace{Group: 1, Version: 3, Voters: []uint64{2, 3, 4}, Preferred: 3}, fault.NotFound)
}

func TestRecovered(t *testing.T) {
	s := New()
	was := do(t, s, opening(4))
	p := do(t, s, &Recovered{Groups: []uc.GroupID{2, uc.PoolGroup}, Copies: []uint64{4, 3}, Generation: 1})
	if at := p.Groups[1]; !slices.Equal(at.Voters, []uint64{4}) || at.Preferred != 4 || at.Version != 2 || p.Groups[0].Version != 1 {
		t.Errorf("%+v", p.Groups)
	}
	if p.Generations[2] != 1 || p.Generations[uc.PoolGroup] != 1 || p.Generations[1] != 0 || was.Groups[1].Version != 1 {
		t.Errorf("%+v", p.Generations)
	}
	do(t, s, &PutPlace{Group: 2, Version: 2, Voters: []uint64{1, 4}, Preferred: 4})
}

func TestADrainingServerLosesItsFolder(t *testing.T) {
	s := New()
	do(t, s, opening(3))
	do(t, s, &Claim{"fe1.example.test", "a"})
	do(t, s, &Drain{"fe1.example.test", true})
	p := do(t, s, &Claim{"fe1.example.test", "b"})
	if got := p.Server("fe1.example.test"); *got != (Server{Number: 4, FQDN: "fe1.example.test", Instance: "b", Domain: 1, Draining: true}) {
		t.Errorf("%+v", got)
	}
}

// Numbers end before that of the witness.
func TestNumbersEnd(t *testing.T) {
	s := New()
	do(t, s, opening(3))
	do(t, s, &Claim{"fe1.example.test", "a"})
	s.pool.Next = quorum.Witness - 1
	if p := do(t, s, &Claim{"fe1.example.test", "b"}); p.Server("fe1.example.test").Number != quorum.Witness-1 {
		t.Errorf("%+v", p.Servers)
	}
	refused(t, s, &Claim{"fe1.example.test", "c"}, fault.Limit)
	refused(t, s, &Publish{Version: 1, Members: members(4)}, fault.Limit)
	do(t, s, &Publish{Version: 1, Members: members(3)})
}
