package presence

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// laneCount is the number of workers. One user's changes always go through the
// same lane.
const laneCount = 4

// view is what is needed of a user to tell anybody about it, as of one instant.
type view struct {
	grants       []access.Grant
	contacts     *groupstate.ContactList
	publications []groupstate.Publication // of the categories that are told
}

// change is what happened to a user since the watchers were told last.
type change struct {
	user        uc.UserURI
	by          uc.EndpointID // the endpoint that knows already, "" when several or none do
	presence    bool          // categories changed
	categories  []string      // which; sorted
	everything  bool          // access levels changed: watchers need it all
	card        bool          // the directory's part changed: not for the user's own endpoints
	containers  []groupstate.Container
	subscribers []groupstate.Subscriber
	view        view
}

// lane is the queue of one worker: users in the order in which they changed first,
// each with the merged change.
type lane struct {
	mu      sync.Mutex // guards the fields below
	order   []uc.UserURI
	pending map[uc.UserURI]*change
	ready   chan struct{} // one place: there is something
}

func (l *lane) init() {
	l.pending = map[uc.UserURI]*change{}
	l.ready = make(chan struct{}, 1)
}

// changed queues a change with the state it led to. It runs on the group's
// goroutine, so the view is of this very commit.
func (s *Service) changed(state *groupstate.State, c change) {
	watchers, self := s.index.of(c.user)
	if len(watchers) == 0 && len(self) == 0 {
		return
	}
	u := state.User(c.user)
	l := &s.lanes[maphash.String(s.index.seed, string(c.user))%laneCount]
	l.mu.Lock()
	defer l.mu.Unlock()
	if was := l.pending[c.user]; was != nil {
		c = was.merge(c)
		*was = c
		was.look(u)
		return
	}
	c.look(u)
	l.pending[c.user] = &c
	l.order = append(l.order, c.user)
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// look takes the view that the change needs.
func (c *change) look(u *groupstate.User) {
	c.view = view{}
	if u == nil {
		return
	}
	c.view.grants, c.view.contacts = u.Grants(), u.Contacts()
	switch {
	case c.everything:
		c.view.publications = u.Publications()
	case c.presence:
		c.view.publications = u.Publications(c.categories...)
	}
}

// merge joins a later change to c.
func (c *change) merge(d change) change {
	if c.by != d.by {
		c.by = ""
	}
	c.presence, c.everything, c.card = c.presence || d.presence, c.everything || d.everything, c.card && d.card
	for _, name := range d.categories {
		if i, ok := slices.BinarySearch(c.categories, name); !ok {
			c.categories = slices.Insert(slices.Clone(c.categories), i, name)
		}
	}
	for _, k := range d.containers {
		c.containers = slices.DeleteFunc(slices.Clone(c.containers), func(o groupstate.Container) bool { return o.ID == k.ID })
		c.containers = append(c.containers, k)
	}
	if d.subscribers != nil {
		c.subscribers = d.subscribers
	}
	return *c
}

func (l *lane) next() *change {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.order) == 0 {
		return nil
	}
	user := l.order[0]
	l.order = l.order[1:]
	c := l.pending[user]
	delete(l.pending, user)
	return c
}

func (s *Service) work(ctx context.Context, l *lane) error {
	for {
		c := l.next()
		if c != nil {
			s.tell(c)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.ready:
		}
	}
}

// tell notifies everybody whom the change concerns.
func (s *Service) tell(c *change) {
	watchers, self := s.index.of(c.user)
	s.tellSelf(c, self)
	if !c.presence && !c.everything {
		return
	}
	names := c.categories
	if c.everything {
		names = nil
	}
	p := s.printer(c.user, c.view)
	for _, w := range watchers {
		sub := w.take(c.user)
		if sub == nil {
			continue
		}
		if contentType, body := p.forWatcher(w.user, sub, names); body != nil {
			s.cfg.Notifier.Notify(w.user, sub, "", contentType, body)
		}
	}
}

// tellSelf brings the user's own endpoints up to date, except the one that made
// the change and learned of it in the answer.
func (s *Service) tellSelf(c *change, self []*watcher) {
	if c.card {
		return
	}
	var body []byte
	for _, w := range self {
		sub := w.take(c.user)
		if sub == nil || c.by != "" && sub.Endpoint == c.by && c.presence {
			continue
		}
		if body == nil {
			if body = roamingChange(c, s.cfg.Clock.Now().UnixMilli()); body == nil {
				return
			}
		}
		s.cfg.Notifier.Notify(w.user, sub, "", typeSelf, body)
	}
}

// catchUp tells one watcher about users that changed while its response was made.
func (s *Service) catchUp(ctx context.Context, w *watcher, missed []uc.UserURI) {
	if len(missed) == 0 {
		return
	}
	slices.SortFunc(missed, func(a, b uc.UserURI) int { return strings.Compare(string(a), string(b)) })
	views := s.views(ctx, missed)
	for _, t := range missed {
		if sub := w.take(t); sub != nil {
			if contentType, body := s.printer(t, views[t]).forWatcher(w.user, sub, nil); body != nil {
				s.cfg.Notifier.Notify(w.user, sub, "", contentType, body)
			}
		}
	}
}

// views reads what is needed to tell about users. A failure leaves users out.
func (s *Service) views(ctx context.Context, users []uc.UserURI) map[uc.UserURI]view {
	views := make(map[uc.UserURI]view, len(users))
	err := s.cfg.Groups.ReadMany(ctx, users, func(user uc.UserURI, state *groupstate.State) {
		if u := state.User(user); u != nil {
			views[user] = view{u.Grants(), u.Contacts(), u.Publications()}
		}
	})
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("presence cannot be read", "err", err)
	}
	return views
}
