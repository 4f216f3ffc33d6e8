package witness

import (
	"math/rand/v2"
	"testing"
)

func TestVotes(t *testing.T) {
	row := Row{Term: 5, Vote: 1, LastTerm: 4, LastIndex: 10}
	for _, c := range []struct {
		what string
		ask  Candidate
		want bool
		row  Row
	}{
		{"the one that has the vote", Candidate{1, 5, 4, 10}, true, row},
		{"another in the same term", Candidate{2, 5, 9, 99}, false, row},
		{"an older term", Candidate{1, 4, 9, 99}, false, row},
		{"a newer term, as far", Candidate{2, 6, 4, 10}, true, Row{6, 2, 4, 10}},
		{"a newer term, a newer last entry with a lower index", Candidate{2, 6, 5, 3}, true, Row{6, 2, 4, 10}},
		{"a newer term, behind by an entry", Candidate{2, 6, 4, 9}, false, Row{6, 0, 4, 10}},
		{"a newer term, longer but older", Candidate{2, 6, 3, 99}, false, Row{6, 0, 4, 10}},
	} {
		got, yes := row.ForVote(c.ask)
		if yes != c.want || got != c.row {
			t.Errorf("%s: %v %+v, want %v %+v", c.what, yes, got, c.want, c.row)
		}
		if would := row.WouldVote(c.ask); would != c.want {
			t.Errorf("%s: would vote %v", c.what, would)
		}
	}
}

func TestAppends(t *testing.T) {
	row := Row{Term: 5, Vote: 1, LastTerm: 4, LastIndex: 10}
	for _, c := range []struct {
		what              string
		term, last, index uint64
		want              bool
		row               Row
	}{
		{"an outdated leader", 4, 4, 11, false, row},
		{"the next entry", 5, 5, 11, true, Row{5, 1, 5, 11}},
		{"a newer term", 7, 7, 11, true, Row{7, 0, 7, 11}},
		{"a leader that begins below", 7, 4, 8, true, Row{7, 0, 4, 10}},
		{"the same again", 5, 4, 10, true, row},
		{"a shorter log of a newer term", 7, 7, 9, true, Row{7, 0, 7, 9}},
	} {
		if got, yes := row.Append(c.term, c.last, c.index); yes != c.want || got != c.row {
			t.Errorf("%s: %v %+v, want %v %+v", c.what, yes, got, c.want, c.row)
		}
	}
	if got, yes := row.Heartbeat(6); !yes || got != (Row{6, 0, 4, 10}) {
		t.Errorf("a newer leader's heartbeat: %v %+v", yes, got)
	}
	if got, yes := row.Heartbeat(4); yes || got != row {
		t.Errorf("an outdated heartbeat: %v %+v", yes, got)
	}
}

// Two servers and the witness, each message lost or late as chance has it: what was
// committed once is in the log of every later leader.
func TestNothingCommittedWithItsHelpIsLost(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := Row{}
		type entry struct{ term uint64 }
		type server struct {
			term, vote uint64
			log        []entry
			leads      bool
		}
		s := []*server{{}, {}}
		last := func(l []entry) (term, index uint64) {
			if len(l) == 0 {
				return 0, 0
			}
			return l[len(l)-1].term, uint64(len(l))
		}
		var committed []entry
		for range 60 {
			i := r.IntN(2)
			me, other := s[i], s[1-i]
			switch {
			case r.IntN(4) == 0: // stands for election
				me.term, me.vote, me.leads = me.term+1, uint64(i+1), false
				lt, li := last(me.log)
				votes := 1
				if r.IntN(2) == 0 {
					var yes bool
					if w, yes = w.ForVote(Candidate{uint64(i + 1), me.term, lt, li}); yes {
						votes++
					}
				} else if ot, oi := last(other.log); me.term > other.term {
					other.term, other.vote, other.leads = me.term, 0, false
					if lt > ot || lt == ot && li >= oi {
						other.vote, votes = uint64(i+1), votes+1
					}
				}
				if votes < 2 {
					continue
				}
				me.leads = true
				if len(me.log) < len(committed) {
					t.Fatalf("seed %d: a leader has %d entries of %d committed", seed, len(me.log), len(committed))
				}
				for k, e := range committed {
					if me.log[k] != e {
						t.Fatalf("seed %d: entry %d differs", seed, k)
					}
				}
			case me.leads:
				// The leader sends before it has written; the loss of what it has not
				// written is what a crash does.
				next := append(me.log[:len(me.log):len(me.log)], entry{me.term})
				acks := 0
				if r.IntN(2) == 0 {
					lt, li := last(next)
					var yes bool
					if w, yes = w.Append(me.term, lt, li); yes {
						acks++
					} else {
						me.leads = false
					}
				}
				if r.IntN(5) == 0 { // crash before writing
					me.leads = false
					continue
				}
				me.log = next
				if r.IntN(2) == 0 && other.term <= me.term {
					other.term, other.leads = me.term, false
					other.log = append([]entry(nil), me.log...)
					acks++
				}
				if acks > 0 && len(me.log) > len(committed) {
					committed = append([]entry(nil), me.log...)
				}
			}
		}
	}
}
