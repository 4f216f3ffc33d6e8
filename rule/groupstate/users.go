package groupstate

import (
	"trivet/fault"
	"trivet/rule/access"
	"trivet/uc"
)

// User is one user of the group and everything that belongs to the user.
type User struct {
	gen      uint64
	uri      uc.UserURI
	since    int64
	disabled bool
	bindings []Binding // by time of arrival
	presence *presence
	derived  *derived
	seen     int64       // when the last endpoint left
	access   []Container // by id
	prompted []Subscriber
	contacts *ContactList    // nil until first changed
	watching []*Subscription // by time of arrival

	conferences []*Conference // by id
}

// URI is the user's name.
func (u *User) URI() uc.UserURI { return u.uri }

// Enabled reports whether the user may sign in.
func (u *User) Enabled() bool { return !u.disabled }

// Since is when the user was enabled first, Unix milliseconds.
func (u *User) Since() int64 { return u.since }

// EnableUser lets a user sign in; a user that is new gets an empty contact list
// and the given members in its containers. Result: UserResult.
type EnableUser struct {
	User    uc.UserURI
	Now     int64
	Members []Membership
}

// Membership is a member of a container at the start.
type Membership struct {
	Container uint32
	Member    access.Member
}

// DisableUser ends every endpoint of the user and refuses new ones; contacts,
// containers and static publications stay. Result: UserResult.
type DisableUser struct {
	User uc.UserURI
	Now  int64
}

// RemoveUser forgets the user. Result: UserResult.
type RemoveUser struct {
	User uc.UserURI
	Now  int64
}

// UserResult is what a command about a user did.
type UserResult struct {
	Changed bool
	Ended   []Binding // endpoints that were registered and are not any more
}

// Events about users.
type (
	UserEnabled  struct{ User uc.UserURI }
	UserDisabled struct{ User uc.UserURI }
	UserRemoved  struct{ User uc.UserURI }
)

func (*EnableUser) number() uint16  { return numEnableUser }
func (*DisableUser) number() uint16 { return numDisableUser }
func (*RemoveUser) number() uint16  { return numRemoveUser }

func (x *EnableUser) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	c.i64("now", &x.Now)
	list(c, "members", &x.Members, maxMembers, (*Membership).fields)
}

func (x *Membership) fields(c *codec) {
	number(c, "container", &x.Container, maxContainerID)
	member(&x.Member, c)
}

func (x *DisableUser) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	c.i64("now", &x.Now)
}

func (x *RemoveUser) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	c.i64("now", &x.Now)
}

func (x *EnableUser) apply(t *turn) (any, error) {
	const op = "groupstate.EnableUser"
	uri, err := uc.ParseUserURI(string(x.User))
	if err != nil || uri != x.User {
		return nil, fault.New(fault.Invalid, op, "user must be an address in canonical form, sip:user@domain in lower case").About(string(x.User))
	}
	if e := t.users[uri]; e != nil {
		changed := e.user.disabled
		if changed {
			t.edit(e).disabled = false
			t.emit(UserEnabled{uri})
		}
		return UserResult{Changed: changed}, nil
	}
	access, err := startContainers(x.Members)
	if err != nil {
		return nil, err
	}
	t.users[uri] = &entry{user: &User{gen: t.gen, uri: uri, since: x.Now, access: access}, pos: -1}
	t.emit(UserEnabled{uri})
	return UserResult{Changed: true}, nil
}

func (x *DisableUser) apply(t *turn) (any, error) {
	e, err := t.known("groupstate.DisableUser", x.User)
	if err != nil {
		return nil, err
	}
	if e.user.disabled {
		return UserResult{}, nil
	}
	ended := e.user.bindings
	t.edit(e).disabled = true
	t.unbind(e, ended, AttributesChanged, x.Now)
	t.endSubscriptions(e, func(*Subscription) bool { return true }, AttributesChanged)
	t.emit(UserDisabled{x.User})
	t.reckon(e)
	return UserResult{Changed: true, Ended: ended}, nil
}

func (x *RemoveUser) apply(t *turn) (any, error) {
	e, err := t.known("groupstate.RemoveUser", x.User)
	if err != nil {
		return nil, err
	}
	ended := e.user.bindings
	t.unbind(e, ended, AttributesChanged, x.Now)
	t.endSubscriptions(e, func(*Subscription) bool { return true }, AttributesChanged)
	t.dropConferences(e, false, func(*Conference) bool { return true })
	t.forget(e)
	t.emit(UserRemoved{x.User})
	return UserResult{Changed: true, Ended: ended}, nil
}
