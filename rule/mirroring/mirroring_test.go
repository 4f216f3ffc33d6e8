package mirroring

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNext(t *testing.T) {
	t.Parallel()
	both := Pair{Synchronized: true}
	well := Server{Side: Primary, Reached: true, Principal: true, Attached: true, Waiting: true, Synchronized: true}
	standby := Server{Side: Mirror, Reached: true, Attached: true}
	without := func(s Server, f func(*Server)) Server { f(&s); return s }
	left := without(well, func(s *Server) { s.Attached, s.Synchronized = false, false })
	careless := without(well, func(s *Server) { s.Waiting, s.Synchronized = false, false })
	for what, c := range map[string]struct {
		v    View
		want Action
	}{
		"all is well":                               {View{both, 3, 0, well, standby, false}, Nothing},
		"a new mirror":                              {View{Pair{}, 3, 0, careless, standby, false}, Wait},
		"it catches up":                             {View{Pair{}, 3, 0, without(well, func(s *Server) { s.Synchronized = false }), standby, false}, Nothing},
		"it has caught up":                          {View{Pair{}, 3, 0, well, standby, false}, MarkSynchronized},
		"the mirror is away for a moment":           {View{both, 3, 0, left, Server{}, false}, Nothing},
		"the mirror is away":                        {View{both, 3, 0, left, Server{}, true}, MarkAlone},
		"and the pool knows":                        {View{Pair{}, 3, 0, left, Server{}, true}, StopWaiting},
		"somebody has changed the settings":         {View{both, 3, 0, careless, standby, false}, MarkAlone},
		"one of three does not reach the principal": {View{both, 3, 1, Server{}, standby, false}, Nothing},
		"half of four do not":                       {View{both, 4, 2, Server{}, standby, false}, Nothing},
		"most do not":                               {View{both, 3, 2, Server{}, standby, false}, MarkFailover},
		"most do not, and the mirror lacks some":    {View{Pair{}, 3, 3, Server{}, standby, false}, Nothing},
		"both are away":                             {View{both, 3, 3, Server{}, Server{}, false}, Nothing},
		"the mirror is to be promoted":              {View{Pair{OnMirror: true}, 3, 0, standby, Server{}, false}, Promote},
	} {
		if got := Next(c.v); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

// TestNothingAcknowledgedIsLost plays servers that come and go and a leader that does
// what Next says, one action at a time, with commits between. What the principal has
// acknowledged is never missing on the one that the pool names.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{up: [3]bool{true, true, true}, principal: [3]bool{Primary: true}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				at := rapid.SampledFrom([]Side{Primary, Mirror}).Draw(t, "server")
				w.up[at] = !w.up[at]
			case 1:
				w.cut = !w.cut
			case 2, 3:
				w.commit(rapid.SampledFrom([]Side{Primary, Mirror}).Draw(t, "written to"))
			default:
				w.step(t, rapid.Bool().Draw(t, "for a while"))
			}
			if at := w.pair.Principal(); w.has[at] < w.acknowledged {
				t.Fatalf("%v is the principal with %d of %d acknowledged changes", at, w.has[at], w.acknowledged)
			}
		}
	})
}

// world is a pair of servers by Side; a mirror follows while both are up, not cut off
// from each other, and on the same history.
type world struct {
	pair         Pair
	up           [3]bool
	cut          bool
	principal    [3]bool
	waiting      [3]bool
	diverged     bool // the old principal has its own history
	has          [3]int
	acknowledged int
}

func (w *world) server(at Side) Server {
	o := at.Other()
	s := Server{Side: at, Reached: w.up[at], Principal: w.principal[at], Waiting: w.waiting[at]}
	s.Attached = w.up[at] && w.up[o] && !w.cut && !w.diverged && w.principal[at] != w.principal[o]
	s.Synchronized = s.Principal && s.Attached && s.Waiting && w.has[at] == w.has[o]
	return s
}

// commit is a client that writes to a server, even to one that the pool has left.
func (w *world) commit(at Side) {
	s := w.server(at)
	if !s.Reached || !s.Principal || w.waiting[at] && !s.Attached {
		return
	}
	if w.waiting[at] {
		w.has[at.Other()] = w.has[at] + 1
	}
	w.has[at]++
	if at == w.pair.Principal() || w.waiting[at] {
		w.acknowledged = max(w.acknowledged, w.has[at])
	}
}

func (w *world) step(t *rapid.T, while bool) {
	at := w.pair.Principal()
	v := View{Pair: w.pair, Members: 3, Principal: w.server(at), Mirror: w.server(at.Other()), Detached: while}
	if !v.Principal.Reached && while {
		v.Lost = 3
	}
	switch a := Next(v); a {
	case Wait, StopWaiting:
		w.waiting[at] = a == Wait
		if a == Wait {
			w.has[at.Other()] = w.has[at]
		}
	case Promote:
		w.principal[at], w.waiting[at], w.diverged = true, false, true
	default:
		before := w.pair
		w.pair = w.pair.After(a)
		if before != w.pair && a == MarkSynchronized && !v.Principal.Waiting {
			t.Fatal("synchronized without waiting")
		}
	}
}
