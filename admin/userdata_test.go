package admin_test

import (
	"context"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// fakeUserData is one routing group, whose users have a contact each from the start.
// Nobody can change bob's data.
type fakeUserData struct{ state *groupstate.State }

func (d *deployment) UserData() cmdlet.UserData {
	if d.state == nil {
		d.state = groupstate.New()
		for _, u := range []uc.UserURI{"sip:alice@example.test", "sip:bob@example.test"} {
			d.state.Apply(1, groupstate.Encode(&groupstate.EnableUser{User: u, Now: 5}))
			d.state.Apply(1, groupstate.Encode(&groupstate.SetContact{User: u, Delta: 1, Max: 9, Contact: groupstate.Contact{URI: "sip:friend@example.test", Name: "F", Groups: groupstate.Groups(1)}}))
		}
	}
	return fakeUserData{d.state}
}

func (f fakeUserData) Record(_ context.Context, user uc.UserURI) (*groupstate.Record, error) {
	if u := f.state.User(user); u != nil {
		return u.Record(), nil
	}
	return nil, nil
}

func (f fakeUserData) ImportRecord(_ context.Context, r *groupstate.Record) error {
	if r.User == "sip:bob@example.test" {
		return fault.New(fault.NoQuorum, "test", "the group has no primary")
	}
	for _, cmd := range groupstate.ImportCommands(r, 6) {
		if res, _ := f.state.Apply(1, groupstate.Encode(cmd)); groupstate.Refused(res) != nil {
			return groupstate.Refused(res)
		}
	}
	return nil
}
