package users_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"trivet/fault"
	"trivet/store/users"
	"trivet/uc"
)

// TestNamesToSignInWith: the address of one user is not the UPN of another.
func TestNamesToSignInWith(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	s := open(t, path)
	chief := newUser(1)
	chief.User.UserPrincipalName = "root@example.test"
	made, err := s.Create(t.Context(), chief, newUser(2))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, property string, err error) {
		t.Helper()
		var e *fault.Error
		if !fault.Is(err, fault.Exists) || !errors.As(err, &e) || e.Subject != property {
			t.Errorf("%s: %v, want that %s is taken", what, err, property)
		}
	}
	thief := newUser(3)
	thief.User.SipAddress = "sip:root@example.test"
	_, err = s.Create(t.Context(), thief)
	refused("a new address", "SipAddress", err)
	thief = newUser(3)
	thief.User.UserPrincipalName = "User1@example.test"
	_, err = s.Create(t.Context(), thief)
	refused("a new UPN", "UserPrincipalName", err)
	_, err = s.Update(t.Context(), made[1].GUID, func(u *users.User) error { u.SipAddress = "sip:root@example.test"; return nil })
	refused("another address", "SipAddress", err)
	_, err = s.Update(t.Context(), made[1].GUID, func(u *users.User) error { u.UserPrincipalName = "user1@example.test"; return nil })
	refused("another UPN", "UserPrincipalName", err)
	if _, err = s.Update(t.Context(), made[0].GUID, func(u *users.User) error { u.SipAddress = uc.UserURI("sip:root@example.test"); return nil }); err != nil {
		t.Errorf("one's own UPN as address: %v", err)
	}
	if _, err = s.Update(t.Context(), made[0].GUID, func(u *users.User) error { u.SipAddress = "sip:user1@example.test"; return nil }); err != nil {
		t.Error(err)
	}

	// What an earlier release let in.
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE users SET sip_address = 'sip:root@example.test' WHERE guid = ?", made[1].GUID); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Find(t.Context(), "root@example.test"); !fault.Is(err, fault.Invalid) {
		t.Errorf("Find chooses %+v: %v", u, err)
	}
	if u, err := s.ByLogin(t.Context(), "Root@example.test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("ByLogin chooses %+v: %v", u, err)
	}
	if u, err := s.ByLogin(t.Context(), "user2"); err != nil || u.GUID != made[1].GUID {
		t.Errorf("by the account name: %+v %v", u, err)
	}
}
