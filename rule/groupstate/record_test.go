package groupstate

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"trivet/fault"
	"trivet/uc"
)

func TestRecordEncodingNeverChanges(t *testing.T) {
	golden(t, "record.golden", hex.EncodeToString(specimen().Export())+"\n")
	back, err := ReadRecord(specimen().Export())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(specimen(), back, everything, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("a record does not survive (-want +got)\n%s", diff)
	}
}

// durable is what of a record must be the same wherever it is imported.
func durable(r *Record) *Record {
	d := *r
	d.Containers, d.Publications = nil, nil
	for _, c := range r.Containers {
		if c.Version = 0; len(c.Members) > 0 {
			d.Containers = append(d.Containers, c)
		}
	}
	for _, p := range r.Publications {
		q := *p
		q.Version, q.input = 0, nil
		d.Publications = append(d.Publications, &q)
	}
	l := emptyList
	if r.Contacts != nil {
		l = *r.Contacts
	}
	l.Delta, l.last = 0, 0
	d.Contacts = &l
	return &d
}

func bring(t interface{ Fatal(...any) }, s *State, r *Record, now int64) {
	for _, cmd := range ImportCommands(r, now) {
		if res, _ := s.Apply(1, Encode(cmd)); Refused(res) != nil {
			t.Fatal(Refused(res))
		}
	}
}

// TestWhatIsExportedIsImported: into an empty state a record comes as it was, byte for
// byte; over a user who is there, with the same content.
func TestWhatIsExportedIsImported(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		w := &world{t: t, s: s, now: 1_000_000}
		for i, uri := range someUsers {
			s.Apply(0, Encode(&EnableUser{User: uri, Now: int64(i)}))
		}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			s.Apply(1, Encode(w.draw()))
		}
		fresh := New()
		for u := range s.Users() {
			r, err := ReadRecord(u.Record().Export())
			if err != nil {
				t.Fatal(err)
			}
			bring(t, fresh, r, w.now)
			if got := fresh.User(u.URI()).Record().Export(); !bytes.Equal(got, u.Record().Export()) {
				t.Fatalf("%s is another after export and import", u.URI())
			}
			other := *r
			other.User = w.user()
			bring(t, s, &other, w.now)
			if diff := cmp.Diff(durable(&other), durable(s.User(other.User).Record()), everything, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("imported over %s (-want +got)\n%s", other.User, diff)
			}
			consistent(t, s)
			consistent(t, fresh)
		}
	})
}

func TestALargeRecordComesInParts(t *testing.T) {
	r := &Record{User: "sip:alice@example.test", Contacts: &ContactList{Delta: 9, last: 1, Groups: []ContactGroup{{ID: 1, Name: "~"}}}}
	long := string(bytes.Repeat([]byte{'n'}, maxName))
	for i := range MaxContacts {
		r.Contacts.Contacts = append(r.Contacts.Contacts, &Contact{URI: fmt.Sprintf("sip:%s%04d@example.test", long[:150], i), Name: long, Groups: 1, ExternalURI: long})
	}
	for i := range 300 {
		c := &Conference{ID: fmt.Sprintf("M%03d", i), Expires: 1, Subject: long}
		for j := range 30 {
			c.Listed = append(c.Listed, Listed{User: uc.UserURI(r.Contacts.Contacts[j].URI)})
		}
		r.Conferences = append(r.Conferences, c)
	}
	if n := len(ImportCommands(r, 5)); n < 3 {
		t.Fatalf("%d commands; the record was to be larger than one takes", n)
	}
	s := New()
	bring(t, s, r, 5)
	if diff := cmp.Diff(durable(r), durable(s.User(r.User).Record()), everything, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	good := specimen().Export()
	damaged := bytes.Clone(good)
	damaged[len(damaged)/2] ^= 1
	newer := bytes.Clone(good)
	newer[len(recordMagic)] = recordVersion + 1
	for what, c := range map[string]struct {
		raw  []byte
		kind fault.Kind
	}{
		"nothing": {nil, fault.Invalid}, "text": {[]byte("this is no record of anybody"), fault.Invalid},
		"damaged": {damaged, fault.Invalid}, "cut off": {good[:len(good)-1], fault.Invalid}, "newer": {newer, fault.Unsupported},
	} {
		if _, err := ReadRecord(c.raw); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", what, err, c.kind)
		}
	}
	for what, spoil := range map[string]func(*Record){
		"address":      func(r *Record) { r.User = "Alice" },
		"group":        func(r *Record) { r.Contacts.Contacts[0].Groups = Groups(9) },
		"no groups":    func(r *Record) { r.Contacts.Groups = nil },
		"not static":   func(r *Record) { r.Publications[0].ExpireType = UserBound },
		"twice":        func(r *Record) { r.Conferences = append(r.Conferences, r.Conferences[0]) },
		"listed twice": func(r *Record) { r.Conferences[0].Listed = append(r.Conferences[0].Listed, r.Conferences[0].Listed[0]) },
		"containers":   func(r *Record) { r.Containers = append(r.Containers, r.Containers[0]) },
	} {
		r := specimen()
		spoil(r)
		if _, err := ReadRecord(r.Export()); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", what, err)
		}
		s := New()
		if res, _ := s.Apply(1, Encode(&ImportUser{Record: *r})); Refused(res) == nil || s.Len() != 0 {
			t.Errorf("%s was imported", what)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add(specimen().Export())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ReadRecord(raw)
		if err != nil {
			return
		}
		s := New()
		bring(t, s, r, 1)
		if r.Contacts != nil && r.Contacts.Delta > 0 {
			if diff := cmp.Diff(durable(r), durable(s.User(r.User).Record()), everything, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		}
	})
}
