package durability

import (
	"testing"

	"trivet/rule/directory"
	"trivet/wire/presdoc"
)

// TestGroupsFollowTheDirectoryAfterACrash: what the directory acknowledged holds
// for the routing groups too, though the server died before it could tell them.
// That moment is made by changing the directory of a server that does not run.
func TestGroupsFollowTheDirectoryAfterACrash(t *testing.T) {
	t.Parallel()
	s := newServer(t, "leaver", "idler", "stayer")
	s.run(t)
	phone := s.phone(t)
	phone.User, phone.Login = string(address("idler")), address("idler").Bare()
	if res := phone.Do(registration(phone)); res.Status != 200 {
		t.Fatalf("%s", res)
	}
	for _, name := range []string{"leaver", "idler", "stayer"} {
		c := newClient(name, nil)
		c.befriend(t, s)
	}
	s.process.Kill()

	store := s.directory(t, groups)
	leaver, err := store.Find(t.Context(), address("leaver").Bare())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), leaver.GUID); err != nil {
		t.Fatal(err)
	}
	idler, err := store.Find(t.Context(), address("idler").Bare())
	if err != nil {
		t.Fatal(err)
	}
	setEnabled := func(on bool) func(*directory.User) error {
		return func(u *directory.User) error { u.Enabled = on; return nil }
	}
	if _, err := store.Update(t.Context(), idler.GUID, setEnabled(false)); err != nil {
		t.Fatal(err)
	}
	store.Close()

	s.run(t)
	if list := s.endpoints(t, address("idler")); len(list) != 0 {
		t.Errorf("a disabled user has endpoints: %+v", list)
	}
	s.must(t, "New-CsUser", address("leaver").Bare(), "-Password", password)
	if n := newClient("leaver", nil).friends(t, s); n != 0 {
		t.Errorf("a new user of an old name has %d contacts of the former one", n)
	}
	if n := newClient("stayer", nil).friends(t, s); n != 1 {
		t.Errorf("who stayed has %d contacts, want 1", n)
	}
	s.process.Kill()

	store = s.directory(t, groups)
	if _, err := store.Update(t.Context(), idler.GUID, setEnabled(true)); err != nil {
		t.Fatal(err)
	}
	store.Close()
	s.run(t)
	c := newClient("idler", nil)
	if n := c.friends(t, s); n != 1 {
		t.Errorf("who was enabled again has %d contacts, want 1", n)
	}
	c.befriend(t, s) // and may change them
}

// befriend adds a contact, or changes it.
func (c *client) befriend(t *testing.T, s *server) {
	t.Helper()
	if _, err := c.connect(t.Context(), s.at(5060), nil); err != nil {
		t.Fatal(err)
	}
	defer c.hangUp()
	op := presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:friend@elsewhere.test", Groups: []uint32{1}, DeltaNum: 1}
	if _, err := c.ask(t.Context(), c.service("application/SOAP+xml", op.Append(nil))); err != nil {
		t.Fatal(err)
	}
}

// friends is the length of the contact list.
func (c *client) friends(t *testing.T, s *server) int {
	t.Helper()
	defer c.hangUp()
	got, _, err := c.read(t.Context(), s.at(5060))
	if err != nil {
		t.Fatal(err)
	}
	return len(got.Contacts)
}

// TestCmdletsAreFollowedBeforeTheySucceed: a user who is removed and created again
// at once begins with nothing, and keeps what comes next.
func TestCmdletsAreFollowedBeforeTheySucceed(t *testing.T) {
	t.Parallel()
	s := newServer(t, "again")
	s.run(t)
	for range 3 {
		newClient("again", nil).befriend(t, s)
		s.must(t, "Remove-CsUser", address("again").Bare(), "-Force")
		s.must(t, "New-CsUser", address("again").Bare(), "-Password", password)
		if n := newClient("again", nil).friends(t, s); n != 0 {
			t.Errorf("a new user has %d contacts", n)
		}
	}
	newClient("again", nil).befriend(t, s)
	s.process.Kill()
	s.run(t)
	if n := newClient("again", nil).friends(t, s); n != 1 {
		t.Errorf("after the restart the user has %d contacts, want 1", n)
	}
}
