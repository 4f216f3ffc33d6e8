package groupstate

import (
	"slices"

	"trivet/fault"
	"trivet/rule/access"
	"trivet/uc"
)

// MaxPrompts is the hard ceiling for AddPrompt.Max.
const MaxPrompts = 600

// Subscriber is somebody who added the user as a contact. The user is asked about
// unacknowledged ones.
type Subscriber struct {
	User         uc.UserURI
	DisplayName  string
	Type         access.MemberType // SameEnterprise, Federated or PublicCloud
	Acknowledged bool
	Since        int64
}

// AddPrompt notes that Watcher added User, unless User knows the watcher already
// (as a contact or a former prompt). At most Max subscribers are kept: when they
// are as many, the oldest acknowledged one makes room, else nothing is added; 0
// adds none. Result: PromptResult.
type AddPrompt struct {
	User        uc.UserURI
	Now         int64
	Watcher     uc.UserURI
	DisplayName string
	Type        access.MemberType
	Max         uint32
}

// PromptResult says whether the user is asked.
type PromptResult struct{ Added bool }

// SetSubscribers acknowledges subscribers (or takes it back). Unknown ones are
// passed over. Result: SubscribersResult.
type SetSubscribers struct {
	User  uc.UserURI
	By    uc.EndpointID
	Now   int64
	Items []SubscriberChange
}

// SubscriberChange is the answer of the user about one subscriber.
type SubscriberChange struct {
	User         uc.UserURI
	Acknowledged bool
}

// SubscribersResult has all subscribers as they are now.
type SubscribersResult struct{ Subscribers []Subscriber }

// SubscribersChanged tells of prompts added or answered. Subscribers is the whole
// list, Changed the new values of those that differ.
type SubscribersChanged struct {
	User        uc.UserURI
	By          uc.EndpointID
	Subscribers []Subscriber
	Changed     []Subscriber
}

func (*AddPrompt) number() uint16      { return numAddPrompt }
func (*SetSubscribers) number() uint16 { return numSetSubscribers }

func (x *AddPrompt) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	c.i64("now", &x.Now)
	text(c, "watcher", &x.Watcher, maxURI)
	text(c, "displayName", &x.DisplayName, maxName)
	number(c, "type", &x.Type, uint64(access.Everyone))
	number(c, "max", &x.Max, MaxPrompts)
}

func (x *SetSubscribers) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.By, maxContact)
	c.i64("now", &x.Now)
	list(c, "subscribers", &x.Items, MaxPrompts, (*SubscriberChange).fields)
}

func (x *SubscriberChange) fields(c *codec) {
	text(c, "subscriber", &x.User, maxURI)
	c.flag("acknowledged", &x.Acknowledged)
}

func (s *Subscriber) fields(c *codec) {
	text(c, "subscriber", &s.User, maxURI)
	text(c, "displayName", &s.DisplayName, maxName)
	number(c, "type", &s.Type, uint64(access.Everyone))
	c.flag("acknowledged", &s.Acknowledged)
	c.i64("since", &s.Since)
}

// Subscribers are those who added the user, oldest first.
func (u *User) Subscribers() []Subscriber { return u.prompted }

func (u *User) subscriber(uri uc.UserURI) int {
	return slices.IndexFunc(u.prompted, func(s Subscriber) bool { return s.User == uri })
}

func (x *AddPrompt) apply(t *turn) (any, error) {
	const op = "groupstate.AddPrompt"
	e, err := t.known(op, x.User)
	if err != nil {
		return nil, err
	}
	watcher, err := uc.ParseUserURI(string(x.Watcher))
	if err != nil || watcher != x.Watcher {
		return nil, fault.New(fault.Invalid, op, "watcher must be an address in canonical form").About(string(x.Watcher))
	}
	u := e.user
	if x.Max == 0 || x.Watcher == x.User || u.subscriber(x.Watcher) >= 0 || u.Contacts().Find(string(x.Watcher)) != nil {
		return PromptResult{}, nil
	}
	next := slices.Clone(u.prompted)
	if len(next) >= int(x.Max) {
		i := slices.IndexFunc(next, func(s Subscriber) bool { return s.Acknowledged })
		if i < 0 {
			return PromptResult{}, nil
		}
		next = slices.Delete(next, i, i+1)
	}
	s := Subscriber{User: x.Watcher, DisplayName: x.DisplayName, Type: x.Type, Since: x.Now}
	u = t.edit(e)
	u.prompted = append(next, s)
	t.emit(SubscribersChanged{User: x.User, Subscribers: u.prompted, Changed: []Subscriber{s}})
	return PromptResult{Added: true}, nil
}

func (x *SetSubscribers) apply(t *turn) (any, error) {
	e, err := t.active("groupstate.SetSubscribers", x.User)
	if err != nil {
		return nil, err
	}
	next, changed := slices.Clone(e.user.prompted), []Subscriber(nil)
	for _, it := range x.Items {
		i := e.user.subscriber(it.User)
		if i < 0 || next[i].Acknowledged == it.Acknowledged {
			continue
		}
		next[i].Acknowledged = it.Acknowledged
		changed = append(changed, next[i])
	}
	if len(changed) > 0 {
		t.edit(e).prompted = next
		t.emit(SubscribersChanged{User: x.User, By: x.By, Subscribers: next, Changed: changed})
	}
	return SubscribersResult{next}, nil
}
