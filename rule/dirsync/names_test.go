package dirsync

import (
	"slices"
	"strings"
	"testing"

	"trivet/rule/directory"
)

// TestNamesToSignInWith: an address is not the login name of another user, nor the
// other way round.
func TestNamesToSignInWith(t *testing.T) {
	t.Parallel()
	local := directory.User{GUID: "1", SipAddress: "sip:chief@example.test", UserPrincipalName: "root@example.test", SamAccountName: "chief", DisplayName: "Local"}
	in := synced(t, "anna")
	in.Users = append(in.Users, local)
	in.People[0] = person(t, "anna", "mail=root@example.test")
	in.People = append(in.People, person(t, "root"))
	p := Make(in)
	if p.Counts[Create] != 0 || !slices.ContainsFunc(conflicts(p), func(s string) bool {
		return strings.Contains(s, "not created: SipAddress sip:root@example.test belongs to sip:chief@example.test")
	}) {
		t.Errorf("an address that is a login name: %q %q", actions(p), conflicts(p))
	}
	for _, a := range p.Actions {
		for _, c := range a.Changes {
			if c.Property == "SipAddress" || c.Property == "UserPrincipalName" {
				t.Errorf("anna gets %+v", c)
			}
		}
	}
	in = synced(t)
	in.Users = append(in.Users, local)
	q := person(t, "dora")
	q.User.UserPrincipalName = "Chief@example.test"
	in.People = append(in.People, q)
	if p = Make(in); p.Counts[Create] != 0 || len(p.Conflicts) != 1 {
		t.Errorf("a login name that is an address: %q %q", actions(p), conflicts(p))
	}

	in = synced(t, "anna") // address and login name of one user are the same
	in.Users[0].UserPrincipalName = "anna@old.test"
	if p = Make(in); len(p.Conflicts) != 0 || p.Counts[Update] != 1 {
		t.Errorf("%q %q", actions(p), conflicts(p))
	}
}
