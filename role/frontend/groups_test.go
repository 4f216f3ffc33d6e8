package frontend

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/store/users"
	"trivet/uc"
)

// All devices of a new user may come at once; the group meets the user for one of
// them, and serves all.
func TestDevicesOfANewUserComeTogether(t *testing.T) {
	t.Parallel()
	s, _ := run(t, t.TempDir())
	for n := range 20 {
		name := fmt.Sprint("new", n)
		u, err := s.store.Create(t.Context(), users.New{User: directory.User{
			SipAddress: uc.UserURI("sip:" + name + "@example.test"), UserPrincipalName: name + "@example.test", SamAccountName: name, DisplayName: name, Enabled: true,
		}})
		if err != nil {
			t.Fatal(err)
		}
		var all errgroup.Group
		for range 8 {
			all.Go(func() error {
				_, err := s.groups.Propose(t.Context(), u[0].SipAddress, &groupstate.SetContainers{User: u[0].SipAddress})
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}
