package conference

import (
	"context"
	"slices"
	"sync"
	"time"

	"trivet/rule/groupstate"
	"trivet/uc"
)

// A conference that is in use is kept keepFor longer each time; lookAfter is how
// often that is looked at.
const (
	keepFor   = time.Hour
	lookAfter = 10 * time.Minute

	resignAfter = 5 * time.Second // how often it is looked whether another server leads
)

// queue has what happened in the routing groups until the worker has time. It is
// bounded by what the groups commit meanwhile.
type queue struct {
	mu   sync.Mutex // guards list
	list []any
	wake chan struct{}
}

func (q *queue) add(event any) {
	q.mu.Lock()
	q.list = append(q.list, event)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() []any {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

// Observe takes the live events of a routing group, in log order.
func (s *Service) Observe(events []any) {
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.ConferenceChanged, groupstate.ConferenceEnded, groupstate.UserDisabled, groupstate.UserRemoved, groupstate.UserRenamed:
			s.changes.add(e)
		case groupstate.Bound:
			if !e.New && s.present(e.User) {
				s.changes.add(e)
			}
		case groupstate.Unbound:
			if s.present(e.User) {
				s.changes.add(e)
			}
		}
	}
}

func (s *Service) present(user uc.UserURI) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seats[user]) > 0
}

// work follows the routing groups, and keeps conferences that are in use.
func (s *Service) work(ctx context.Context) error {
	tick, short, led := s.cfg.Clock.NewTicker(lookAfter), s.cfg.Clock.NewTicker(forgetEvery), s.cfg.Clock.NewTicker(resignAfter)
	defer tick.Stop()
	defer led.Stop()
	defer short.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.changes.wake:
			for _, e := range s.changes.take() {
				s.follow(e)
			}
		case <-tick.C():
			s.keep()
		case <-led.C():
			s.Resign()
		case <-short.C():
			s.tidy()
		}
	}
}

func (s *Service) follow(e any) {
	switch e := e.(type) {
	case groupstate.ConferenceChanged:
		if f := s.running(place{e.Organizer, e.Conference.ID}); f != nil {
			f.do(func() {
				if !f.over {
					f.changed(e.Conference)
				}
			})
		}
	case groupstate.ConferenceEnded:
		if f := s.running(place{e.Organizer, e.ID}); f != nil {
			f.do(f.end)
		}
	case groupstate.UserDisabled:
		s.dismiss(e.User)
	case groupstate.UserRemoved:
		s.dismiss(e.User)
	case groupstate.UserRenamed:
		s.dismiss(e.From)
	case groupstate.Bound:
		s.rebound(&e)
	case groupstate.Unbound:
		s.unbound(&e)
	}
}

// dismiss ends what somebody has to do with conferences who is not here any more, or
// not under that address: the running ones of one's own, and the part in others.
func (s *Service) dismiss(user uc.UserURI) {
	for _, f := range s.all() {
		if f.at.organizer == user {
			f.do(f.end)
		}
	}
	for _, x := range s.seatsOf(user) {
		x.f.do(func() {
			x.f.leave(x, "noresource")
			x.f.settle()
		})
	}
}

// unbound ends the seats of an endpoint that is not registered any more. Who takes
// part by pages leaves with the last device.
func (s *Service) unbound(e *groupstate.Unbound) {
	phones := slices.ContainsFunc(e.Bindings, func(b groupstate.Binding) bool { return !b.Lync })
	for _, x := range s.seatsOf(e.User) {
		if x.page && !phones || !x.page && x.endpoint == e.Ended.Endpoint {
			x.f.do(func() {
				x.f.leave(x, "")
				x.f.settle()
			})
		}
	}
}

func (s *Service) all() []*focus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*focus, 0, len(s.foci))
	for _, f := range s.foci {
		list = append(list, f)
	}
	return list
}

// Count returns how many conferences run, and how many people are in them.
func (s *Service) Count() (conferences, participants int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.foci), len(s.seats)
}

// keep extends conferences that are in use and would expire soon, and ends those that
// have run for longer than the policy allows by now.
func (s *Service) keep() {
	now := s.cfg.Clock.Now()
	soon := now.Add(keepFor / 2).UnixMilli()
	longest := s.cfg.Policies.UserServices().DeactivationGracePeriod
	for _, f := range s.all() {
		if now.Sub(f.opened) >= longest {
			f.do(f.end)
			continue
		}
		f.mu.Lock()
		due := !f.over && f.conf.Expires < soon
		f.mu.Unlock()
		if due {
			s.activate(f)
		}
	}
}

// tidy forgets what was said too long ago, and ends subscriptions that have expired.
func (s *Service) tidy() {
	now := s.cfg.Clock.Now().UnixMilli()
	for _, f := range s.all() {
		f.do(func() {
			f.forgetOld()
			for _, p := range f.people {
				for _, x := range p.seats {
					if x.watch != nil && x.watch.Expires <= now {
						f.unwatch(x, "timeout")
					}
				}
			}
		})
	}
}
