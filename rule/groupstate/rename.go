package groupstate

import (
	"trivet/fault"
	"trivet/uc"
)

// RenameUser gives the user another address. Endpoints and subscriptions end
// (AttributesChanged) and with them every publication that is not static; contacts,
// containers, static publications, prompted subscribers and conferences go with the user. One
// that is known under the new address already: fault.Exists. Result: UserResult.
type RenameUser struct {
	User uc.UserURI
	To   uc.UserURI
	Now  int64
}

// UserRenamed tells that a user has another address. There is nobody under From.
type UserRenamed struct{ From, To uc.UserURI }

func (*RenameUser) number() uint16 { return numRenameUser }

func (x *RenameUser) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "new address", &x.To, maxURI)
	c.i64("now", &x.Now)
}

func (x *RenameUser) apply(t *turn) (any, error) {
	const op = "groupstate.RenameUser"
	e, err := t.known(op, x.User)
	if err != nil {
		return nil, err
	}
	if to, err := uc.ParseUserURI(string(x.To)); err != nil || to != x.To {
		return nil, fault.New(fault.Invalid, op, "the new address must be in canonical form, sip:user@domain in lower case").About(string(x.To))
	}
	if t.users[x.To] != nil {
		return nil, fault.New(fault.Exists, op, "the new address belongs to a user already; choose another").About(string(x.To))
	}
	ended := e.user.bindings
	t.unbind(e, ended, AttributesChanged, x.Now)
	t.endSubscriptions(e, func(*Subscription) bool { return true }, AttributesChanged)
	t.dropPublications(e, func(p *Publication) bool { return p.ExpireType != Static })
	t.derive(e, x.Now)
	kept := *e.user
	kept.gen, kept.uri = t.gen, x.To
	t.forget(e)
	next := &entry{user: &kept, pos: -1}
	t.users[x.To] = next
	for _, p := range kept.Publications() {
		t.touch(next, "", p.Category, p.Container)
	}
	t.reckon(next)
	t.emit(UserRenamed{x.User, x.To})
	return UserResult{Changed: true, Ended: ended}, nil
}

// forget takes a user who has no endpoints and subscriptions out of the state; who
// watched is told that there is nothing any more.
func (t *turn) forget(e *entry) {
	t.dropPublications(e, func(*Publication) bool { return true })
	t.dropDerived(e)
	t.due.drop(e)
	delete(t.users, e.user.uri)
}
