package groupstate

import (
	"iter"
	"slices"
	"unique"

	"trivet/fault"
	"trivet/uc"
)

// Limits of the subscriptions of one watcher.
const (
	MaxSubscriptions = 256
	MaxTargets       = 1024 // of one subscription
	MaxAllTargets    = 8000 // of all subscriptions of a user
	maxCategories    = 32
	maxRoutes        = 8
)

// Format is how a watcher wants to be told.
type Format uint8

// The formats. Numbers are in the log.
const (
	LyncBatch Format = iota // one dialog for many presentities, [MS-PRES] 3.1 (adhoclist)
	LyncSingle
	PIDF  // RFC 3856, 3863
	Plain // the document of the event package itself (roaming-contacts, roaming-self)
)

// Dialog is the server's side of a subscription's dialog: Local is the server,
// Remote the watcher.
type Dialog struct {
	CallID       string
	LocalURI     string
	LocalTag     string
	RemoteURI    string
	RemoteTag    string
	RemoteParams string   // parameters of the watcher's From to be repeated, with leading ";" (epid)
	RemoteTarget string   // Contact of the watcher
	Routes       []string // Route values in the order to be sent
	RemoteCSeq   uint32
}

// Subscription is a watcher's subscription. It belongs to the watcher's group.
type Subscription struct {
	ID         uint64 // one of its own within the watcher
	Endpoint   uc.EndpointID
	Event      string
	Format     Format
	Benotify   bool // BENOTIFY instead of NOTIFY
	Dialog     Dialog
	Flow       Flow // the connection the SUBSCRIBE came over
	Categories []string
	Since      int64
	Expires    int64
	targets    []unique.Handle[uc.UserURI] // sorted
}

// Targets yields who is watched, sorted.
func (s *Subscription) Targets() iter.Seq[uc.UserURI] {
	return func(yield func(uc.UserURI) bool) {
		for _, h := range s.targets {
			if !yield(h.Value()) {
				return
			}
		}
	}
}

// Count is the number of targets.
func (s *Subscription) Count() int { return len(s.targets) }

// Watches reports whether uri is a target.
func (s *Subscription) Watches(uri uc.UserURI) bool {
	h := unique.Make(uri)
	return slices.Contains(s.targets, h)
}

// Subscribe makes, changes or refreshes a subscription. It is the same one when
// endpoint, Call-ID and the watcher's tag are. Without Targets or Categories those
// that it has are kept. Refresh tells that the request was sent within a dialog: an
// unknown one is fault.Gone, a CSeq that does not grow fault.Stale. Result:
// SubscribeResult.
type Subscribe struct {
	User       uc.UserURI // the watcher
	Endpoint   uc.EndpointID
	Now        int64
	Lifetime   int64 // milliseconds, above 0
	Refresh    bool
	Event      string
	Format     Format
	Benotify   bool
	Dialog     Dialog
	Flow       Flow
	Targets    []uc.UserURI
	Categories []string
}

// SubscribeResult has the subscription as it is now.
type SubscribeResult struct {
	Subscription *Subscription
	New          bool
}

// Unsubscribe ends the subscription with the dialog, or with ID when CallID is
// "". One that is not there: fault.Gone. Result: SubscribeResult with what ended.
type Unsubscribe struct {
	User      uc.UserURI
	Endpoint  uc.EndpointID
	Now       int64
	CallID    string
	RemoteTag string
	ID        uint64
	Reason    Reason
}

// SubscriptionChange says what happened to a subscription.
type SubscriptionChange uint8

// The changes.
const (
	SubscriptionAdded SubscriptionChange = iota
	SubscriptionRefreshed
	SubscriptionEnded
)

// SubscriptionChanged tells of a subscription. Before is its former value, nil
// when it is new.
type SubscriptionChanged struct {
	User         uc.UserURI // the watcher
	Change       SubscriptionChange
	Reason       Reason // of SubscriptionEnded
	Subscription *Subscription
	Before       *Subscription
}

func (*Subscribe) number() uint16   { return numSubscribe }
func (*Unsubscribe) number() uint16 { return numUnsubscribe }

func (d *Dialog) fields(c *codec) {
	text(c, "Call-ID", &d.CallID, maxAgent)
	text(c, "local address", &d.LocalURI, maxContact)
	text(c, "local tag", &d.LocalTag, maxToken)
	text(c, "remote address", &d.RemoteURI, maxContact)
	text(c, "remote tag", &d.RemoteTag, maxToken)
	text(c, "remote parameters", &d.RemoteParams, maxAgent)
	text(c, "Contact", &d.RemoteTarget, maxContact)
	texts(c, "Record-Route", &d.Routes, maxRoutes, maxContact)
	c.u32("CSeq", &d.RemoteCSeq)
}

func (x *Subscribe) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.Endpoint, maxContact)
	c.i64("now", &x.Now)
	c.i64("lifetime", &x.Lifetime)
	c.flag("refresh", &x.Refresh)
	text(c, "event", &x.Event, maxToken)
	number(c, "format", &x.Format, uint64(Plain))
	c.flag("benotify", &x.Benotify)
	x.Dialog.fields(c)
	x.Flow.fields(c)
	texts(c, "targets", &x.Targets, MaxTargets, maxURI)
	texts(c, "categories", &x.Categories, maxCategories, maxCategory)
}

func (x *Unsubscribe) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.Endpoint, maxContact)
	c.i64("now", &x.Now)
	text(c, "Call-ID", &x.CallID, maxAgent)
	text(c, "remote tag", &x.RemoteTag, maxToken)
	c.u64("id", &x.ID)
	number(c, "reason", &x.Reason, uint64(LegacySurvivableMode))
}

func (s *Subscription) fields(c *codec) {
	c.u64("id", &s.ID)
	text(c, "endpoint", &s.Endpoint, maxContact)
	text(c, "event", &s.Event, maxToken)
	number(c, "format", &s.Format, uint64(Plain))
	c.flag("benotify", &s.Benotify)
	s.Dialog.fields(c)
	s.Flow.fields(c)
	texts(c, "categories", &s.Categories, maxCategories, maxCategory)
	c.i64("since", &s.Since)
	c.i64("expires", &s.Expires)
	list(c, "targets", &s.targets, MaxTargets, func(h *unique.Handle[uc.UserURI], c *codec) {
		var uri uc.UserURI
		if !c.reading {
			uri = h.Value()
		}
		text(c, "target", &uri, maxURI)
		if c.reading {
			*h = unique.Make(uri)
		}
	})
}

// Subscriptions are what the user watches, by time of arrival.
func (u *User) Subscriptions() []*Subscription { return u.watching }

// Subscription finds a subscription by its dialog, nil if there is none.
func (u *User) Subscription(endpoint uc.EndpointID, callID, remoteTag string) *Subscription {
	if i := u.dialog(endpoint, callID, remoteTag); i >= 0 {
		return u.watching[i]
	}
	return nil
}

func (u *User) dialog(endpoint uc.EndpointID, callID, remoteTag string) int {
	return slices.IndexFunc(u.watching, func(s *Subscription) bool {
		return s.Endpoint == endpoint && s.Dialog.CallID == callID && s.Dialog.RemoteTag == remoteTag
	})
}

func (x *Subscribe) apply(t *turn) (any, error) {
	const op = "groupstate.Subscribe"
	e, err := t.active(op, x.User)
	if err != nil {
		return nil, err
	}
	u := e.user
	i := u.dialog(x.Endpoint, x.Dialog.CallID, x.Dialog.RemoteTag)
	if err := x.check(u, i); err != nil {
		return nil, err.About(string(x.User))
	}
	var before *Subscription
	if i >= 0 {
		before = u.watching[i]
	}
	next := x.subscription(t, u, before)
	if err := fits(u, next, before); err != nil {
		return nil, err.About(string(x.User))
	}
	u = t.edit(e)
	change := SubscriptionRefreshed
	u.watching = slices.Clone(u.watching)
	if before != nil {
		u.watching[i] = next
	} else {
		u.watching = append(u.watching, next)
		change = SubscriptionAdded
	}
	t.emit(SubscriptionChanged{User: x.User, Change: change, Subscription: next, Before: before})
	t.reckon(e)
	return SubscribeResult{next, before == nil}, nil
}

func (x *Subscribe) check(u *User, i int) *fault.Error {
	const op = "groupstate.Subscribe"
	switch {
	case x.Event == "" || x.Dialog.CallID == "" || x.Dialog.RemoteTag == "" || x.Dialog.LocalTag == "":
		return fault.New(fault.Invalid, op, "a subscription needs an event, a Call-ID and both tags")
	case x.Lifetime <= 0:
		return fault.New(fault.Invalid, op, "the lifetime of a subscription must be above 0")
	case i < 0 && x.Refresh:
		return fault.New(fault.Gone, op, "the subscription does not exist any more; subscribe anew")
	case i >= 0 && x.Dialog.RemoteCSeq <= u.watching[i].Dialog.RemoteCSeq && (x.Refresh || x.Flow == u.watching[i].Flow):
		return fault.New(fault.Stale, op, "CSeq must be higher than in the request before it")
	case i >= 0 && x.Event != u.watching[i].Event:
		return fault.New(fault.Invalid, op, "the event of a subscription cannot be changed; use a new dialog")
	}
	for _, uri := range x.Targets {
		if canon, err := uc.ParseUserURI(string(uri)); err != nil || canon != uri {
			return fault.New(fault.Invalid, op, "a target must be an address in canonical form")
		}
	}
	return nil
}

func (x *Subscribe) subscription(t *turn, u *User, before *Subscription) *Subscription {
	s := &Subscription{ID: u.nextSubscription(), Since: x.Now, Dialog: x.Dialog, Format: x.Format, Benotify: x.Benotify}
	if before != nil {
		*s = *before
		s.Dialog = x.dialog(before)
	}
	s.Endpoint, s.Flow, s.Expires = x.Endpoint, x.Flow, x.Now+x.Lifetime
	s.Event = t.words.one(x.Event)
	s.Flow.Server = uc.ServerFQDN(t.words.one(string(x.Flow.Server)))
	s.Flow.Transport = t.words.one(x.Flow.Transport)
	if b := u.Binding(x.Endpoint); b != nil {
		s.Endpoint = b.Endpoint // share the text
	}
	if len(x.Categories) > 0 {
		s.Categories = make([]string, len(x.Categories))
		for i, c := range x.Categories {
			s.Categories[i] = t.words.one(c)
		}
	}
	if len(x.Targets) > 0 {
		s.targets = handles(x.Targets)
	}
	return s
}

// dialog is the dialog of a subscription that was there before. A refresh may move
// the watcher, nothing else of it; a SUBSCRIBE outside of the dialog begins it
// anew: a client was started again within a second and draws the same names.
func (x *Subscribe) dialog(before *Subscription) Dialog {
	if !x.Refresh {
		return x.Dialog
	}
	d := before.Dialog
	if x.Dialog.RemoteTarget != "" {
		d.RemoteTarget = x.Dialog.RemoteTarget
	}
	d.RemoteCSeq = x.Dialog.RemoteCSeq
	return d
}

// handles sorts, removes doubles and interns.
func handles(uris []uc.UserURI) []unique.Handle[uc.UserURI] {
	sorted := slices.Compact(slices.Sorted(slices.Values(uris)))
	hs := make([]unique.Handle[uc.UserURI], len(sorted))
	for i, uri := range sorted {
		hs[i] = unique.Make(uri)
	}
	return hs
}

// nextSubscription is an id above all that the user has.
func (u *User) nextSubscription() uint64 {
	id := uint64(0)
	for _, s := range u.watching {
		id = max(id, s.ID)
	}
	return id + 1
}

func fits(u *User, next, before *Subscription) *fault.Error {
	count, targets := 1, len(next.targets)
	for _, s := range u.watching {
		if s != before {
			count++
			targets += len(s.targets)
		}
	}
	if count > MaxSubscriptions || targets > MaxAllTargets {
		return fault.Newf(fault.Limit, "groupstate.Subscribe", "a user may have %d subscriptions to %d presentities together; end some first", MaxSubscriptions, MaxAllTargets)
	}
	return nil
}

func (x *Unsubscribe) apply(t *turn) (any, error) {
	const op = "groupstate.Unsubscribe"
	e, err := t.known(op, x.User)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(e.user.watching, func(s *Subscription) bool { return x.CallID == "" && s.ID == x.ID })
	if x.CallID != "" {
		i = e.user.dialog(x.Endpoint, x.CallID, x.RemoteTag)
	}
	if i < 0 {
		return nil, fault.New(fault.Gone, op, "the subscription does not exist any more").About(string(x.User))
	}
	s := e.user.watching[i]
	t.endSubscriptions(e, func(o *Subscription) bool { return o == s }, x.Reason)
	t.reckon(e)
	return SubscribeResult{Subscription: s}, nil
}

// endSubscriptions ends the subscriptions that match.
func (t *turn) endSubscriptions(e *entry, match func(*Subscription) bool, why Reason) {
	if !slices.ContainsFunc(e.user.watching, match) {
		return
	}
	u := t.edit(e)
	var left []*Subscription
	for _, s := range u.watching {
		if !match(s) {
			left = append(left, s)
			continue
		}
		t.emit(SubscriptionChanged{User: u.uri, Change: SubscriptionEnded, Reason: why, Subscription: s, Before: s})
	}
	u.watching = left
}
