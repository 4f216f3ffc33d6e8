package frontend

import (
	"context"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/store/users"
	"trivet/uc"
)

// listed is a place in somebody's contact list under a former address.
type listed struct {
	owner uc.UserURI
	delta uint32
	entry groupstate.Contact
	twice bool // the new address is on the list too
}

// renameContacts has those who have the user as a contact find the new address in
// their lists, with the name and the groups that they gave it; their clients are
// told as of any change of the list. Lists of users who are disabled stay. It may
// be repeated, as after a crash.
func (s *server) renameContacts(ctx context.Context, r users.Rename) error {
	for _, x := range s.groups.all {
		var found []listed
		if err := x.Read(ctx, func(state *groupstate.State) {
			for u := range state.Users() {
				if c := u.Contacts().Find(string(r.Old)); c != nil && u.Enabled() {
					found = append(found, listed{u.URI(), u.Contacts().Delta, *c, u.Contacts().Find(string(r.New)) != nil})
				}
			}
		}); err != nil {
			return err
		}
		for _, l := range found {
			if err := s.renameContact(ctx, x, l, string(r.New)); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) && !fault.Is(err, fault.Stale) {
				return err
			}
		}
	}
	return nil
}

// renameContact adds the new address and then removes the former one, so that a
// crash leaves both; on a full list it goes the other way round.
func (s *server) renameContact(ctx context.Context, x *group, l listed, to string) error {
	now := s.groups.now()
	next := l.entry
	next.URI = to
	add := &groupstate.SetContact{User: l.owner, Now: now, Delta: l.delta, Max: groupstate.MaxContacts, Contact: next}
	remove := &groupstate.DeleteContact{User: l.owner, Now: now, Delta: l.delta, URI: l.entry.URI}
	steps := []groupstate.Command{add, remove}
	if l.twice {
		steps = steps[1:]
	}
	for _, cmd := range steps {
		_, err := x.propose(ctx, cmd)
		if fault.Is(err, fault.Limit) {
			if _, err = x.propose(ctx, remove); err == nil {
				_, err = x.propose(ctx, add)
			}
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}
