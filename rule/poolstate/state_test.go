package poolstate

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/mirroring"
	"trivet/rule/quorum"
	"trivet/uc"
)

func members(n int) (list []Member) {
	for i := 1; i <= n; i++ {
		list = append(list, Member{uc.ServerFQDN(fmt.Sprintf("fe%d.example.test", i)), i})
	}
	return list
}

func places(n int) (list []Place) {
	for range n {
		list = append(list, Place{Voters: []uint64{1, 2, 3}, Preferred: 2})
	}
	return list
}

func opening(n int) *Open {
	return &Open{ID: "p1", Now: 5, Witness: true, Members: members(n), Groups: places(2), Document: []byte("doc")}
}

func do(t *testing.T, s *State, c Command) *Pool {
	t.Helper()
	v, events := s.Apply(1, Encode(c))
	p, err := Result(v, nil)
	if err != nil || len(events) != 1 || events[0].(Changed).Pool != s.Pool() || p != s.Pool() {
		t.Fatalf("%T: %v, events %v", c, err, events)
	}
	return p
}

func refused(t *testing.T, s *State, c Command, kind fault.Kind) {
	t.Helper()
	was := s.Pool()
	v, events := s.Apply(1, Encode(c))
	if _, err := Result(v, nil); !fault.Is(err, kind) || len(events) > 0 || s.Pool() != was {
		t.Errorf("%T %+v: %v, events %v", c, c, err, events)
	}
}

func TestLifeOfAPool(t *testing.T) {
	s := New()
	refused(t, s, &Claim{"fe1.example.test", "a"}, fault.Unavailable)
	refused(t, s, &Open{ID: "p"}, fault.Invalid)
	p := do(t, s, opening(4))
	refused(t, s, opening(4), fault.Exists)
	if got := p.Voters(); !slices.Equal(got, []uint64{1, 2, 3, 4, quorum.Witness}) {
		t.Errorf("voters of a pool of four: %v", got)
	}
	voters, observers, ok := p.FirstMembers(1, 4)
	if !ok || !slices.Equal(voters, []uint64{1, 2, 3}) || !slices.Equal(observers, []uint64{4}) {
		t.Errorf("first members: %v %v %v", voters, observers, ok)
	}

	do(t, s, &Claim{"fe1.example.test", "a"})
	do(t, s, &Claim{"fe1.example.test", "a"})
	if p = s.Pool(); p.Server("fe1.example.test").Number != 1 {
		t.Error("the same folder has another number")
	}
	p = do(t, s, &Claim{"fe1.example.test", "b"}) // its data was lost
	if got := p.Server("fe1.example.test"); got.Number != 5 || got.First || p.ByNumber(1) != nil || !slices.Equal(p.Voters(), []uint64{2, 3, 4, 5, quorum.Witness}) {
		t.Errorf("after the loss of its folder: %+v, voters %v", got, p.Voters())
	}
	if _, _, ok := p.FirstMembers(1, 5); ok {
		t.Error("a server with a new folder takes itself for a first member")
	}
	refused(t, s, &Claim{"fe9.example.test", "z"}, fault.NotFound)
	refused(t, s, &Claim{"fe2.example.test", ""}, fault.Invalid)

	refused(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 3, 9}, Preferred: 2}, fault.NotFound)
	refused(t, s, &PutPlace{Group: 3, Version: 1, Voters: []uint64{2}, Preferred: 2}, fault.NotFound)
	refused(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 3, 4, 5}, Preferred: 2}, fault.Invalid)
	refused(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 2, 3}, Preferred: 2}, fault.Invalid)
	refused(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 3, 4}, Preferred: 5}, fault.Invalid)
	refused(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{quorum.Witness, 3}, Preferred: quorum.Witness}, fault.Invalid)
	p = do(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{5, 3, 2}, Preferred: 5})
	if !slices.Equal(p.Groups[0].Voters, []uint64{2, 3, 5}) || p.Groups[0].Version != 2 || p.First[0].Version != 1 {
		t.Errorf("moved: %+v, first %+v", p.Groups[0], p.First[0])
	}
	refused(t, s, &PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 3, 4}, Preferred: 2}, fault.Stale)

	refused(t, s, &Publish{Version: 9, Members: members(3), Document: []byte("x")}, fault.Stale)
	refused(t, s, &Publish{Version: 1, Members: append(members(1), members(1)...)}, fault.Invalid)
	refused(t, s, &Publish{Version: 1, Members: members(13)}, fault.Invalid)
	refused(t, s, &Publish{Version: 1, Members: members(3), Document: make([]byte, MaxDocument+1)}, fault.Limit)
	p = do(t, s, &Publish{Version: 1, Now: 9, Members: append(members(3), Member{"fe7.example.test", 1}), Document: []byte("two"), Witness: true})
	if p.Server("fe4.example.test") != nil || p.Server("fe7.example.test").Number != 6 || p.Topology.Version != 2 || p.Next != 7 {
		t.Errorf("published: %+v", p)
	}

	do(t, s, &Drain{"fe2.example.test", true})
	refused(t, s, &Drain{"fe4.example.test", true}, fault.NotFound)
	sync := mirroring.Pair{Synchronized: true}
	refused(t, s, &PutPair{Old: sync, New: sync}, fault.Stale)
	do(t, s, &PutPair{New: sync})
	do(t, s, &Recovered{Groups: []uc.GroupID{1, uc.DirectoryGroup}, Copies: []uint64{3, 3}, Generation: 2})
	refused(t, s, &Recovered{Groups: []uc.GroupID{2, 1}, Copies: []uint64{3, 3}, Generation: 2}, fault.Stale)
	refused(t, s, &Recovered{Groups: []uc.GroupID{3}, Copies: []uint64{3}, Generation: 2}, fault.NotFound)
	do(t, s, &PutUpgrade{New: Upgrade{Domain: 1, Since: 3}})
	refused(t, s, &PutUpgrade{New: Upgrade{Domain: 2}}, fault.Stale)

	var b bytes.Buffer
	if err := s.Snapshot()(&b); err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s.Pool(), again.Pool()); d != "" {
		t.Errorf("through a snapshot:\n%s", d)
	}
}

func TestEarlierStatesStayAsTheyWere(t *testing.T) {
	s := New()
	do(t, s, opening(3))
	was := s.Pool()
	var before bytes.Buffer
	if err := s.Snapshot()(&before); err != nil {
		t.Fatal(err)
	}
	do(t, s, &Claim{"fe1.example.test", "a"})
	do(t, s, &PutPlace{Group: 2, Version: 1, Voters: []uint64{1}, Preferred: 1})
	do(t, s, &Drain{"fe2.example.test", true})
	do(t, s, &Recovered{Groups: []uc.GroupID{1}, Copies: []uint64{3}, Generation: 1})
	old := &State{was}
	var after bytes.Buffer
	if err := old.Snapshot()(&after); err != nil || before.String() != after.String() {
		t.Errorf("a state has changed:\n%s\n%s", before.String(), after.String())
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(opening(3)))
	f.Add(Encode(&Claim{"fe1.example.test", "b"}))
	f.Add(Encode(&PutPlace{Group: 1, Version: 1, Voters: []uint64{2, 3}, Preferred: 3}))
	f.Add(Encode(&Publish{Version: 1, Members: members(2)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := Decode(b); err == nil {
			if _, err := Decode(Encode(c)); err != nil {
				t.Fatal("what was read cannot be written and read again")
			}
		}
		for _, begin := range [][]Command{nil, {opening(3), &Claim{"fe1.example.test", "a"}}} {
			s := New()
			for _, c := range begin {
				s.Apply(1, Encode(c))
			}
			v, _ := s.Apply(2, b)
			if _, err := Result(v, nil); err == nil {
				var out bytes.Buffer
				if err := s.Snapshot()(&out); err != nil || New().Restore(&out) != nil {
					t.Fatal("what was applied cannot be kept")
				}
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	s := New()
	s.Apply(1, Encode(opening(3)))
	var b bytes.Buffer
	if err := s.Snapshot()(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := New(); s.Restore(bytes.NewReader(b)) == nil {
			s.Pool().Voters()
			s.Pool().FirstMembers(1, 1)
			for _, c := range specimens() {
				s.Apply(1, Encode(c))
			}
		}
	})
}

// A server whose data is lost for good has another number at once, and claims it.
func TestDismiss(t *testing.T) {
	s := New()
	do(t, s, opening(3))
	do(t, s, &Claim{"fe2.example.test", "a"})
	refused(t, s, &Dismiss{"fe9.example.test", 2}, fault.NotFound)
	refused(t, s, &Dismiss{"fe2.example.test", 3}, fault.Stale)
	p := do(t, s, &Dismiss{"fe2.example.test", 2})
	if got := p.Server("fe2.example.test"); got.Number != 4 || got.Instance != "" || got.First || p.ByNumber(2) != nil {
		t.Errorf("dismissed: %+v", got)
	}
	if got := do(t, s, &Claim{"fe2.example.test", "b"}).Server("fe2.example.test"); got.Number != 4 || got.Instance != "b" {
		t.Errorf("claimed: %+v", got)
	}
}
