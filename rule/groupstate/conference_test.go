package groupstate

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/conference"
	"trivet/uc"
)

const (
	meetAlice = uc.UserURI("sip:alice@example.test")
	meetHour  = int64(3_600_000)
)

// meeting is a state with alice and her conference "M1", which ends after an hour.
func meeting(t *testing.T) (*State, func(Command) (any, []any)) {
	t.Helper()
	s := New()
	apply := func(c Command) (any, []any) { t.Helper(); return s.Apply(1, Encode(c)) }
	apply(&EnableUser{User: meetAlice, Now: 1})
	r, events := apply(&AddConference{Organizer: meetAlice, Now: 1, Max: 2, ID: "M1", Subject: "Plans", Expires: meetHour, Modalities: []string{"chat"}})
	if Refused(r) != nil || len(events) != 1 || !r.(ConferenceResult).Changed {
		t.Fatal(r, events)
	}
	return s, apply
}

func TestConferenceIsMadeOnce(t *testing.T) {
	s, apply := meeting(t)
	again := &AddConference{Organizer: meetAlice, Now: 5, Max: 2, ID: "M1", Subject: "Plans", Expires: 2 * meetHour, Modalities: []string{"chat"}}
	if r, events := apply(again); Refused(r) != nil || r.(ConferenceResult).Changed || events != nil {
		t.Errorf("the same again: %v %v", r, events)
	}
	if c := s.User(meetAlice).Conference("M1"); c.Expires != meetHour || c.Created != 1 {
		t.Errorf("the same again changed it: %+v", c)
	}
	for name, c := range map[string]struct {
		with func(*AddConference)
		kind fault.Kind
	}{
		"another subject":    {func(x *AddConference) { x.Subject = "Other" }, fault.Exists},
		"another level":      {func(x *AddConference) { x.Level = conference.Invited }, fault.Exists},
		"a bad id":           {func(x *AddConference) { x.ID = "a b" }, fault.Invalid},
		"no id":              {func(x *AddConference) { x.ID = "" }, fault.Invalid},
		"an expiry gone by":  {func(x *AddConference) { x.ID, x.Expires = "M2", 5 }, fault.Invalid},
		"an expiry too late": {func(x *AddConference) { x.ID, x.Expires = "M2", 11*366*24*meetHour }, fault.Invalid},
		"a bad guest":        {func(x *AddConference) { x.ID, x.Listed = "M2", []Listed{{User: "Bob"}} }, fault.Invalid},
		"a guest twice": {func(x *AddConference) {
			x.ID, x.Listed = "M2", []Listed{{User: "sip:b@example.test"}, {User: "sip:b@example.test", Presenter: true}}
		}, fault.Invalid},
		"a stranger":   {func(x *AddConference) { x.Organizer = "sip:eve@example.test" }, fault.NotFound},
		"too many":     {func(x *AddConference) { x.ID, x.Max = "M2", 1 }, fault.Limit},
		"no such user": {func(x *AddConference) { x.Organizer = "sip:bob@example.test" }, fault.NotFound},
	} {
		x := *again
		c.with(&x)
		before := s.Hash()
		if r, events := apply(&x); !fault.Is(Refused(r), c.kind) || events != nil || s.Hash() != before {
			t.Errorf("%s: %v %v, want %s", name, r, events, c.kind)
		}
	}
}

func TestConferenceIsChanged(t *testing.T) {
	s, apply := meeting(t)
	r, events := apply(&ModifyConference{Organizer: meetAlice, ID: "M1", Now: 9, What: ChangeLock, Locked: true, Subject: "ignored"})
	want := &Conference{ID: "M1", Subject: "Plans", Locked: true, Created: 1, Updated: 9, Expires: meetHour, Modalities: []string{"chat"}}
	if d := cmp.Diff(want, r.(ConferenceResult).Conference); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]any{ConferenceChanged{meetAlice, want}}, events); d != "" {
		t.Error(d)
	}
	apply(&ModifyConference{Organizer: meetAlice, ID: "M1", Now: 9, What: changeAll &^ ChangeLock, Subject: "New", Level: conference.Invited,
		Promote: conference.PromoteCompany, Expires: 2 * meetHour, Listed: []Listed{{User: "sip:dave@example.test"}, {User: "sip:bob@example.test"}}})
	apply(&SetConferenceRole{Organizer: meetAlice, ID: "M1", Now: 10, User: "sip:carol@example.test", Presenter: true})
	want = &Conference{ID: "M1", Subject: "New", Level: conference.Invited, Promote: conference.PromoteCompany, Locked: true, Created: 1, Updated: 10,
		Expires: 2 * meetHour, Modalities: []string{"chat"}, Listed: []Listed{{"sip:bob@example.test", false}, {"sip:carol@example.test", true}, {"sip:dave@example.test", false}}}
	if d := cmp.Diff(want, s.User(meetAlice).Conference("M1")); d != "" {
		t.Error(d)
	}
	if l, p := want.Lists("sip:carol@example.test"); !l || !p {
		t.Error("carol is not listed as a presenter")
	}
	if r, events := apply(&SetConferenceRole{Organizer: meetAlice, ID: "M1", Now: 11, User: "sip:carol@example.test", Presenter: true}); r.(ConferenceResult).Changed || events != nil {
		t.Errorf("a role that she has: %v %v", r, events)
	}
	for _, cmd := range []Command{
		&ModifyConference{Organizer: meetAlice, ID: "M2", Now: 9}, &SetConferenceRole{Organizer: meetAlice, ID: "M2", Now: 9, User: "sip:bob@example.test"},
		&ActivateConference{Organizer: meetAlice, ID: "M2"}, &DeleteConference{Organizer: meetAlice, ID: "M2"},
	} {
		if r, _ := apply(cmd); !fault.Is(Refused(r), fault.NotFound) {
			t.Errorf("%T of a conference that is not there: %v", cmd, r)
		}
	}
}

func TestConferenceLists(t *testing.T) {
	_, apply := meeting(t)
	role := func(n int) any {
		r, _ := apply(&SetConferenceRole{Organizer: meetAlice, ID: "M1", Now: 2, User: uc.UserURI(fmt.Sprintf("sip:u%d@example.test", n))})
		return r
	}
	for n := range MaxListed {
		if err := Refused(role(n)); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := Refused(role(MaxListed)); !fault.Is(err, fault.Limit) {
		t.Errorf("one more than allowed: %v", err)
	}
	if err := Refused(role(3)); err != nil {
		t.Errorf("one who is listed: %v", err)
	}
}

func TestListsOfAllConferencesAreBounded(t *testing.T) {
	s := New()
	s.Apply(1, Encode(&EnableUser{User: meetAlice, Now: 1}))
	var people []Listed
	for n := range MaxListed {
		people = append(people, Listed{User: uc.UserURI(fmt.Sprintf("sip:u%d@example.test", n))})
	}
	for n := 0; ; n++ {
		r, _ := s.Apply(1, Encode(&AddConference{Organizer: meetAlice, Now: 1, Max: MaxConferences, ID: fmt.Sprint("M", n), Expires: meetHour, Listed: people}))
		if n == MaxAllListed/MaxListed {
			if !fault.Is(Refused(r), fault.Limit) {
				t.Fatalf("conference %d: %v", n, r)
			}
			return
		}
		if err := Refused(r); err != nil {
			t.Fatal(n, err)
		}
	}
}

func TestConferenceEnds(t *testing.T) {
	s, apply := meeting(t)
	if at, ok := s.NextExpiry(); !ok || at != meetHour {
		t.Errorf("expires at %d %v", at, ok)
	}
	apply(&ActivateConference{Organizer: meetAlice, ID: "M1", Now: 100, Until: 2 * meetHour})
	apply(&ActivateConference{Organizer: meetAlice, ID: "M1", Now: 50, Until: meetHour})
	if c := s.User(meetAlice).Conference("M1"); c.Expires != 2*meetHour || c.Activated != 100 {
		t.Errorf("in use: %+v", c)
	}
	if r, events := apply(&Sweep{Now: meetHour}); r.(SweepResult).Users != 0 || events != nil {
		t.Errorf("swept while in use: %v %v", r, events)
	}
	if _, events := apply(&Sweep{Now: 2 * meetHour}); cmp.Diff([]any{ConferenceEnded{meetAlice, "M1", true}}, events) != "" {
		t.Errorf("swept: %v", events)
	}
	if _, ok := s.NextExpiry(); ok || s.User(meetAlice).Conferences() != nil {
		t.Error("something is left")
	}
	s, apply = meeting(t)
	if _, events := apply(&DeleteConference{Organizer: meetAlice, ID: "M1"}); cmp.Diff([]any{ConferenceEnded{meetAlice, "M1", false}}, events) != "" {
		t.Errorf("deleted: %v", events)
	}
	if _, ok := s.NextExpiry(); ok {
		t.Error("a deleted conference expires")
	}
}

func TestConferencesFollowTheirOrganizer(t *testing.T) {
	s, apply := meeting(t)
	apply(&DisableUser{User: meetAlice, Now: 2})
	if s.User(meetAlice).Conference("M1") == nil {
		t.Error("disabled: the conference is gone")
	}
	if r, _ := apply(&ModifyConference{Organizer: meetAlice, ID: "M1", Now: 9}); !fault.Is(Refused(r), fault.Forbidden) {
		t.Errorf("disabled: %v", r)
	}
	apply(&RenameUser{User: meetAlice, To: "sip:alice.jones@example.test", Now: 3})
	if s.User("sip:alice.jones@example.test").Conference("M1") == nil {
		t.Error("renamed: the conference is gone")
	}
	if at, ok := s.NextExpiry(); !ok || at != meetHour {
		t.Errorf("renamed: expires at %d %v", at, ok)
	}
	_, events := apply(&RemoveUser{User: "sip:alice.jones@example.test", Now: 4})
	if d := cmp.Diff([]any{ConferenceEnded{"sip:alice.jones@example.test", "M1", false}, UserRemoved{"sip:alice.jones@example.test"}}, events); d != "" {
		t.Error(d)
	}
}

// TestSnapshotOfTheFirstVersion: what servers without conferences wrote is read.
func TestSnapshotOfTheFirstVersion(t *testing.T) {
	text, err := os.ReadFile("testdata/snapshot-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	old := New()
	if err := old.Restore(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	now := populated(t)
	now.Apply(1, Encode(&DeleteConference{Organizer: meetAlice, ID: "5815AB"}))
	if old.Hash() != now.Hash() {
		t.Error("it gives another state")
	}
}
