// Package presence is who sees what of whom: a user's own publications, containers
// and subscribers as Lync clients handle them ([MS-PRES]), subscriptions to others
// by Lync clients (single, batched, polled) and by standard SIP clients (RFC 3856
// with PIDF), publication by standard clients (RFC 3903), and the fan-out of
// changes to watchers.
//
// There is one presence inside, the categories and containers of the routing
// groups; what a watcher gets is rendered from it, per container and format, and
// one rendering serves all watchers of a kind.
//
// Concurrency: Observe runs on the goroutine of a routing group and only queues.
// Workers render and send; changes of one user go through one worker in order, and
// changes that wait for their turn are merged, so what is queued is bounded by the
// number of users. While a request is answered with state, notifications of the
// same dialog are held back, and what they would have told is told after it; so a
// watcher always ends with the newest state.
package presence

import (
	"context"
	"log/slog"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/uc"
	"trivet/wire/presdoc"
)

// Groups is the way to the state of users.
type Groups interface {
	Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error)
	Read(ctx context.Context, user uc.UserURI, f func(*groupstate.State)) error
	// ReadMany calls f for every user of ours among users, with as few visits to
	// the groups as there are groups. Users that nobody has are left out.
	ReadMany(ctx context.Context, users []uc.UserURI, f func(uc.UserURI, *groupstate.State)) error
}

// Card is what the directory says of a person.
type Card struct {
	DisplayName, FirstName, LastName, Email   string
	Title, Company, Department, Office        string
	WorkPhone, MobilePhone, HomePhone, Others string
	LineURI                                   string
}

// Directory knows people.
type Directory interface {
	// Person returns the card of a user who is enabled here.
	Person(uc.UserURI) (Card, bool)
}

// Policies are what administrators decided. They are asked each time, so that they
// can change while running; the values are not changed.
type Policies interface {
	Privacy() *policy.Privacy
	Presence(user uc.UserURI) *policy.Presence
}

// Config sets a Service up.
type Config struct {
	Groups    Groups
	Directory Directory
	Notifier  *sipnotify.Notifier
	Life      *life.Group
	Clock     clock.Clock
	Log       *slog.Logger
	Policies  Policies
}

// Service is the presence service.
type Service struct {
	cfg   Config
	index watchIndex
	lanes [laneCount]lane
	etags etags
}

// New makes the service and starts its workers in cfg.Life.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg}
	s.index.init()
	s.etags.init()
	for i := range s.lanes {
		s.lanes[i].init()
		cfg.Life.Go("presence: fan-out", func(ctx context.Context) error { return s.work(ctx, &s.lanes[i]) })
	}
	return s
}

// Routes are the requests this service answers.
func (s *Service) Routes() []sipmux.Route {
	user := func(method, event, contentType, doc string, serve func(context.Context, *sipmux.Request) (*message, error)) sipmux.Route {
		return sipmux.Route{Method: method, Event: event, Type: contentType, Who: sipmux.User, Doc: doc, Serve: serve}
	}
	return []sipmux.Route{
		user("SUBSCRIBE", eventSelf, "", "the user's own publications, containers and subscribers ([MS-PRES] 3.3)", s.subscribeSelf),
		user("SUBSCRIBE", eventPresence, "", "presence of others: batched, single, polled, or as PIDF (RFC 3856)", s.subscribe),
		user("PUBLISH", eventPresence, "", "presence of a standard SIP client (RFC 3903)", s.publishPIDF),
		user("SERVICE", "", presdoc.TypePublish, "publishes categories of the user ([MS-PRES] 3.8)", s.publish),
		user("SERVICE", "", presdoc.TypeSetContainers, "changes the members of the user's containers ([MS-PRES] 3.2)", s.setContainers),
		user("SERVICE", "", presdoc.TypeSetSubscriber, "answers for people who added the user ([MS-PRES] 3.4)", s.setSubscribers),
	}
}

const (
	eventSelf     = "vnd-microsoft-roaming-self"
	eventPresence = "presence"
)

// Observe takes the live events of a routing group, in log order, with its state.
// The notifier's Locate must know of them already.
func (s *Service) Observe(state *groupstate.State, events []any) {
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.PresenceChanged:
			s.changed(state, change{user: e.User, by: e.By, changed: e.Changed})
		case groupstate.ContainersChanged:
			s.changed(state, change{user: e.User, containers: e.Containers, everything: true})
		case groupstate.SubscribersChanged:
			s.changed(state, change{user: e.User, subscribers: e.Subscribers})
		case groupstate.ContactsChanged:
			if s.cfg.Policies.Privacy().EnablePrivacyMode {
				s.changed(state, change{user: e.User, everything: true})
			}
		case groupstate.Bound:
			if !e.New {
				s.returned(state, &e)
			}
		case groupstate.SubscriptionChanged:
			s.index.change(e)
			if e.Change == groupstate.SubscriptionEnded {
				s.cfg.Notifier.Forget(e.User, e.Subscription)
			}
		}
	}
}

// returned tells a standard client everything that came over another connection
// than its subscriptions: it keeps them, and what happened in between was lost. Lync
// clients subscribe anew.
func (s *Service) returned(state *groupstate.State, e *groupstate.Bound) {
	u := state.User(e.User)
	b := u.Binding(e.Endpoint)
	if b == nil || b.Lync {
		return
	}
	for _, sub := range u.Subscriptions() {
		self := sub.Event == eventSelf
		if sub.Endpoint != e.Endpoint || sub.Flow == b.Flow || !self && sub.Event != eventPresence {
			continue
		}
		if w := s.index.find(dialogOf(e.User, sub.Endpoint, &sub.Dialog)); w != nil {
			s.catchUp(w, targets(e.User, self, sub))
		}
	}
}

// Adopt brings the index of watchers into agreement with the state of a routing group:
// at the start, and when the state came as a snapshot in place of events. Call it on
// the group's goroutine, before Observe.
func (s *Service) Adopt(state *groupstate.State) {
	for _, w := range s.index.ofUsers(state) {
		if sub := w.subscription(); sub != nil && !held(state.User(w.dialog.user), w.dialog) {
			s.index.change(groupstate.SubscriptionChanged{User: w.dialog.user, Change: groupstate.SubscriptionEnded, Subscription: sub})
			s.cfg.Notifier.Forget(w.dialog.user, sub)
		}
	}
	for u := range state.Users() {
		for _, sub := range u.Subscriptions() {
			s.index.change(groupstate.SubscriptionChanged{User: u.URI(), Change: groupstate.SubscriptionAdded, Subscription: sub})
		}
	}
}

// held reports whether the user has the subscription of the dialog.
func held(u *groupstate.User, d dialog) bool {
	for _, sub := range u.Subscriptions() {
		if dialogOf(d.user, sub.Endpoint, &sub.Dialog) == d {
			return true
		}
	}
	return false
}

// Refresh tells watchers, and the own endpoints, about a person whose card in the
// directory changed.
func (s *Service) Refresh(ctx context.Context, user uc.UserURI) error {
	return s.cfg.Groups.Read(ctx, user, func(state *groupstate.State) {
		s.changed(state, change{user: user, card: true})
	})
}

// Afresh tells all watchers of a routing group's users everything, after a change
// of what they may see. Call it on the group's goroutine.
func (s *Service) Afresh(state *groupstate.State) {
	for u := range state.Users() {
		s.changed(state, change{user: u.URI(), everything: true})
	}
}
