package contacts

import (
	"context"
	"strings"
	"sync"

	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/presdoc"
)

// Every server of a pool tells its own clients of changes, from its own copy of the
// group: the notifier has no connection to those of other servers.

// item is what one user's endpoints are to be told, with the subscriptions of that
// instant; those of clients that must not be told of deleted groups are apart.
type item struct {
	user          uc.UserURI
	subs, fragile []*groupstate.Subscription
	delta         *groupstate.ContactDelta // nil: the whole list
	whole         groupstate.User
	ended         *groupstate.Subscription // nothing but this has ended
}

// news is what the endpoints have not been told yet, in log order. It is bounded by
// what the groups commit while the worker is busy.
type news struct {
	mu   sync.Mutex // guards list
	list []item
	wake chan struct{}
}

func (n *news) add(i item) {
	n.mu.Lock()
	n.list = append(n.list, i)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *news) take() []item {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}

// Observe takes the live events of a routing group, in log order, with its state. It
// runs on the group's goroutine and never blocks.
func (s *Service) Observe(state *groupstate.State, events []any) {
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.ContactsChanged:
			i := item{user: e.User, delta: &e.Delta}
			if i.subs, i.fragile = watching(state.User(e.User)); len(i.subs)+len(i.fragile) > 0 {
				s.news.add(i)
			}
		case groupstate.SubscriptionChanged:
			if e.Change == groupstate.SubscriptionEnded && e.Subscription.Event == Event {
				s.news.add(item{user: e.User, ended: e.Subscription})
			}
		case replica.Lost:
			s.afresh(state)
		}
	}
}

// afresh has the whole lists sent: changes may have been missed.
func (s *Service) afresh(state *groupstate.State) {
	for u := range state.Users() {
		if subs, fragile := watching(u); len(subs)+len(fragile) > 0 {
			s.news.add(item{user: u.URI(), subs: append(subs, fragile...), whole: *u})
		}
	}
}

// work tells the endpoints until the service ends.
func (s *Service) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.news.wake:
		}
		for _, i := range s.news.take() {
			s.tell(&i)
		}
	}
}

func (s *Service) tell(i *item) {
	switch {
	case i.ended != nil:
		s.cfg.Notifier.Forget(i.user, i.ended)
	case i.delta == nil:
		s.send(i.user, i.subs, func() []byte { return document(&i.whole) })
	default:
		s.send(i.user, i.subs, func() []byte { return deltaDocument(i.delta) })
		spared := *i.delta
		spared.DeletedGroups = nil
		s.send(i.user, i.fragile, func() []byte { return deltaDocument(&spared) })
	}
}

// send sends one document to all subscriptions.
func (s *Service) send(user uc.UserURI, subs []*groupstate.Subscription, document func() []byte) {
	var body []byte
	for _, sub := range subs {
		if !s.cfg.Notifier.Near(user, sub) {
			continue
		}
		if body == nil {
			body = document()
		}
		s.cfg.Notifier.Notify(user, sub, "", presdoc.TypeContacts, body)
	}
}

// watching are the subscriptions of a user to the own list; those of clients that
// must not be told of deleted groups are apart.
func watching(u *groupstate.User) (subs, fragile []*groupstate.Subscription) {
	if u == nil {
		return nil, nil
	}
	for _, sub := range u.Subscriptions() {
		if sub.Event != Event {
			continue
		}
		if b := u.Binding(sub.Endpoint); b != nil && freesGroupsTwice(b.UserAgent) {
			fragile = append(fragile, sub)
		} else {
			subs = append(subs, sub)
		}
	}
	return subs, fragile
}

// freesGroupsTwice reports whether the client crashes on a deletedGroup element
// for a group that it shows.
//
// COMPAT(pidgin-sipe 1.25): sipe_group_remove frees the group twice. It learns of
// the removal at its next sign-in; the contacts move at once, by modifiedContact.
func freesGroupsTwice(userAgent string) bool { return strings.Contains(userAgent, "Sipe/") }

func own(u *groupstate.User) (subs []*groupstate.Subscription) {
	for _, sub := range u.Subscriptions() {
		if sub.Event == Event {
			subs = append(subs, sub)
		}
	}
	return subs
}
