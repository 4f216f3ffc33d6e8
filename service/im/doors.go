package im

import (
	"sync"
	"sync/atomic"

	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// doors knows who has blocked anybody: the memory that every message is checked
// against. Only users with somebody in the blocked container are in it.
type doors struct {
	count atomic.Int64 // of users in by: nobody locks while it is 0
	mu    sync.RWMutex // guards by
	by    map[uc.UserURI][]access.Grant
}

// Observe takes the live events of a routing group, in log order, with its state.
func (s *Service) Observe(state *groupstate.State, events []any) {
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.ContainersChanged:
			s.doors.look(state, e.User)
		case groupstate.UserEnabled:
			s.doors.look(state, e.User)
		case groupstate.UserRemoved:
			s.doors.look(state, e.User)
		case groupstate.UserRenamed:
			s.doors.look(state, e.From)
			s.doors.look(state, e.To)
		}
	}
}

// Adopt learns from the state of a routing group that this server takes over.
// Call it on the group's goroutine, before Observe.
func (s *Service) Adopt(state *groupstate.State) {
	for u := range state.Users() {
		s.doors.look(state, u.URI())
	}
}

func (d *doors) look(state *groupstate.State, user uc.UserURI) {
	var grants []access.Grant
	blocks := false
	if u := state.User(user); u != nil {
		grants = u.Grants()
		for _, g := range grants {
			blocks = blocks || g.Container == access.Blocked
		}
	}
	if !blocks && d.count.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil {
		d.by = map[uc.UserURI][]access.Grant{}
	}
	if blocks {
		d.by[user] = grants
	} else {
		delete(d.by, user)
	}
	d.count.Store(int64(len(d.by)))
}

// Blocked reports whether callee has blocked caller, who is told that callee is not
// signed in.
func (s *Service) Blocked(callee, caller uc.UserURI) bool { return s.doors.shut(callee, caller) }

// shut reports whether callee has blocked caller.
func (d *doors) shut(callee, caller uc.UserURI) bool {
	if d.count.Load() == 0 {
		return false
	}
	d.mu.RLock()
	grants, ok := d.by[callee]
	d.mu.RUnlock()
	return ok && access.Place(callee, grants, access.Watcher{URI: caller, Realm: access.Company}, false) == access.Blocked
}
