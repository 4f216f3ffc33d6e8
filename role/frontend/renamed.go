package frontend

import (
	"context"
	"slices"

	"trivet/fault"
	"trivet/rule/access"
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

// placed is somebody's access levels with a former address in them, as the change
// that puts the new one in its places.
type placed struct {
	owner   uc.UserURI
	changes []groupstate.ContainerChange
}

// renameMembers has access levels follow a change of address, blocks above all: who
// was blocked stays so. Levels of users who are disabled stay. It may be repeated,
// as after a crash.
func (s *server) renameMembers(ctx context.Context, r users.Rename) error {
	was := access.Member{Type: access.User, Value: r.Old.Bare()}
	is := access.Member{Type: access.User, Value: r.New.Bare()}
	for _, x := range s.groups.all {
		var found []placed
		if err := x.Read(ctx, func(state *groupstate.State) {
			for u := range state.Users() {
				if changes := replaced(u, was, is); changes != nil && u.Enabled() {
					found = append(found, placed{u.URI(), changes})
				}
			}
		}); err != nil {
			return err
		}
		for _, p := range found {
			_, err := x.propose(ctx, &groupstate.SetContainers{User: p.owner, Now: s.groups.now(), Changes: p.changes})
			if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) && !fault.Is(err, fault.Stale) {
				return err
			}
		}
	}
	return nil
}

// replaced are the changes that put one member in the places of another.
func replaced(u *groupstate.User, was, is access.Member) []groupstate.ContainerChange {
	var changes []groupstate.ContainerChange
	for _, c := range u.Containers() {
		if slices.Contains(c.Members, was) {
			changes = append(changes, groupstate.ContainerChange{ID: c.ID, Version: c.Version, Members: []groupstate.MemberChange{
				{Remove: true, Member: was}, {Member: is},
			}})
		}
	}
	return changes
}
