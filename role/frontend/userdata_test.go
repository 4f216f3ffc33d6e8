package frontend

import (
	"testing"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/rule/userdata"
	"trivet/store/users"
)

// TestUserDataComesBack: what was exported is there again after an import, and after a
// restart; whether somebody may sign in is not the file's to say.
func TestUserDataComesBack(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s, stop := run(t, data)
	ann1 := withFriend(t, s)
	d := deployment{s}.UserData()
	r, err := d.Record(t.Context(), ann)
	if err != nil || r == nil || userdata.Contacts(r) != 1 {
		t.Fatalf("the record is %+v, %v", r, err)
	}
	file, err := userdata.Write([]*groupstate.Record{r})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.groups.Propose(t.Context(), ann, &groupstate.DeleteContact{User: ann, Delta: 2, URI: friend}); err != nil {
		t.Fatal(err)
	}
	list, err := userdata.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	list[0].Disabled, list[0].Since = true, 7
	if err := d.ImportRecord(t.Context(), list[0]); err != nil {
		t.Fatal(err)
	}
	hasFriend(t, s, "sip:nobody@example.test", ann)
	if now, err := d.Record(t.Context(), ann); err != nil || now.Since != r.Since || now.Disabled {
		t.Errorf("the import changed who may sign in: %+v, %v", now, err)
	}
	stop()

	s, _ = run(t, data)
	hasFriend(t, s, "sip:nobody@example.test", ann)
	off := func(u *directory.User) error { u.Enabled = false; return nil }
	if _, err := (directoryUsers{s}).Update(t.Context(), ann1.GUID, off); err != nil {
		t.Fatal(err)
	}
	if err := (deployment{s}).UserData().ImportRecord(t.Context(), r); err != nil { // r is of when she was enabled
		t.Fatal(err)
	}
	if now, err := (deployment{s}).UserData().Record(t.Context(), ann); err != nil || !now.Disabled {
		t.Errorf("the import enabled her: %+v, %v", now, err)
	}
}

// TestUserDataOfNobody: reading makes nobody known to a group, strangers are refused.
func TestUserDataOfNobody(t *testing.T) {
	t.Parallel()
	s, _ := run(t, t.TempDir())
	if _, err := s.store.Create(t.Context(), users.New{User: directory.User{GUID: "7d8ec5b0-0000-4000-8000-000000000001", SipAddress: ann, UserPrincipalName: "ann@example.test", SamAccountName: "ann", DisplayName: "Ann", Enabled: true}}); err != nil {
		t.Fatal(err)
	}
	d := deployment{s}.UserData()
	if r, err := d.Record(t.Context(), ann); err != nil || r != nil {
		t.Errorf("who never signed in has %+v, %v", r, err)
	}
	if err := d.ImportRecord(t.Context(), &groupstate.Record{User: annMay}); !fault.Is(err, fault.NotFound) {
		t.Errorf("the data of a stranger: %v", err)
	}
	if err := d.ImportRecord(t.Context(), &groupstate.Record{User: ann}); err != nil {
		t.Error(err)
	}
	if r, err := d.Record(t.Context(), ann); err != nil || r == nil || r.Disabled {
		t.Errorf("after the import she has %+v, %v", r, err)
	}
}
