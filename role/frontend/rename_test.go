package frontend

import (
	"context"
	"errors"
	"slices"
	"testing"

	"trivet/fault"
	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/rule/access"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/store/users"
	"trivet/uc"
)

const (
	ann    = uc.UserURI("sip:ann@example.test")
	annMay = uc.UserURI("sip:ann.may@example.test")
	friend = "sip:friend@example.test"
)

// run starts a server over a data folder; stop ends it.
func run(t *testing.T, data string) (s *server, stop func()) {
	t.Helper()
	set, err := conf.Load(data, map[string]string{"domain": "example.test", "sip.tls": "0", "sip.tcp": "0", "https": "0"})
	if err != nil {
		t.Fatal(err)
	}
	g := newGround(context.Background(), set, log.Discard())
	s = newServer(context.Background(), g)
	running := true
	stop = func() {
		t.Helper()
		if !running {
			return
		}
		running = false
		if err := errors.Join(s.stop(context.Background()), g.close(context.Background())); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	if err := g.climb(t.Context(), g.steps()); err != nil {
		t.Fatal(err)
	}
	if err := s.climb(t.Context(), s.steps()); err != nil {
		t.Fatal(err)
	}
	return s, stop
}

// withFriend makes ann, who has one contact.
func withFriend(t *testing.T, s *server) directory.User {
	t.Helper()
	u, err := directoryUsers{s}.Create(t.Context(), directory.User{
		SipAddress: ann, UserPrincipalName: "ann@example.test", SamAccountName: "ann", DisplayName: "Ann", Enabled: true,
	}, "Long-enough-1-password")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.groups.Propose(t.Context(), ann, &groupstate.SetContact{User: ann, Delta: 1, Max: 9,
		Contact: groupstate.Contact{URI: friend, Name: "F", Groups: groupstate.Groups(1), Subscribed: true}}); err != nil {
		t.Fatal(err)
	}
	return u
}

func callHer(a uc.UserURI) func(*directory.User) error {
	return func(u *directory.User) error { u.SipAddress = a; return nil }
}

// hasFriend checks that is has the contact and that nobody is under was.
func hasFriend(t *testing.T, s *server, was, is uc.UserURI) {
	t.Helper()
	if err := s.groups.Read(t.Context(), is, func(state *groupstate.State) {
		if u := state.User(is); u == nil || u.Contacts().Find(friend) == nil || !u.Enabled() {
			t.Errorf("the contact list of %s is lost", is)
		}
		if state.User(was) != nil {
			t.Errorf("somebody is left under %s", was)
		}
	}); err != nil {
		t.Error(err)
	}
	if err := s.groups.Read(t.Context(), was, func(*groupstate.State) {}); !fault.Is(err, fault.NotFound) {
		t.Errorf("reading of %s: %v", was, err)
	}
	if left, err := s.store.Renames(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("still pending: %v, %v", left, err)
	}
}

func TestRenamedUserKeepsTheContactList(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s, stop := run(t, data)
	u := withFriend(t, s)
	is, err := directoryUsers{s}.Update(t.Context(), u.GUID, callHer(annMay))
	if err != nil || is.RoutingGroup != u.RoutingGroup {
		t.Fatalf("group %d, want %d: %v", is.RoutingGroup, u.RoutingGroup, err)
	}
	hasFriend(t, s, ann, annMay)
	stop()
	s, stop = run(t, data)
	hasFriend(t, s, ann, annMay)
	stop()

	// a crash after the directory's commit and before the group's command: there and on
	store, err := users.OpenSQLite(t.Context(), data+"/users.db", users.Options{Groups: groupCount})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []uc.UserURI{ann, "sip:ann.third@example.test"} {
		if _, err := store.Update(t.Context(), u.GUID, callHer(a)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s, stop = run(t, data)
	hasFriend(t, s, annMay, "sip:ann.third@example.test")
	stop()
}

// admirer makes a user of another routing group who has ann as a contact, in a group
// and under a name, and a colleague who has both addresses already.
func admirer(t *testing.T, s *server, name string, contacts ...uc.UserURI) uc.UserURI {
	t.Helper()
	u, err := directoryUsers{s}.Create(t.Context(), directory.User{
		SipAddress: uc.UserURI("sip:" + name + "@example.test"), UserPrincipalName: name + "@example.test", SamAccountName: name, DisplayName: name, Enabled: true,
	}, "Long-enough-1-password")
	if err != nil {
		t.Fatal(err)
	}
	steps := []groupstate.Command{&groupstate.AddGroup{User: u.SipAddress, Delta: 1, Name: "Team"}}
	for i, c := range contacts {
		steps = append(steps, &groupstate.SetContact{User: u.SipAddress, Delta: uint32(2 + i), Max: 9,
			Contact: groupstate.Contact{URI: string(c), Name: "Annie", Groups: groupstate.Groups(2), Subscribed: true}})
	}
	for _, cmd := range steps {
		if _, err := s.groups.Propose(t.Context(), u.SipAddress, cmd); err != nil {
			t.Fatal(err)
		}
	}
	return u.SipAddress
}

// hasAnn checks that somebody's only contact is her under the address.
func hasAnn(t *testing.T, s *server, owner, a uc.UserURI) {
	t.Helper()
	if err := s.groups.Read(t.Context(), owner, func(state *groupstate.State) {
		list := state.User(owner).Contacts().Contacts
		if len(list) != 1 || *list[0] != (groupstate.Contact{URI: string(a), Name: "Annie", Groups: groupstate.Groups(2), Subscribed: true}) {
			t.Errorf("%s has %d contacts, the first %+v, want %s", owner, len(list), list[0], a)
		}
	}); err != nil {
		t.Error(err)
	}
}

func TestContactListsOfOthersFollowARename(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s, stop := run(t, data)
	u := withFriend(t, s)
	one, both := admirer(t, s, "one", ann), admirer(t, s, "both", ann, annMay)
	if _, err := (directoryUsers{s}).Update(t.Context(), u.GUID, callHer(annMay)); err != nil {
		t.Fatal(err)
	}
	hasAnn(t, s, one, annMay)
	hasAnn(t, s, both, annMay)
	stop()

	// a crash between the directory and the groups
	store, err := users.OpenSQLite(t.Context(), data+"/users.db", users.Options{Groups: groupCount})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Update(t.Context(), u.GUID, callHer(ann)); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s, stop = run(t, data)
	hasAnn(t, s, one, ann)
	hasAnn(t, s, both, ann)
	hasFriend(t, s, annMay, ann)
	stop()
}

func TestUserWhoIsMetUnderBothAddresses(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	u := withFriend(t, s)
	x := s.groups.all[u.RoutingGroup-1]
	enable := func(a uc.UserURI) {
		t.Helper()
		if _, err := x.propose(t.Context(), &groupstate.EnableUser{User: a, Now: s.groups.now() + 1000}); err != nil {
			t.Fatal(err)
		}
	}
	enable(annMay) // asked for before the rename is carried out
	if _, err := (directoryUsers{s}).Update(t.Context(), u.GUID, callHer(annMay)); err != nil {
		t.Fatal(err)
	}
	hasFriend(t, s, ann, annMay)
	enable(ann) // met again by somebody who asked just before, and the rename is repeated
	if err := s.carry(t.Context(), x, &groupstate.RenameUser{User: ann, To: annMay, Now: s.groups.now()}); err != nil {
		t.Fatal(err)
	}
	hasFriend(t, s, ann, annMay)
	stop()
}

func TestBlocksFollowARename(t *testing.T) {
	t.Parallel()
	s, _ := run(t, t.TempDir())
	u := withFriend(t, s)
	owner := admirer(t, s, "blocker")
	block := func(a uc.UserURI, version uint32) {
		t.Helper()
		if _, err := s.groups.Propose(t.Context(), owner, &groupstate.SetContainers{User: owner, Changes: []groupstate.ContainerChange{
			{ID: access.Blocked, Version: version, Members: []groupstate.MemberChange{{Member: access.Member{Type: access.User, Value: a.Bare()}}}},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	blocked := func() (all []string) {
		t.Helper()
		if err := s.groups.Read(t.Context(), owner, func(state *groupstate.State) {
			for _, m := range state.User(owner).Container(access.Blocked).Members {
				all = append(all, m.Value)
			}
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	block(ann, 0)
	if _, err := (directoryUsers{s}).Update(t.Context(), u.GUID, callHer(annMay)); err != nil {
		t.Fatal(err)
	}
	if got := blocked(); !slices.Equal(got, []string{annMay.Bare()}) {
		t.Errorf("blocked are %v", got)
	}
}
