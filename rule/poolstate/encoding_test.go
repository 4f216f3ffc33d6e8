package poolstate

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/mirroring"
	"trivet/rule/quorum"
	"trivet/uc"
)

var update = flag.Bool("update", false, "write the golden files anew")

// specimens are one command of each kind, with every field.
func specimens() []Command {
	synchronized := mirroring.Pair{OnMirror: true, Synchronized: true}
	return []Command{
		&Open{ID: "p", Now: 1, Witness: true, Members: members(1), Groups: []Place{{Voters: []uint64{1}, Preferred: 1, Version: 1}}, Document: []byte("d")},
		&Claim{"fe1.example.test", "x"},
		&PutPlace{1, 2, []uint64{3}, 3},
		&Drain{"fe1.example.test", true},
		&Publish{1, 2, true, members(1), []byte("d")},
		&PutPair{Old: synchronized, New: synchronized},
		&Recovered{[]uc.GroupID{1, uc.DirectoryGroup}, []uint64{1, 2}, 2},
		&PutUpgrade{upgrading(2), upgrading(1)},
		&Dismiss{"fe1.example.test", 1},
	}
}

// upgrading is an upgrade with every field.
func upgrading(domain int) Upgrade {
	return Upgrade{domain, 2, []int{3}, true, "x", true, 4, 5, 6, Copies{7, 8, 9}}
}

// golden compares got with a file of testdata, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the encoding changed; logs of older versions would be read wrongly (-want +got)\n%s", diff)
	}
}

// The bytes in logs of this release, which later ones have to read.
func TestCommandsKeepTheirEncoding(t *testing.T) {
	var b strings.Builder
	all := specimens()
	for _, c := range all {
		encoded := Encode(c)
		fmt.Fprintf(&b, "%d %s %s\n", encoded[0], reflect.TypeOf(c).Elem().Name(), encoded[1:])
		back, err := Decode(encoded)
		if err != nil || cmp.Diff(c, back) != "" {
			t.Errorf("%T read back: %v %s", c, err, cmp.Diff(c, back))
		}
		complete(t, reflect.ValueOf(c).Elem(), reflect.TypeOf(c).String())
		later := strings.TrimSuffix(string(encoded), "}") + `,"later":1}` // of the next release
		if back, err := Decode([]byte(later)); err != nil || cmp.Diff(c, back) != "" {
			t.Errorf("%T with a field of a later release: %v", c, err)
		}
	}
	if len(all) != len(commands) {
		t.Errorf("%d specimens for %d commands", len(all), len(commands))
	}
	golden(t, "commands.golden", b.String())
}

// complete fails for a field that is zero: the golden file would not show its name.
func complete(t *testing.T, v reflect.Value, where string) {
	t.Helper()
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			complete(t, v.Field(i), where+"."+v.Type().Field(i).Name)
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		complete(t, v.Index(0), where+"[0]")
	case v.IsZero():
		t.Errorf("%s is not in the golden file", where)
	}
}

// whole is a pool in which every field of the state is set.
func whole(t *testing.T) *State {
	t.Helper()
	s := New()
	for _, c := range []Command{
		opening(3),
		&Claim{"fe1.example.test", "a"},
		&Drain{"fe1.example.test", true},
		&PutPair{New: mirroring.Pair{OnMirror: true, Synchronized: true}},
		&Recovered{[]uc.GroupID{2, uc.PoolGroup}, []uint64{1, 1}, 2},
		&PutPlace{1, 1, []uint64{1, 3}, 3},
		&PutUpgrade{New: upgrading(1)},
	} {
		do(t, s, c)
	}
	complete(t, reflect.ValueOf(*s.Pool()), "Pool")
	return s
}

func written(t *testing.T, s *State) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Snapshot()(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheSnapshotKeepsItsEncoding(t *testing.T) {
	s := whole(t)
	golden(t, "snapshot.golden", written(t, s))
	b, err := os.ReadFile("testdata/snapshot.golden")
	if err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s.Pool(), again.Pool()); d != "" {
		t.Errorf("read back:\n%s", d)
	}
	later := append(bytes.TrimSuffix(bytes.TrimSpace(b), []byte("}")), `,"later":1}`...)
	if err := New().Restore(bytes.NewReader(later)); err != nil {
		t.Errorf("with a field of a later release: %v", err)
	}
}

// A snapshot that is cut off or too long leaves the state as it was.
func TestDamagedSnapshots(t *testing.T) {
	s := whole(t)
	was, b := s.Pool(), written(t, s)
	for _, bad := range []string{"", b[:len(b)/2], `[]`, `{"id":"` + strings.Repeat("x", MaxSnapshot) + `"}`} {
		if err := s.Restore(strings.NewReader(bad)); !fault.Is(err, fault.Invalid) || s.Pool() != was {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestUnreadableCommands(t *testing.T) {
	for _, c := range []struct {
		bytes string
		kind  fault.Kind
	}{
		{"", fault.Invalid},
		{"\x02", fault.Invalid},
		{"\x02{", fault.Invalid},
		{"\x02[]", fault.Invalid},
		{`{"fqdn":"a"}`, fault.Unsupported},
		{"\xff{}", fault.Unsupported},
		{"\x02" + strings.Repeat(" ", MaxCommand), fault.Limit},
	} {
		s := whole(t)
		was := s.Pool()
		if _, err := Decode([]byte(c.bytes)); !fault.Is(err, c.kind) {
			t.Errorf("%.20q: %v", c.bytes, err)
		}
		if v, events := s.Apply(9, []byte(c.bytes)); !fault.Is(v.(error), c.kind) || len(events) > 0 || s.Pool() != was {
			t.Errorf("%.20q is applied: %v", c.bytes, v)
		}
	}
}

// The largest pool that the limits allow fits into a command and into a snapshot.
func TestLimitsFitTogether(t *testing.T) {
	name := strings.Repeat("n", MaxText-2)
	open := &Open{ID: strings.Repeat("i", MaxText), Now: 1 << 62, Witness: true, Document: make([]byte, MaxDocument)}
	for i := range quorum.MaxFrontEnds {
		open.Members = append(open.Members, Member{uc.ServerFQDN(fmt.Sprintf("%02d%s", i, name)), quorum.MaxFrontEnds})
	}
	for range MaxGroups {
		open.Groups = append(open.Groups, Place{Voters: []uint64{10, 11, 12, quorum.Witness}, Preferred: 12, Version: 1 << 63})
	}
	if n := len(Encode(open)); n > MaxCommand {
		t.Errorf("an opening of %d bytes", n)
	}
	s := New()
	do(t, s, open)
	p := s.pool.clone()
	for i := range p.Groups {
		p.Groups[i].Voters = []uint64{quorum.Witness - 3, quorum.Witness - 2, quorum.Witness - 1, quorum.Witness}
	}
	p.First, p.Generations = p.Groups, map[uc.GroupID]uint64{uc.PoolGroup: 1 << 63, uc.DirectoryGroup: 1 << 63}
	for i := range p.Groups {
		p.Generations[uc.GroupID(i+1)] = 1 << 63
	}
	b := written(t, &State{p})
	if len(b) > MaxSnapshot {
		t.Errorf("a snapshot of %d bytes", len(b))
	}
	if err := New().Restore(strings.NewReader(b)); err != nil {
		t.Error(err)
	}
}
