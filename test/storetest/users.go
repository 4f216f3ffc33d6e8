// Package storetest has the suites every engine of a store passes: what the
// interface promises, tested once, run against each implementation.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
)

// Users runs the suite of users.Store. open makes an empty store with four
// routing groups, whose clock stands at Now, and closes it at the end of t.
func Users(t *testing.T, open func(t *testing.T) users.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s users.Store)
	}{
		{"create and get", createAndGet}, {"find", find}, {"list", list}, {"duplicates", duplicates}, {"bad values", badValues},
		{"create is all or nothing", allOrNothing}, {"update", update}, {"delete", remove}, {"secrets", secrets},
		{"routing groups", routingGroups}, {"renames", renames}, {"changes are told in order", told}, {"certificates", clientCertificates},
		{"all properties", allProperties}, {"managers", managers}, {"photos", photos}, {"batches", batches}, {"groups", groups},
		{"groups refused", groupRefusals}, {"members of groups", groupMembers}, {"groups in themselves", groupCycles},
		{"search for groups", searchGroups}, {"changes since", changes}, {"readers beside a writer", concurrent}, {"a cancelled context", cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

// Now is the time of the suite's clock.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func account(name string) users.New {
	return users.New{
		User: users.User{
			SipAddress: uc.UserURI("sip:" + name + "@example.test"), UserPrincipalName: name + "@Example.test", SamAccountName: strings.ToUpper(name),
			DisplayName: name + " Müller", FirstName: name, LastName: "Müller", WindowsEmailAddress: name + "@example.test", Title: "T", Company: "C",
			Department: "D", Office: "O", Phone: "1", MobilePhone: "2", HomePhone: "3", OtherPhone: "4", Enabled: true, EnabledForRichPresence: true,
			EnabledForFederation: true, RegistrarPool: "sip.example.test", HomeServer: "home", AdminRoles: []string{"CsHelpDesk"},
		},
		Secrets: users.Secrets{Argon2id: "$argon2id$" + name, NTHash: []byte{1, 2}, HA1SHA256: []byte{3}, HA1MD5: []byte{4}},
	}
}

func create(t *testing.T, s users.Store, names ...string) []users.User {
	t.Helper()
	var list []users.New
	for _, n := range names {
		list = append(list, account(n))
	}
	made, err := s.Create(t.Context(), list...)
	if err != nil {
		t.Fatalf("Create(%v): %v", names, err)
	}
	return made
}

func createAndGet(t *testing.T, s users.Store) {
	want := create(t, s, "alice")[0]
	if want.GUID == "" || !want.WhenCreated.Equal(Now) || !want.WhenChanged.Equal(Now) || want.RoutingGroup == 0 {
		t.Errorf("Create gave %+v", want)
	}
	for name, get := range map[string]func() (users.User, error){
		"ByAddress": func() (users.User, error) { return s.ByAddress(t.Context(), "sip:alice@example.test") },
		"ByGUID":    func() (users.User, error) { return s.ByGUID(t.Context(), want.GUID) },
		"Find":      func() (users.User, error) { return s.Find(t.Context(), "alice") },
	} {
		got, err := get()
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v, differs from what Create gave:\n%s", name, err, d)
		}
	}
	for _, get := range []func() error{
		func() error { _, err := s.ByAddress(t.Context(), "sip:bob@example.test"); return err },
		func() error { _, err := s.ByGUID(t.Context(), "none"); return err },
		func() error { _, err := s.Find(t.Context(), "bob"); return err },
		func() error { _, err := s.Find(t.Context(), ""); return err },
		func() error { _, err := s.Secrets(t.Context(), "none"); return err },
	} {
		if err := get(); !fault.Is(err, fault.NotFound) {
			t.Errorf("asking for nobody: %v, want fault.NotFound", err)
		}
	}
}

func find(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	twin := account("alina")
	twin.User.DisplayName = "Bob"
	other := account("bob")
	other.User.DisplayName = "bob"
	if _, err := s.Create(t.Context(), twin, other); err != nil {
		t.Fatal(err)
	}
	for _, identity := range []string{"sip:Alice@example.test", "ALICE@EXAMPLE.TEST", "Alice", `EXAMPLE\alice`, strings.ToUpper(alice.GUID), "{" + alice.GUID + "}", "alice müller", "ALICE MÜLLER", " alice "} {
		if u, err := s.Find(t.Context(), identity); err != nil || u.GUID != alice.GUID {
			t.Errorf("Find(%q) = %q, %v, want alice", identity, u.SipAddress, err)
		}
	}
	for _, name := range []string{string(alice.SipAddress), alice.SipAddress.Bare(), alice.UserPrincipalName, strings.ToUpper(alice.SamAccountName)} {
		if u, err := s.ByLogin(t.Context(), name); err != nil || u.GUID != alice.GUID {
			t.Errorf("ByLogin(%q) = %q, %v, want alice", name, u.SipAddress, err)
		}
	}
	for _, name := range []string{"", " ", alice.GUID, alice.DisplayName, "nobody@" + alice.SipAddress.Domain()} {
		if u, err := s.ByLogin(t.Context(), name); !fault.Is(err, fault.NotFound) {
			t.Errorf("ByLogin(%q) = %q, %v, want nobody", name, u.SipAddress, err)
		}
	}
	if u, err := s.Find(t.Context(), "bob"); err != nil || u.SamAccountName != "BOB" {
		t.Errorf("Find(bob) = %q, %v: the account name goes before display names", u.SipAddress, err)
	}
	third := account("carol")
	third.User.DisplayName = "Alice Müller"
	if _, err := s.Create(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(t.Context(), "Alice Müller"); !fault.Is(err, fault.Invalid) {
		t.Errorf("Find of an ambiguous name: %v, want fault.Invalid", err)
	}
}

func list(t *testing.T, s users.Store) {
	create(t, s, "carol", "alice", "bob")
	if _, err := s.Update(t.Context(), must(s.Find(t.Context(), "bob")).GUID, func(u *users.User) error { u.Department = "Sales"; return nil }); err != nil {
		t.Fatal(err)
	}
	filter, err := directory.ParseFilter("Department -eq sales")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		q    users.Query
		want string
	}{
		{"all", users.Query{}, "ALICE BOB CAROL"}, {"limit", users.Query{Limit: 2}, "ALICE BOB"}, {"pattern", users.Query{Pattern: "*ol*"}, "CAROL"},
		{"address", users.Query{Pattern: "b*@example.test"}, "BOB"}, {"filter", users.Query{Filter: filter}, "BOB"},
		{"both", users.Query{Pattern: "al*", Filter: filter}, ""}, // no GUID has an l
	} {
		got, err := s.List(t.Context(), c.q)
		var names []string
		for _, u := range got {
			names = append(names, u.SamAccountName)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.name, names, err, c.want)
		}
	}
}

func must(u users.User, err error) users.User {
	if err != nil {
		panic(err)
	}
	return u
}

func duplicates(t *testing.T, s users.Store) {
	first := account("alice")
	first.User.LineURI = "tel:+1"
	if _, err := s.Create(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	bob := create(t, s, "bob")[0]
	for property, spoil := range map[string]func(*users.User){
		"SipAddress":        func(u *users.User) { u.SipAddress = "sip:alice@example.test" },
		"UserPrincipalName": func(u *users.User) { u.UserPrincipalName = "ALICE@example.TEST" },
		"SamAccountName":    func(u *users.User) { u.SamAccountName = "Alice" },
		"LineURI":           func(u *users.User) { u.LineURI = "tel:+1" },
	} {
		fresh := account("carol")
		spoil(&fresh.User)
		_, err := s.Create(t.Context(), fresh)
		subject(t, "Create", err, fault.Exists, property)
		_, err = s.Update(t.Context(), bob.GUID, func(u *users.User) error { spoil(u); return nil })
		subject(t, "Update", err, fault.Exists, property)
	}
	same := account("carol")
	same.User.GUID = bob.GUID
	_, err := s.Create(t.Context(), same)
	subject(t, "Create", err, fault.Exists, "Guid")
	if all, err := s.List(t.Context(), users.Query{}); err != nil || len(all) != 2 {
		t.Errorf("refused changes left %d users, %v", len(all), err)
	}
}

func subject(t *testing.T, what string, err error, kind fault.Kind, property string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || f.Subject != property {
		t.Errorf("%s: got %v, want kind %v about %s", what, err, kind, property)
	}
}

func badValues(t *testing.T, s users.Store) {
	for property, spoil := range map[string]func(*users.User){
		"DisplayName": func(u *users.User) { u.DisplayName = " " }, "SamAccountName": func(u *users.User) { u.SamAccountName = "a b" },
		"LineURI": func(u *users.User) { u.LineURI = "tel:x" }, "AdminRoles": func(u *users.User) { u.AdminRoles = []string{"Root"} },
		"Guid": func(u *users.User) { u.GUID = "1" }, "Enabled": func(u *users.User) { u.SipAddress = "" },
	} {
		n := account("alice")
		spoil(&n.User)
		_, err := s.Create(t.Context(), n)
		subject(t, "Create", err, fault.Invalid, property)
	}
	if all, err := s.List(t.Context(), users.Query{}); err != nil || len(all) != 0 {
		t.Errorf("refused users stayed: %d, %v", len(all), err)
	}
}

func allOrNothing(t *testing.T, s users.Store) {
	if _, err := s.Create(t.Context(), account("alice"), account("bob"), account("alice")); !fault.Is(err, fault.Exists) {
		t.Errorf("got %v, want fault.Exists", err)
	}
	if all, err := s.List(t.Context(), users.Query{}); err != nil || len(all) != 0 {
		t.Errorf("a refused batch left %d users, %v", len(all), err)
	}
	if made := create(t, s, "alice"); made[0].RoutingGroup != 1 {
		t.Errorf("after a refused batch the first user is in group %d, want 1", made[0].RoutingGroup)
	}
}

func update(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	got, err := s.Update(t.Context(), alice.GUID, func(u *users.User) error {
		u.GUID, u.WhenCreated, u.Title, u.LineURI, u.AdminRoles = "x", time.Time{}, "Boss", "+4930", nil
		return nil
	})
	want := alice
	want.Title, want.LineURI, want.AdminRoles = "Boss", "tel:+4930", nil
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("Update: %v\n%s", err, d)
	}
	if stored := must(s.ByGUID(t.Context(), alice.GUID)); cmp.Diff(want, stored) != "" {
		t.Errorf("stored: %s", cmp.Diff(want, stored))
	}
	own := errors.New("no")
	if _, err := s.Update(t.Context(), alice.GUID, func(u *users.User) error { u.Title = "gone"; return own }); !errors.Is(err, own) {
		t.Errorf("the failure of the change came back as %v", err)
	}
	if u := must(s.ByGUID(t.Context(), alice.GUID)); u.Title != "Boss" {
		t.Errorf("a refused change was stored: %q", u.Title)
	}
	if _, err := s.Update(t.Context(), "none", func(*users.User) error { return nil }); !fault.Is(err, fault.NotFound) {
		t.Errorf("Update of nobody: %v", err)
	}
}

func remove(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	if err := s.AddCertificate(t.Context(), certificate(alice, "1", 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), alice.GUID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secrets(t.Context(), alice.GUID); !fault.Is(err, fault.NotFound) {
		t.Errorf("secrets stay: %v", err)
	}
	if _, err := s.CertificateByKey(t.Context(), certificate(alice, "1", 1).KeyHash); !fault.Is(err, fault.NotFound) {
		t.Errorf("certificates stay: %v", err)
	}
	if err := s.Delete(t.Context(), alice.GUID); !fault.Is(err, fault.NotFound) {
		t.Errorf("second Delete: %v", err)
	}
	create(t, s, "alice")
}

func secrets(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	want := account("alice").Secrets
	want.Changed = Now
	if got, err := s.Secrets(t.Context(), alice.GUID); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	want = users.Secrets{Argon2id: "new"}
	if err := s.SetSecrets(t.Context(), alice.GUID, want); err != nil {
		t.Fatal(err)
	}
	want.Changed = Now
	if got, err := s.Secrets(t.Context(), alice.GUID); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	if err := s.SetSecrets(t.Context(), "none", want); !fault.Is(err, fault.NotFound) {
		t.Errorf("SetSecrets of nobody: %v", err)
	}
}

func routingGroups(t *testing.T, s users.Store) {
	var got []uc.GroupID
	for _, u := range create(t, s, "a", "b", "c", "d", "e") {
		got = append(got, u.RoutingGroup)
	}
	if !slices.Equal(got, []uc.GroupID{1, 2, 3, 4, 1}) {
		t.Errorf("groups %v, want 1 2 3 4 1", got)
	}
	c := must(s.Find(t.Context(), "c"))
	off := func(u *users.User) error { u.SipAddress, u.Enabled = "", false; return nil }
	if u, err := s.Update(t.Context(), c.GUID, off); err != nil || u.RoutingGroup != 0 {
		t.Errorf("a user without address has group %d, %v", u.RoutingGroup, err)
	}
	if u := create(t, s, "f")[0]; u.RoutingGroup != 3 {
		t.Errorf("the next user goes to %d, want the emptied 3", u.RoutingGroup)
	}
	pinned := account("g")
	pinned.User.RoutingGroup = 2
	if made, err := s.Create(t.Context(), pinned); err != nil || made[0].RoutingGroup != 2 {
		t.Errorf("a given group was not kept: %v, %v", made, err)
	}
}

func renames(t *testing.T, s users.Store) {
	bob := create(t, s, "alice", "bob")[1]
	call := func(a uc.UserURI) users.Rename {
		t.Helper()
		was := must(s.ByGUID(t.Context(), bob.GUID))
		u, err := s.Update(t.Context(), bob.GUID, func(u *users.User) error { u.SipAddress = a; return nil })
		if err != nil || u.RoutingGroup != bob.RoutingGroup {
			t.Fatalf("%s is in group %d, want %d: %v", a, u.RoutingGroup, bob.RoutingGroup, err)
		}
		return users.Rename{Old: was.SipAddress, New: a, RoutingGroup: bob.RoutingGroup}
	}
	pending := func(want ...users.Rename) {
		t.Helper()
		if got, err := s.Renames(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("pending %v, %v, want %v", got, err, want)
		}
	}
	done := func(r users.Rename) {
		t.Helper()
		if err := s.Renamed(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	pending()
	there, back := call("sip:robert@example.test"), call("sip:bob@example.test")
	again := call("sip:robert@example.test")
	if _, err := s.Update(t.Context(), bob.GUID, func(u *users.User) error { u.SipAddress = "sip:alice@example.test"; return nil }); !fault.Is(err, fault.Exists) {
		t.Errorf("a taken address: %v", err)
	}
	call("sip:robert@example.test")
	pending(there, back, again)
	done(there)
	pending(back, again)
	done(back)
	done(again)
	pending()
	if err := s.Renamed(t.Context(), again); !fault.Is(err, fault.NotFound) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := s.Update(t.Context(), bob.GUID, func(u *users.User) error { u.SipAddress, u.Enabled = "", false; return nil }); err != nil {
		t.Error(err)
	}
	pending()
}

func told(t *testing.T, s users.Store) {
	var got []string
	s.OnChange(func(c users.Change) {
		line := ""
		if c.Old != nil {
			line += "old " + c.Old.Title + " "
		}
		if c.New != nil {
			line += "new " + c.New.Title
			if u, err := s.ByGUID(context.Background(), c.New.GUID); err != nil || u.Title != c.New.Title {
				line += " (not committed)"
			}
		}
		if c.Password {
			line += " password"
		}
		got = append(got, line)
	})
	alice := create(t, s, "alice")[0]
	title := func(text string) func(*users.User) error {
		return func(u *users.User) error { u.Title = text; return nil }
	}
	_, err1 := s.Update(t.Context(), alice.GUID, title("U"))
	_, err2 := s.Update(t.Context(), alice.GUID, title(strings.Repeat("x", 1000)))
	if err := errors.Join(err1, s.SetSecrets(t.Context(), alice.GUID, users.Secrets{}), s.Delete(t.Context(), alice.GUID)); err != nil || err2 == nil {
		t.Fatal(err, err2)
	}
	want := []string{"new T password", "old T new U", "old U new U password", "old U "}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func certificate(u users.User, serial string, key byte) users.Certificate {
	return users.Certificate{
		Serial: serial, GUID: u.GUID, Device: uc.EndpointID("device " + serial), KeyHash: append(make([]byte, 31), key),
		Issued: Now.Add(time.Duration(key) * time.Second), Expires: Now.Add(time.Duration(key) * time.Hour),
	}
}

func clientCertificates(t *testing.T, s users.Store) {
	made := create(t, s, "alice", "bob")
	alice, bob := made[0], made[1]
	one, two, foreign := certificate(alice, "aa", 1), certificate(alice, "bb", 2), certificate(bob, "cc", 3)
	for _, c := range []users.Certificate{one, two, foreign} {
		if err := s.AddCertificate(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	same := one
	same.KeyHash = append(make([]byte, 31), 9)
	subject(t, "a second certificate with one serial", s.AddCertificate(t.Context(), same), fault.Exists, "Serial")
	stolen := certificate(bob, "ee", 1)
	subject(t, "another user's key", s.AddCertificate(t.Context(), stolen), fault.Forbidden, "KeyHash")
	old := one
	old.Serial = "a0"
	if err := errors.Join(s.AddCertificate(t.Context(), old), s.AddCertificate(t.Context(), one)); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	subject(t, "a certificate without a serial", s.AddCertificate(t.Context(), users.Certificate{GUID: alice.GUID}), fault.Invalid, "Serial")
	if err := s.AddCertificate(t.Context(), certificate(users.User{GUID: "none"}, "dd", 4)); !fault.Is(err, fault.NotFound) {
		t.Errorf("a certificate of nobody: %v", err)
	}
	if got, err := s.Certificates(t.Context(), alice.GUID); err != nil || cmp.Diff([]users.Certificate{two, one}, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff([]users.Certificate{two, one}, got))
	}
	if got, err := s.CertificateByKey(t.Context(), two.KeyHash); err != nil || cmp.Diff(two, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(two, got))
	}
	var heard []string
	s.OnRevoke(func(list []users.Certificate) {
		for _, c := range list {
			heard = append(heard, c.Serial)
		}
	})
	if got, err := s.Revoke(t.Context(), alice.GUID, "AA"); err != nil || len(got) != 1 || got[0].Serial != "aa" || !got[0].Revoked.Equal(Now) {
		t.Errorf("Revoke one: %v, %v", got, err)
	}
	if got, err := s.Revoke(t.Context(), alice.GUID, ""); err != nil || len(got) != 1 || got[0].Serial != "bb" {
		t.Errorf("Revoke the rest: %v, %v", got, err)
	}
	if got, err := s.Revoke(t.Context(), alice.GUID, ""); err != nil || len(got) != 0 {
		t.Errorf("Revoke again: %v, %v", got, err)
	}
	if _, err := s.Revoke(t.Context(), alice.GUID, "cc"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Revoke of another's certificate: %v", err)
	}
	if _, err := s.Revoke(t.Context(), "none", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("Revoke of nobody's: %v", err)
	}
	if c, err := s.CertificateByKey(t.Context(), foreign.KeyHash); err != nil || !c.Revoked.IsZero() {
		t.Errorf("bob's certificate: %+v, %v", c, err)
	}
	if !slices.Equal(heard, []string{"aa", "bb"}) {
		t.Errorf("told of %v", heard)
	}
	if n, err := s.PurgeCertificates(t.Context(), Now.Add(150*time.Minute)); err != nil || n != 2 {
		t.Errorf("purged %d, %v, want 2", n, err)
	}
}

func concurrent(t *testing.T, s users.Store) {
	create(t, s, "alice")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				if w == 0 {
					if _, err := s.Create(t.Context(), account(fmt.Sprintf("u%d", i))); err != nil {
						t.Error(err)
					}
				} else if _, err := s.ByAddress(t.Context(), "sip:alice@example.test"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if all, err := s.List(t.Context(), users.Query{}); err != nil || len(all) != 11 {
		t.Errorf("got %d users, %v", len(all), err)
	}
}

func cancelled(t *testing.T, s users.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Create(ctx, account("alice")); !fault.Is(err, fault.Timeout) {
		t.Errorf("Create: %v, want fault.Timeout", err)
	}
	create(t, s, "alice")
}
