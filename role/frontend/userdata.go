package frontend

import (
	"context"

	"trivet/admin/cmdlet"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// userData is what users keep in their routing groups, whichever server leads these.
type userData struct{ *server }

var _ cmdlet.UserData = userData{}

func (d deployment) UserData() cmdlet.UserData { return userData(d) }

// Record implements cmdlet.UserData. Reading makes nobody known to a group.
func (d userData) Record(ctx context.Context, user uc.UserURI) (r *groupstate.Record, err error) {
	x, err := d.groups.of(user)
	if err != nil {
		return nil, err
	}
	err = x.Read(ctx, func(s *groupstate.State) {
		if u := s.User(user); u != nil {
			r = u.Record()
		}
	})
	return r, err
}

// ImportRecord implements cmdlet.UserData. A large record is several commands: when one
// of them is refused, what those before brought stays, and the same import made again
// does the rest.
func (d userData) ImportRecord(ctx context.Context, r *groupstate.Record) error {
	is := *r
	is.Disabled = !d.people.Enabled(r.User)
	err := d.groups.Read(ctx, r.User, func(s *groupstate.State) {
		if u := s.User(r.User); u != nil {
			was := u.Record()
			is.Since, is.Disabled = was.Since, was.Disabled
		}
	})
	if err != nil {
		return err
	}
	for _, cmd := range groupstate.ImportCommands(&is, d.clock.Now().UnixMilli()) {
		if _, err := d.groups.Propose(ctx, r.User, cmd); err != nil {
			return err
		}
	}
	return nil
}
