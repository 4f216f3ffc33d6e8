package conference

import (
	"context"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// serve is a handler of the route table.
type serve = func(context.Context, *sipmux.Request) (*sip.Message, error)

// here serves requests for the conferences that this server runs, and has the server
// that does serve the others.
func (s *Service) here(serve serve) serve {
	return func(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
		organizer, ok := organizerOf(r)
		if !ok {
			return serve(ctx, r)
		}
		passed, err := s.elsewhere(r, organizer)
		if passed || err != nil {
			return nil, err
		}
		return serve(ctx, r)
	}
}

// organizerOf is whose conference a request is about: by its URI, or, when that is the
// Contact of a subscription, by its To.
func organizerOf(r *sipmux.Request) (uc.UserURI, bool) {
	if a, ok := parse(r.RequestURI); ok {
		return a.organizer, true
	}
	to, err := r.To()
	if err != nil {
		return "", false
	}
	a, ok := parse(to.URI)
	return a.organizer, ok
}

// elsewhere passes a request on to the server that runs the organizer's conferences, and
// reports whether that is another one. Nothing is passed on twice.
func (s *Service) elsewhere(r *sipmux.Request, organizer uc.UserURI) (passed bool, err error) {
	const op = "conference.elsewhere"
	if s.cfg.Pool == nil {
		return false, nil
	}
	server, ok := s.cfg.Pool.Primary(organizer)
	switch {
	case !ok:
		return false, fault.New(fault.NoQuorum, op, "no server leads the routing group of the conference's organizer; try again").About(string(organizer))
	case server == s.cfg.FQDN:
		return false, nil
	case r.Conn.Peer() == "":
		return true, s.cfg.Pool.Forward(r, server)
	}
	if to, err := r.To(); err == nil && to.Tag() != "" {
		return false, fault.New(fault.Gone, op, "there is no such session: the conference has moved to another server; join it again")
	}
	return false, fault.New(fault.NotPrimary, op, "another server runs the conference; try again")
}

// Resign ends the conferences of organizers whose routing group another server leads by
// now: their devices are told, and join again there. It is called when that has
// changed, and from time to time.
func (s *Service) Resign() {
	if s.cfg.Pool == nil {
		return
	}
	for _, f := range s.all() {
		if server, ok := s.cfg.Pool.Primary(f.at.organizer); ok && server != s.cfg.FQDN {
			f.do(f.end)
		}
	}
}

// behind is the server that a device has its connection to, "" for this one.
func (x *seat) behind() uc.ServerFQDN {
	x.f.s.mu.Lock()
	defer x.f.s.mu.Unlock()
	if x.conn == nil {
		return ""
	}
	return uc.ServerFQDN(x.conn.Peer())
}

// through is the way to a device behind another server: over the connection to that one,
// as its Record-Route says, or, for a standard client that has gone to yet another, by
// its registration.
func (x *seat) through(server uc.ServerFQDN) (c *siptrans.Conn, route string) {
	s := x.f.s
	if b := x.binding(); b != nil && !b.Lync && !b.Detached && b.Flow != x.flow {
		return s.reach(b)
	}
	if s.cfg.Pool == nil {
		return nil, ""
	}
	c, err := s.cfg.Pool.Conn(server)
	if err != nil {
		return nil, ""
	}
	return c, ""
}

// binding is the registration of a device, nil if there is none.
func (x *seat) binding() *groupstate.Binding {
	bindings := x.f.s.cfg.Locate(x.person.user)
	for i := range bindings {
		if bindings[i].Endpoint == x.endpoint {
			return &bindings[i]
		}
	}
	return nil
}

// rebound ends the seat of a Lync client behind another server that has come back over
// another connection: it begins anew.
func (s *Service) rebound(e *groupstate.Bound) {
	for _, x := range s.seatsOf(e.User) {
		if x.page || x.endpoint != e.Endpoint || x.behind() == "" {
			continue
		}
		x.f.do(func() {
			if b := x.binding(); !x.gone && b != nil && b.Lync && b.Flow != x.flow {
				x.f.leave(x, "")
				x.f.settle()
			}
		})
	}
}
