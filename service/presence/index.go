package presence

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"trivet/rule/groupstate"
	"trivet/uc"
)

const indexShards = 64

// watchIndex finds the subscriptions to a user. A subscription with several
// targets stands at each of them; those to roaming-self stand at the user's own
// place in self.
type watchIndex struct {
	seed   maphash.Seed
	shards [indexShards]watchShard
}

type watchShard struct {
	mu      sync.Mutex // guards the fields below; lock one shard at a time, and watchers after it
	watch   map[uc.UserURI][]*watcher
	weight  map[uc.UserURI]int // categories that others subscribe to
	self    map[uc.UserURI][]*watcher
	dialogs map[dialog]*watcher // at the watcher's own place
}

// dialog names a subscription as the routing group does.
type dialog struct {
	user     uc.UserURI // the watcher
	endpoint uc.EndpointID
	callID   string
	tag      string // of the watcher
}

func dialogOf(user uc.UserURI, endpoint uc.EndpointID, d *groupstate.Dialog) dialog {
	return dialog{user, endpoint, d.CallID, d.RemoteTag}
}

// kept is d with strings of its own: those of a request are parts of its text, which
// a watcher would keep in memory as long as the subscription lives.
func (d dialog) kept() dialog {
	return dialog{uc.UserURI(strings.Clone(string(d.user))), uc.EndpointID(strings.Clone(string(d.endpoint))), strings.Clone(d.callID), strings.Clone(d.tag)}
}

// watcher is one subscription as the fan-out sees it.
type watcher struct {
	dialog dialog

	mu      sync.Mutex               // guards the fields below
	sub     *groupstate.Subscription // nil: not there yet, or not any more
	opening int                      // requests being answered that will carry state
	missed  map[uc.UserURI]struct{}  // changed while opening
}

func (x *watchIndex) init() {
	x.seed = maphash.MakeSeed()
	for i := range x.shards {
		x.shards[i].watch = map[uc.UserURI][]*watcher{}
		x.shards[i].weight = map[uc.UserURI]int{}
		x.shards[i].self = map[uc.UserURI][]*watcher{}
		x.shards[i].dialogs = map[dialog]*watcher{}
	}
}

func (x *watchIndex) shard(user uc.UserURI) *watchShard {
	return &x.shards[maphash.String(x.seed, string(user))%indexShards]
}

// get returns the watcher of a dialog, new if there was none.
func (s *watchShard) get(d dialog) *watcher {
	w := s.dialogs[d]
	if w == nil {
		w = &watcher{dialog: d}
		s.dialogs[d] = w
	}
	return w
}

// find returns the watcher of a dialog, nil if there is none.
func (x *watchIndex) find(d dialog) *watcher {
	s := x.shard(d.user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialogs[d]
}

// change follows a subscription of a routing group. It runs on the group's
// goroutine, so the changes of one watcher come one after the other.
func (x *watchIndex) change(e groupstate.SubscriptionChanged) {
	self := e.Subscription.Event == eventSelf
	if !self && e.Subscription.Event != eventPresence {
		return
	}
	home := x.shard(e.User)
	home.mu.Lock()
	w := home.get(dialogOf(e.User, e.Subscription.Endpoint, &e.Subscription.Dialog))
	before := w.subscription()
	after := e.Subscription
	if e.Change == groupstate.SubscriptionEnded {
		after = nil
	}
	if !w.set(after) {
		delete(home.dialogs, w.dialog)
	}
	home.mu.Unlock()
	had, has := targets(e.User, self, before), targets(e.User, self, after)
	gone, come := differ(had, has)
	for _, t := range gone {
		x.remove(t, self, w)
	}
	for _, t := range come {
		x.put(t, self, w)
	}
	if !self {
		x.weigh(e.User, had, -weightOf(before))
		x.weigh(e.User, has, weightOf(after))
	}
}

// weightOf is how many categories of each target a subscription has; PIDF counts
// as one.
func weightOf(sub *groupstate.Subscription) int {
	if sub == nil {
		return 0
	}
	return max(len(sub.Categories), 1)
}

// weigh adds to the weight of targets. Nobody weighs on oneself.
func (x *watchIndex) weigh(watcher uc.UserURI, targets []uc.UserURI, n int) {
	for _, t := range targets {
		if n == 0 || t == watcher {
			continue
		}
		s := x.shard(t)
		s.mu.Lock()
		if s.weight[t] += n; s.weight[t] <= 0 {
			delete(s.weight, t)
		}
		s.mu.Unlock()
	}
}

// weightAt is how many categories of the user others subscribe to.
func (x *watchIndex) weightAt(user uc.UserURI) int {
	s := x.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.weight[user]
}

// targets are the places where a subscription stands, sorted.
func targets(user uc.UserURI, self bool, sub *groupstate.Subscription) []uc.UserURI {
	switch {
	case sub == nil:
		return nil
	case self:
		return []uc.UserURI{user}
	}
	return slices.AppendSeq(make([]uc.UserURI, 0, sub.Count()), sub.Targets())
}

// differ compares two sorted lists.
func differ(before, after []uc.UserURI) (gone, come []uc.UserURI) {
	for len(before) > 0 && len(after) > 0 {
		switch {
		case before[0] == after[0]:
			before, after = before[1:], after[1:]
		case before[0] < after[0]:
			gone, before = append(gone, before[0]), before[1:]
		default:
			come, after = append(come, after[0]), after[1:]
		}
	}
	return append(gone, before...), append(come, after...)
}

func (s *watchShard) table(self bool) map[uc.UserURI][]*watcher {
	if self {
		return s.self
	}
	return s.watch
}

func (x *watchIndex) put(target uc.UserURI, self bool, w *watcher) {
	s := x.shard(target)
	s.mu.Lock()
	defer s.mu.Unlock()
	table := s.table(self)
	table[target] = append(table[target], w)
}

func (x *watchIndex) remove(target uc.UserURI, self bool, w *watcher) {
	s := x.shard(target)
	s.mu.Lock()
	defer s.mu.Unlock()
	table := s.table(self)
	list := table[target]
	i := slices.Index(list, w)
	switch {
	case i < 0:
	case len(list) == 1:
		delete(table, target)
	default: // others may be reading the list
		table[target] = append(append(make([]*watcher, 0, len(list)), list[:i]...), list[i+1:]...)
	}
}

// of returns who watches the user, and the user's own endpoints that follow
// roaming-self. The slices must not be changed; watchers may come and go meanwhile.
func (x *watchIndex) of(user uc.UserURI) (watchers, self []*watcher) {
	s := x.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.watch[user]), slices.Clip(s.self[user])
}

// ofUsers are the watchers who are users of a routing group.
func (x *watchIndex) ofUsers(state *groupstate.State) (all []*watcher) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for d, w := range s.dialogs {
			if state.User(d.user) != nil {
				all = append(all, w)
			}
		}
		s.mu.Unlock()
	}
	return all
}

// open holds the notifications of a dialog back until close. The subscription
// need not exist yet.
func (x *watchIndex) open(d dialog) *watcher {
	s := x.shard(d.user)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialogs[d] == nil {
		d = d.kept()
	}
	w := s.get(d)
	w.mu.Lock()
	w.opening++
	w.mu.Unlock()
	return w
}

// close ends open and returns whose changes were missed.
func (x *watchIndex) close(w *watcher) (missed []uc.UserURI) {
	s := x.shard(w.dialog.user)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opening--; w.opening > 0 {
		return nil
	}
	if w.sub == nil {
		delete(s.dialogs, w.dialog)
		return nil
	}
	for t := range w.missed {
		missed = append(missed, t)
	}
	w.missed = nil
	return missed
}

func (w *watcher) subscription() *groupstate.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sub
}

// set gives the watcher the new value of its subscription, nil for the end of it,
// and reports whether anybody still needs the watcher.
func (w *watcher) set(sub *groupstate.Subscription) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sub = sub
	return sub != nil || w.opening > 0
}

// take returns the subscription to notify about target, nil when the watcher is
// gone or a response with newer state is on its way (then target is noted).
func (w *watcher) take(target uc.UserURI) *groupstate.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opening == 0 {
		return w.sub
	}
	if w.missed == nil {
		w.missed = map[uc.UserURI]struct{}{}
	}
	w.missed[target] = struct{}{}
	return nil
}
