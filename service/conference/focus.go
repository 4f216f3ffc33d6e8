package conference

import (
	"context"
	"slices"
	"sync"
	"time"

	"trivet/kit/clock"
	"trivet/link/siptrans"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
)

// Bounds of a running conference.
const (
	maxSeats  = 16    // devices of one participant
	maxPlaces = 256   // conferences that one user is in, each device counted
	maxQueue  = 20000 // requests of one conference that wait to be sent
)

// focus is a running conference: those who are in it and what they are told. All its
// fields are guarded by mu, and methods want it held unless they say otherwise; do
// takes it. What is to be sent goes to out and is sent in that order, without mu,
// because answers may come at once.
type focus struct {
	s  *Service
	at place

	mu       sync.Mutex
	conf     *groupstate.Conference
	people   []*person // by time of arrival
	version  uint64    // of the roster
	messages uint64    // counts instant messages: their ids
	over     bool      // it is not the focus of the conference any more

	history     []said
	historySize int

	opened time.Time
	lapse  clock.Timer // guarded by the service's mu

	out     []func()
	sending bool // somebody is emptying out
}

// person is a participant.
type person struct {
	user      uc.UserURI
	presenter bool
	seats     []*seat
}

// seat is one device of a participant.
type seat struct {
	f        *focus
	person   *person
	endpoint uc.EndpointID
	entity   string          // of the endpoint in the roster
	conn     *siptrans.Conn  // nil in page mode; once seated it is guarded by the service's mu
	flow     groupstate.Flow // over which the device was registered when it joined
	uri      string          // the focus as the device wrote it
	control  *session        // with the focus; nil for standard SIP clients
	chat     *session        // with the IM MCU
	page     bool            // takes part by pages (RFC 3428), with every phone of the user
	watch    *groupstate.Subscription
	owes     debt // of pages
	brake    brake
	gone     bool
}

// do runs f with the lock held, then sends what is to be sent.
func (f *focus) do(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	f.flush()
}

// later has something sent after all that was to be sent before.
func (f *focus) later(send func()) { f.out = append(f.out, send) }

// flush sends what waits, unless somebody does already. Whoever comes first sends one
// batch; what others have added meanwhile is sent by a goroutine, so that nobody sends
// on for a flooder. It is called without mu.
func (f *focus) flush() {
	f.mu.Lock()
	busy := f.sending || len(f.out) == 0
	if !busy {
		f.sending = true
	}
	f.mu.Unlock()
	if busy || !f.batch() {
		return
	}
	drain := func(context.Context) error {
		for f.batch() {
		}
		return nil
	}
	if !f.s.cfg.Life.Go("conference: output", drain) { // the server stops
		drain(context.Background())
	}
}

// batch sends what waits now and reports whether there is more. The caller is the one
// who is sending.
func (f *focus) batch() (more bool) {
	f.mu.Lock()
	batch := f.out
	f.out = nil
	f.mu.Unlock()
	for _, send := range batch {
		send()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sending = len(f.out) > 0
	return f.sending
}

func (f *focus) find(user uc.UserURI) *person {
	i := slices.IndexFunc(f.people, func(p *person) bool { return p.user == user })
	if i < 0 {
		return nil
	}
	return f.people[i]
}

// seat is the seat of a user's device, nil if it has none.
func (f *focus) seat(user uc.UserURI, endpoint uc.EndpointID) *seat {
	p := f.find(user)
	if p == nil {
		return nil
	}
	i := slices.IndexFunc(p.seats, func(x *seat) bool { return x.endpoint == endpoint && !x.page })
	if i < 0 {
		return nil
	}
	return p.seats[i]
}

// paged is the seat of a user in page mode, nil if there is none.
func (p *person) paged() *seat {
	i := slices.IndexFunc(p.seats, func(x *seat) bool { return x.page })
	if i < 0 {
		return nil
	}
	return p.seats[i]
}

// standing is what the user is in the conference.
func (f *focus) standing(user uc.UserURI) conference.Standing {
	p := f.find(user)
	switch {
	case p == nil:
		return conference.Outsider
	case user == f.at.organizer:
		return conference.OrganizerStanding
	case p.presenter:
		return conference.PresenterStanding
	}
	return conference.AttendeeStanding
}

// sit puts a seat at the table.
func (f *focus) sit(x *seat) {
	if b := x.binding(); b != nil {
		x.flow = b.Flow
	}
	x.person.seats = append(x.person.seats, x)
	if len(x.person.seats) == 1 {
		f.people = append(f.people, x.person)
	}
	f.s.enter(x)
}

// leave ends a seat. With farewell the device is told by BYE and by the last
// notification, for the reason given.
func (f *focus) leave(x *seat, farewell string) {
	if x.gone {
		return
	}
	f.settled(x, farewell == "")
	x.gone = true
	for _, d := range []*session{x.chat, x.control} {
		if d != nil {
			f.close(d, farewell != "")
		}
	}
	f.unwatch(x, farewell)
	p := x.person
	p.seats = slices.DeleteFunc(p.seats, func(y *seat) bool { return y == x })
	f.s.exit(x)
	if len(p.seats) > 0 {
		f.tell(news{changed: []*person{p}})
		return
	}
	f.people = slices.DeleteFunc(f.people, func(q *person) bool { return q == p })
	f.tell(news{left: []uc.UserURI{p.user}})
}

// expel ends every seat of somebody.
func (f *focus) expel(p *person, farewell string) {
	for _, x := range slices.Clone(p.seats) {
		if x.page {
			f.page(x, "", "You have been removed from the conversation.")
		}
		f.leave(x, farewell)
	}
}

// end ends the conference for all.
func (f *focus) end() {
	if f.over {
		return
	}
	f.over = true
	for _, p := range slices.Clone(f.people) {
		for _, x := range slices.Clone(p.seats) {
			if x.page {
				f.page(x, "", "The conversation has ended.")
			}
			x.gone = true
			f.settled(x, false)
			for _, d := range []*session{x.chat, x.control} {
				if d != nil {
					f.close(d, true)
				}
			}
			f.unwatch(x, "noresource")
			f.s.exit(x)
		}
	}
	f.people = nil
	f.forgetFirst(len(f.history))
	f.s.forget(f)
}

// settle forgets a focus with nobody in it.
func (f *focus) settle() {
	if len(f.people) == 0 && !f.over {
		f.over = true
		f.forgetFirst(len(f.history))
		f.s.forget(f)
	}
}

// enter notes a seat under its user.
func (s *Service) enter(x *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.seats[x.person.user]
	if mine == nil {
		mine = map[*seat]struct{}{}
		s.seats[x.person.user] = mine
	}
	mine[x] = struct{}{}
	s.tie(x)
}

func (s *Service) exit(x *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.seats[x.person.user]
	if delete(mine, x); len(mine) == 0 {
		delete(s.seats, x.person.user)
	}
	s.untie(x)
}

// seatsOf are all seats of a user.
func (s *Service) seatsOf(user uc.UserURI) []*seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*seat
	for x := range s.seats[user] {
		all = append(all, x)
	}
	return all
}

func (s *Service) crowded(user uc.UserURI) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seats[user]) >= maxPlaces
}

// running is the focus of a conference, nil when nobody is in it.
func (s *Service) running(at place) *focus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.foci[at]
}

// open is running that makes a focus where there is none. It is called on the
// goroutine of the organizer's group, so that no change of c is missed.
func (s *Service) open(at place, c *groupstate.Conference) *focus {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.foci[at]
	if f == nil {
		f = &focus{s: s, at: at, conf: c, version: 1, opened: s.cfg.Clock.Now()}
		f.lapse = s.cfg.Clock.AfterFunc(s.cfg.Policies.UserServices().DeactivationGracePeriod, func() { s.lapsed(f) })
		s.foci[at] = f
	}
	return f
}

// lapsed ends a conference that has run for as long as the policy allows, and looks
// again when the rest is over if the policy allows more by now.
func (s *Service) lapsed(f *focus) {
	if left := s.cfg.Policies.UserServices().DeactivationGracePeriod - s.cfg.Clock.Now().Sub(f.opened); left > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.foci[f.at] == f {
			f.lapse.Reset(left)
		}
		return
	}
	f.do(f.end)
}

func (s *Service) forget(f *focus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.lapse.Stop()
	if s.foci[f.at] == f {
		delete(s.foci, f.at)
	}
}

// uri is the address of the focus.
func (f *focus) uri() string { return f.at.uri(cccp.Focus) }
