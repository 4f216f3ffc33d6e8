package presence

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"trivet/rule/groupstate"
	"trivet/uc"
)

// laneCount is the number of workers. One user's changes always go through the
// same lane.
const laneCount = 4

// change is what happened to a user since the watchers were told last.
type change struct {
	user        uc.UserURI
	by          uc.EndpointID               // who made all of changed and knows it, "" for nobody
	changed     []groupstate.CategoryChange // sorted
	everything  bool                        // access levels changed: watchers need it all
	card        bool                        // the directory's part changed
	containers  []groupstate.Container
	subscribers []groupstate.Subscriber
	late        []*watcher       // who missed changes and needs everything
	view        *groupstate.User // a copy as of the last change, nil: not known or no user
	seen        bool             // view is set
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
	if watchers, self := s.index.of(c.user); len(watchers) == 0 && len(self) == 0 {
		return
	}
	c.seen = true
	if u := state.User(c.user); u != nil {
		c.view = new(*u)
	}
	s.queue(c)
}

// catchUp tells a watcher about users that changed while it was answered.
// It goes through the lanes so that nothing older can follow.
func (s *Service) catchUp(w *watcher, missed []uc.UserURI) {
	for _, t := range missed {
		s.queue(change{user: t, late: []*watcher{w}})
	}
}

func (s *Service) queue(c change) {
	l := &s.lanes[maphash.String(s.index.seed, string(c.user))%laneCount]
	l.mu.Lock()
	defer l.mu.Unlock()
	if was := l.pending[c.user]; was != nil {
		was.merge(&c)
		return
	}
	l.pending[c.user] = &c
	l.order = append(l.order, c.user)
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// merge joins a later change to c.
func (c *change) merge(d *change) {
	switch {
	case len(c.changed) == 0:
		c.by = d.by
	case len(d.changed) > 0 && c.by != d.by:
		c.by = ""
	}
	c.changed = union(c.changed, d.changed)
	c.everything, c.card = c.everything || d.everything, c.card || d.card
	for _, k := range d.containers {
		c.containers = slices.DeleteFunc(slices.Clone(c.containers), func(o groupstate.Container) bool { return o.ID == k.ID })
		c.containers = append(c.containers, k)
	}
	if d.subscribers != nil {
		c.subscribers = d.subscribers
	}
	for _, w := range d.late {
		if !slices.Contains(c.late, w) {
			c.late = append(c.late, w)
		}
	}
	if d.seen {
		c.view, c.seen = d.view, true
	}
}

func compareChanges(a, b groupstate.CategoryChange) int {
	return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Container, b.Container))
}

// union joins two sorted lists; neither is changed.
func union(a, b []groupstate.CategoryChange) []groupstate.CategoryChange {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0 || slices.Equal(a, b):
		return a
	}
	both := append(slices.Clone(a), b...)
	slices.SortFunc(both, compareChanges)
	return slices.Compact(both)
}

// names are the categories of the changes, each once.
func (c *change) names() (names []string) {
	for _, x := range c.changed {
		if n := len(names); n == 0 || names[n-1] != x.Category {
			names = append(names, x.Category)
		}
	}
	return names
}

// touches reports whether watchers in the container may see a change of the category.
func (c *change) touches(container int, category string) bool {
	if c.everything || c.card && category == "contactCard" {
		return true
	}
	_, found := slices.BinarySearchFunc(c.changed, groupstate.CategoryChange{Category: category, Container: uint32(container)}, compareChanges)
	return found
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
		if c := l.next(); c != nil && ctx.Err() == nil {
			s.tell(ctx, c)
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
func (s *Service) tell(ctx context.Context, c *change) {
	if !c.seen {
		views, err := s.views(ctx, []uc.UserURI{c.user})
		if err != nil {
			if ctx.Err() == nil {
				s.cfg.Log.Warn("watchers are not told of a change", "user", c.user, "err", err)
			}
			return
		}
		c.view = views[c.user]
	}
	watchers, self := s.index.of(c.user)
	s.tellSelf(c, self)
	if c.everything || c.card || len(c.changed) > 0 {
		p := s.printer(c.user, c.view, c)
		for _, w := range watchers {
			s.notify(p, w)
		}
	}
	if len(c.late) > 0 {
		s.tellLate(c)
	}
}

// notify tells one watcher.
func (s *Service) notify(p *printer, w *watcher) {
	sub := w.take(p.user)
	if sub == nil || !s.cfg.Notifier.Near(w.dialog.user, sub) {
		return
	}
	if contentType, body := p.forWatcher(w.dialog.user, sub); body != nil {
		s.cfg.Notifier.Notify(w.dialog.user, sub, "", contentType, body)
	}
}

// tellLate brings those up to date who missed something.
func (s *Service) tellLate(c *change) {
	p := s.printer(c.user, c.view, nil)
	for _, w := range c.late {
		sub := w.subscription()
		switch {
		case sub == nil:
		case sub.Event == eventPresence && sub.Watches(c.user):
			s.notify(p, w)
		case sub.Event == eventSelf:
			if sub = w.take(c.user); sub != nil {
				s.cfg.Notifier.Notify(w.dialog.user, sub, "", typeSelf, s.roaming(c.user, c.view, roamingParts))
			}
		}
	}
}

// tellSelf brings the user's own endpoints up to date. The one that published
// learned of that in the answer.
func (s *Service) tellSelf(c *change, self []*watcher) {
	var all, rest []byte // the latter is for who published
	for _, w := range self {
		body := &all
		if c.by != "" && w.dialog.endpoint == c.by {
			body = &rest
		}
		if *body == nil {
			*body = s.roamingChange(c, body == &all)
		}
		if len(*body) == 0 {
			continue
		}
		if sub := w.take(c.user); sub != nil {
			s.cfg.Notifier.Notify(w.dialog.user, sub, "", typeSelf, *body)
		}
	}
}

// views reads users for telling about them: copies of this instant, nothing for
// users without state.
func (s *Service) views(ctx context.Context, users []uc.UserURI) (map[uc.UserURI]*groupstate.User, error) {
	views := make(map[uc.UserURI]*groupstate.User, len(users))
	err := s.cfg.Groups.ReadMany(ctx, users, func(user uc.UserURI, state *groupstate.State) {
		if u := state.User(user); u != nil {
			views[user] = new(*u)
		}
	})
	return views, err
}
