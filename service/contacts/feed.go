package contacts

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/replica"
	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/presdoc"
)

// Group is one routing group whose events are followed.
type Group interface {
	Read(ctx context.Context, f func(*groupstate.State)) error
}

// Feed returns the durable reader of a group's events: it tells every endpoint of
// the changes, and asks those who were added.
func (s *Service) Feed(g Group) replica.FeedFunc {
	var told uint64 // entry whose endpoints know, though the rest of it failed
	return func(ctx context.Context, index uint64, events []any) error {
		if index != told {
			if err := s.tell(ctx, g, events); err != nil {
				return err
			}
			told = index
		}
		for _, e := range events {
			if e, ok := e.(groupstate.ContactsChanged); ok {
				if err := s.ask(ctx, &e); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func (s *Service) tell(ctx context.Context, g Group, events []any) error {
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.ContactsChanged:
			subs, fragile, err := watching(ctx, g, e.User)
			if err != nil {
				return err
			}
			s.send(e.User, subs, func() []byte { return deltaDocument(&e.Delta) })
			spared := e.Delta
			spared.DeletedGroups = nil
			s.send(e.User, fragile, func() []byte { return deltaDocument(&spared) })
		case groupstate.SubscriptionChanged:
			if e.Change == groupstate.SubscriptionEnded && e.Subscription.Event == Event {
				s.cfg.Notifier.Forget(e.User, e.Subscription)
			}
		case replica.Lost:
			if err := s.afresh(ctx, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends one document to all subscriptions.
func (s *Service) send(user uc.UserURI, subs []*groupstate.Subscription, document func() []byte) {
	if len(subs) == 0 {
		return
	}
	body := document()
	for _, sub := range subs {
		s.cfg.Notifier.Notify(user, sub, "", presdoc.TypeContacts, body)
	}
}

// watching are the subscriptions of a user to the own list; those of clients that
// must not be told of deleted groups are apart.
func watching(ctx context.Context, g Group, user uc.UserURI) (subs, fragile []*groupstate.Subscription, err error) {
	err = g.Read(ctx, func(st *groupstate.State) {
		u := st.User(user)
		if u == nil {
			return
		}
		for _, sub := range own(u) {
			if b := u.Binding(sub.Endpoint); b != nil && freesGroupsTwice(b.UserAgent) {
				fragile = append(fragile, sub)
			} else {
				subs = append(subs, sub)
			}
		}
	})
	return subs, fragile, err
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

// afresh sends the whole lists: changes may have been missed.
func (s *Service) afresh(ctx context.Context, g Group) error {
	type owner struct {
		user groupstate.User
		subs []*groupstate.Subscription
	}
	var all []owner
	err := g.Read(ctx, func(st *groupstate.State) {
		for u := range st.Users() {
			if subs := own(u); len(subs) > 0 {
				all = append(all, owner{*u, subs})
			}
		}
	})
	for i := range all {
		s.send(all[i].user.URI(), all[i].subs, func() []byte { return document(&all[i].user) })
	}
	return err
}

// ask leaves a note with everybody who was added and is one of ours. A contact
// elsewhere, or one that does not exist, is nobody to ask.
func (s *Service) ask(ctx context.Context, e *groupstate.ContactsChanged) error {
	for _, c := range e.Delta.AddedContacts {
		user, err := uc.ParseUserURI(c.URI)
		if err != nil || !c.Subscribed {
			continue
		}
		most := min(s.cfg.Limits.MaxPromptedSubscribers(user), groupstate.MaxPrompts)
		if most <= 0 {
			continue
		}
		cmd := &groupstate.AddPrompt{User: user, Now: s.cfg.Now().UnixMilli(), Watcher: e.User, DisplayName: s.cfg.Directory.DisplayName(ctx, e.User),
			Type: access.SameEnterprise, Max: uint32(most)}
		_, err = result[groupstate.PromptResult](s.cfg.Groups.Propose(ctx, user, cmd))
		switch fault.KindOf(err) {
		case fault.NotFound, fault.Invalid, fault.Forbidden:
			s.cfg.Log.Debug("a new contact is not asked", "err", err)
		default:
			if err != nil {
				return err
			}
		}
	}
	return nil
}
