package presence

import (
	"hash/maphash"
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
	mu    sync.Mutex // guards the fields below; lock one shard at a time
	watch map[uc.UserURI][]*watcher
	self  map[uc.UserURI][]*watcher
}

// watcher is one subscription as the fan-out sees it.
type watcher struct {
	user uc.UserURI

	mu      sync.Mutex // guards the fields below
	sub     *groupstate.Subscription
	opening int                     // responses being made that will carry state
	missed  map[uc.UserURI]struct{} // changed while opening
	ended   bool
}

func (x *watchIndex) init() {
	x.seed = maphash.MakeSeed()
	for i := range x.shards {
		x.shards[i].watch = map[uc.UserURI][]*watcher{}
		x.shards[i].self = map[uc.UserURI][]*watcher{}
	}
}

func (x *watchIndex) shard(user uc.UserURI) *watchShard {
	return &x.shards[maphash.String(x.seed, string(user))%indexShards]
}

// change follows a subscription of a routing group.
func (x *watchIndex) change(e groupstate.SubscriptionChanged) {
	switch e.Subscription.Event {
	case eventSelf:
		x.changeAt(e.User, true, e)
	case eventPresence:
		if e.Before != nil {
			for t := range e.Before.Targets() {
				if e.Change == groupstate.SubscriptionEnded || !e.Subscription.Watches(t) {
					x.remove(t, false, e.User, e.Before.ID)
				}
			}
		}
		w := x.find(e.User, e.Subscription)
		for t := range e.Subscription.Targets() {
			if e.Change == groupstate.SubscriptionEnded {
				x.remove(t, false, e.User, e.Subscription.ID)
			} else {
				w = x.put(t, w, e)
			}
		}
	}
}

func (x *watchIndex) changeAt(user uc.UserURI, self bool, e groupstate.SubscriptionChanged) {
	if e.Change == groupstate.SubscriptionEnded {
		x.remove(user, self, e.User, e.Subscription.ID)
		return
	}
	s := x.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.self[user] {
		if w.is(e.User, e.Subscription.ID) {
			w.set(e.Subscription)
			return
		}
	}
	s.self[user] = append(s.self[user], &watcher{user: e.User, sub: e.Subscription})
}

// find returns the watcher of a subscription that stands in the index already.
func (x *watchIndex) find(user uc.UserURI, sub *groupstate.Subscription) *watcher {
	for t := range sub.Targets() {
		s := x.shard(t)
		s.mu.Lock()
		for _, w := range s.watch[t] {
			if w.is(user, sub.ID) {
				s.mu.Unlock()
				return w
			}
		}
		s.mu.Unlock()
	}
	return nil
}

// put makes w (nil: a new one) stand at target with the subscription's new value.
func (x *watchIndex) put(target uc.UserURI, w *watcher, e groupstate.SubscriptionChanged) *watcher {
	if w == nil {
		w = &watcher{user: e.User}
	}
	w.set(e.Subscription)
	s := x.shard(target)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.watch[target] {
		if o == w {
			return w
		}
	}
	s.watch[target] = append(s.watch[target], w)
	return w
}

func (x *watchIndex) remove(target uc.UserURI, self bool, user uc.UserURI, id uint64) {
	s := x.shard(target)
	s.mu.Lock()
	defer s.mu.Unlock()
	table := s.watch
	if self {
		table = s.self
	}
	list := table[target]
	for i, w := range list {
		if w.is(user, id) {
			w.end()
			next := append(append(make([]*watcher, 0, len(list)-1), list[:i]...), list[i+1:]...)
			if len(next) == 0 {
				delete(table, target)
			} else {
				table[target] = next
			}
			return
		}
	}
}

// of returns who watches the user, and the user's own endpoints that follow
// roaming-self. The slices must not be changed; watchers may come and go meanwhile.
func (x *watchIndex) of(user uc.UserURI) (watchers, self []*watcher) {
	s := x.shard(user)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch[user][:len(s.watch[user]):len(s.watch[user])], s.self[user][:len(s.self[user]):len(s.self[user])]
}

func (w *watcher) is(user uc.UserURI, id uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.user == user && w.sub != nil && w.sub.ID == id
}

func (w *watcher) set(sub *groupstate.Subscription) {
	w.mu.Lock()
	w.sub = sub
	w.mu.Unlock()
}

func (w *watcher) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
}

// take returns the subscription to notify about target, nil when the watcher is
// gone or a response with newer state is on its way (then target is noted).
func (w *watcher) take(target uc.UserURI) *groupstate.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
		return nil
	case w.opening > 0:
		if w.missed == nil {
			w.missed = map[uc.UserURI]struct{}{}
		}
		w.missed[target] = struct{}{}
		return nil
	}
	return w.sub
}

// open holds notifications back until close, which returns what was missed.
func (w *watcher) open() {
	w.mu.Lock()
	w.opening++
	w.mu.Unlock()
}

func (w *watcher) close() (missed []uc.UserURI) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.opening--; w.opening > 0 {
		return nil
	}
	for t := range w.missed {
		missed = append(missed, t)
	}
	w.missed = nil
	return missed
}
