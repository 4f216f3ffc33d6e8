// Package groupstate is all that a routing group knows about its users:
// registrations, presence publications with their aggregates, containers,
// prompted subscribers, contact lists, the watchers' subscriptions and the
// conferences they organize; and the commands that change it.
//
// It is a deterministic state machine: what Apply does depends on the state and
// the command alone (no clock, chance or map order), so that replicas that apply
// the same log are equal. The rules are those of RFC 3261 10.3 (registrations),
// [MS-PRES] (publications, containers, subscribers), [MS-SIP] (contacts).
//
// Concurrency: a State belongs to one goroutine, the group's. Values in results and
// events, and those that the methods of a User return, are never changed afterwards,
// so they may be kept and read anywhere, and must not be changed by anyone. The function
// returned by Snapshot may run on any goroutine.
package groupstate

import (
	"iter"
	"maps"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

// State is the state of one routing group. Make one with New.
type State struct {
	users map[uc.UserURI]*entry
	due   dueHeap
	words words
	gen   uint64 // of the users that may still be changed in place
}

// entry is the place of a user in the tables; it is never part of a snapshot.
type entry struct {
	user *User
	due  int64 // when the first thing of the user expires
	pos  int32 // in State.due, -1 when nothing expires
}

// New makes an empty state.
func New() *State {
	return &State{users: map[uc.UserURI]*entry{}, gen: 1}
}

// turn is one Apply.
type turn struct {
	*State
	events  []any
	touches []*touch // presence that changed; told last
}

func (t *turn) emit(event any) { t.events = append(t.events, event) }

// Apply changes the state by one encoded command. The result is the command's
// own type (documented at the command) or, when the command was refused, an
// error (*fault.Error or *StaleError); a refused command changes nothing that a
// client can see. Events are in order of their happening.
func (s *State) Apply(_ uint64, cmd []byte) (result any, events []any) {
	c, err := Decode(cmd)
	if err != nil {
		return err, nil
	}
	t := turn{State: s}
	result, err = c.apply(&t)
	if err != nil {
		return err, nil
	}
	for _, o := range t.touches {
		t.emit(*t.touched(o.entry))
	}
	return result, t.events
}

// Refused returns the error that a result of Apply is, nil for a success.
func Refused(result any) error {
	err, _ := result.(error)
	return err
}

// User returns the user, nil if the group has none of that name. The *User itself
// is good until the next Apply: copy the struct to keep it; what its methods return
// never changes.
func (s *State) User(uri uc.UserURI) *User {
	if e := s.users[uri]; e != nil {
		return e.user
	}
	return nil
}

// Len returns the number of users.
func (s *State) Len() int { return len(s.users) }

// Users yields every user in the order of the names.
func (s *State) Users() iter.Seq[*User] {
	return func(yield func(*User) bool) {
		for _, uri := range slices.Sorted(maps.Keys(s.users)) {
			if !yield(s.users[uri].user) {
				return
			}
		}
	}
}

// known returns the entry of a user, fault.NotFound (diagnostics 4005) if there
// is none.
func (s *State) known(op string, uri uc.UserURI) (*entry, error) {
	if e := s.users[uri]; e != nil {
		return e, nil
	}
	return nil, fault.New(fault.NotFound, op, "the user is not enabled for SIP on this pool").About(string(uri)).Diagnosed(diagUnknownUser)
}

// active is known that also refuses disabled users (diagnostics 4141).
func (s *State) active(op string, uri uc.UserURI) (*entry, error) {
	e, err := s.known(op, uri)
	if err == nil && e.user.disabled {
		return nil, fault.New(fault.Forbidden, op, "the user is disabled").About(string(uri)).Diagnosed(diagDisabled)
	}
	return e, err
}

// edit returns the user of e for changing: itself, or a copy when a snapshot may
// still be reading it. Slices and what pointers point at are never changed in
// place, only replaced.
func (t *turn) edit(e *entry) *User {
	if e.user.gen != t.gen {
		u := *e.user
		u.gen = t.gen
		e.user = &u
	}
	return e.user
}

// ms-diagnostics numbers, [MS-OCER].
const (
	diagUnknownUser = 4005
	diagDisabled    = 4141
)

// words keeps one copy of texts that many users share (user agents, method
// lists, server names, computed states). It has no influence on what is stored.
type words map[string]string

func (w *words) one(s string) string {
	if known, ok := (*w)[s]; ok {
		return known
	}
	if *w == nil || len(*w) >= 4096 {
		*w = words{}
	}
	(*w)[s] = s
	return s
}
