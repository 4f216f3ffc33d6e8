package conference

import (
	"context"
	"slices"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/access"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sdp"
	"trivet/wire/sip"
)

// invite opens a session: with the focus (addUser), with the IM MCU, or both at once
// for a standard SIP client that calls the conference.
func (s *Service) invite(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.invite"
	d, err := s.within(r)
	if err != nil {
		return nil, err
	}
	if d != nil {
		return s.reinvite(r, d)
	}
	a, ok := parse(r.RequestURI)
	if !ok || a.kind == factoryKind {
		return nil, noConference(op, r.RequestURI)
	}
	switch {
	case r.ContentType() == cccp.Type && a.kind == cccp.Focus:
		return s.joinFocus(ctx, r, a.place)
	case isIM(r.Message) && a.kind == cccp.Chat:
		return s.joinChat(r, a.place)
	case isIM(r.Message):
		return s.joinPlain(ctx, r, a.place)
	}
	return nil, fault.New(fault.Unsupported, op, "a conference is joined with addUser, or for instant messages with m=message; it has no other media").Diagnosed(diagAddUser)
}

// isIM reports whether the session is for text in MESSAGE requests.
func isIM(m *sip.Message) bool {
	if m.ContentType() != "application/sdp" {
		return false
	}
	d, err := sdp.Parse(m.Body)
	return err == nil && d.IsIM()
}

// reinvite answers an INVITE that refreshes a session.
func (s *Service) reinvite(r *sipmux.Request, d *session) (*sip.Message, error) {
	f := d.seat.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.receive(d, r); err != nil {
		return nil, err
	}
	if contacts, err := r.Contacts(); err == nil && len(contacts) > 0 && contacts[0].URI != "*" {
		d.dialog.Refresh(contacts[0].URI)
	}
	if d == d.seat.control {
		q, err := cccp.ParseRequest(r.Body)
		if err != nil && len(r.Body) > 0 {
			return s.refuse(r, &q, err)
		}
		return s.joined(r, &q, d.seat), nil
	}
	return s.chatting(r, f), nil
}

// receive checks the number of a request within a session.
func (f *focus) receive(d *session, r *sipmux.Request) error {
	seq, _, err := r.CSeq()
	if err != nil {
		return err
	}
	return d.dialog.Receive(r.Method, seq)
}

// entrance is somebody who wants to join.
type entrance struct {
	place
	user     uc.UserURI
	endpoint uc.EndpointID
	wants    bool // to be a presenter
}

// admit checks that somebody may join and calls sit with the lock of the focus held.
// What sit returns has left no trace.
func (s *Service) admit(ctx context.Context, e entrance, sit func(f *focus, p *person) error) error {
	for {
		f, err := s.door(ctx, e)
		if err != nil {
			return err
		}
		again, first := false, false
		f.do(func() {
			if again = f.over; again {
				return
			}
			first = len(f.people) == 0
			err = f.admit(e, sit)
			f.settle()
		})
		if again {
			continue
		}
		if err == nil && first {
			s.activate(f)
		}
		return err
	}
}

// door finds the focus of a conference for somebody who may join it.
func (s *Service) door(ctx context.Context, e entrance) (f *focus, err error) {
	const op = "conference.join"
	err = noConference(op, e.id)
	readErr := s.cfg.Groups.Read(ctx, e.organizer, func(state *groupstate.State) {
		u := state.User(e.organizer)
		if u == nil {
			return
		}
		c := u.Conference(e.id)
		switch {
		case c == nil:
		case !u.Enabled():
			err = notAllowed(op, "the organizer of the conference is disabled")
		default:
			if err = entry(op, c, e); err == nil {
				f = s.open(e.place, c)
			}
		}
	})
	switch {
	case readErr == nil:
		return f, err
	case fault.Is(readErr, fault.NotFound):
		return nil, noConference(op, e.id)
	}
	return nil, readErr
}

// verdicts are the refusals of those who want to join.
var verdicts = [...]string{
	conference.IsLocked:     "the conference is locked",
	conference.NotInvited:   "only those who are invited may join the conference",
	conference.NotOfCompany: "only users of the organizer's company may join the conference",
}

func entry(op string, c *groupstate.Conference, e entrance) error {
	if v := conference.Enter(c.Terms(), guest(c, e.place, e.user)); v != conference.Admitted {
		return notAllowed(op, verdicts[v])
	}
	return nil
}

// guest is a user of ours as the conference knows them.
func guest(c *groupstate.Conference, at place, user uc.UserURI) conference.Person {
	p := conference.Person{Organizer: user == at.organizer, Realm: access.Company}
	p.Listed, p.Presenter = c.Lists(user)
	return p
}

func (f *focus) admit(e entrance, sit func(f *focus, p *person) error) error {
	const op = "conference.join"
	p := f.find(e.user)
	if p == nil {
		if len(f.people) >= f.s.cfg.Policies.Conferencing(f.at.organizer).MaxMeetingSize {
			return fault.Newf(fault.Limit, op, "the conference is full: it has %d participants", len(f.people)).Diagnosed(diagForbidden).Because(errFull)
		}
		p = &person{user: e.user, presenter: conference.Presents(f.conf.Terms(), guest(f.conf, f.at, e.user))}
	}
	if f.s.crowded(e.user) || len(p.seats) >= maxSeats {
		return fault.New(fault.Limit, op, "you take part in too many conferences, or with too many devices; leave some first").Diagnosed(diagForbidden)
	}
	return sit(f, p)
}

// joinFocus is the INVITE of a Lync client with addUser.
func (s *Service) joinFocus(ctx context.Context, r *sipmux.Request, at place) (*sip.Message, error) {
	q, err := cccp.ParseRequest(r.Body)
	if err != nil {
		return s.refuse(r, &q, err)
	}
	e := entrance{place: at, user: r.User, endpoint: s.device(r)}
	if err := e.read(r, &q); err != nil {
		return s.refuse(r, &q, err)
	}
	err = s.admit(ctx, e, func(f *focus, p *person) error {
		x := &seat{f: f, person: p, endpoint: e.endpoint, conn: r.Conn, uri: clone(r.RequestURI), entity: clone(q.User.Endpoints[0].Entity)}
		control, err := x.session(r, x.entity)
		if err != nil {
			return err
		}
		f.replace(x)
		x.control = control
		f.sit(x)
		s.hold(control)
		res := s.joined(r, &q, x)
		f.later(func() { r.Tx.Respond(res) })
		f.tell(news{changed: []*person{p}})
		return nil
	})
	if err != nil {
		return s.refuse(r, &q, err)
	}
	return nil, nil
}

// read checks an addUser.
func (e *entrance) read(r *sipmux.Request, q *cccp.Request) error {
	const op = "conference.addUser"
	bad := func(diag int, text string) error { return fault.New(fault.Invalid, op, text).Diagnosed(diag) }
	if q.Command != "addUser" || q.User == nil {
		return bad(diagAddUser, "the INVITE to a conference needs an addUser with the user who joins")
	}
	if a, ok := parse(q.ConfEntity); !ok || a.place != e.place || a.kind != cccp.Focus {
		return bad(diagEntity, "confEntity must be the conference that the INVITE goes to")
	}
	if who, err := uc.ParseUserURI(q.User.Entity); err != nil || who != r.User {
		return fault.New(fault.Forbidden, op, "a user joins a conference in person: entity must be the own address").Diagnosed(diagTarget)
	}
	if len(q.User.Endpoints) != 1 || q.User.Endpoints[0].Entity == "" || len(q.User.Endpoints[0].Entity) > 128 {
		return bad(diagEndpoint, "addUser needs one endpoint with an entity of at most 128 characters")
	}
	var err error
	e.wants, err = wantsPresenter(q.User.Roles)
	return err
}

// replace ends the seat that a device had before: it begins anew.
func (f *focus) replace(x *seat) {
	old := f.seat(x.person.user, x.endpoint)
	if old == nil {
		return
	}
	old.gone = true
	f.settled(old, false)
	for _, d := range []*session{old.chat, old.control} {
		if d != nil {
			f.close(d, false)
		}
	}
	f.unwatch(old, "")
	f.s.exit(old)
	old.person.seats = slices.DeleteFunc(old.person.seats, func(y *seat) bool { return y == old })
	if len(old.person.seats) == 0 { // sit adds the person again
		f.people = slices.DeleteFunc(f.people, func(p *person) bool { return p == old.person })
	}
}

// joined is the answer to addUser: the role that was given.
func (s *Service) joined(r *sipmux.Request, q *cccp.Request, x *seat) *sip.Message {
	out := cccp.Response{ID: q.ID, From: x.uri, To: string(x.person.user), Command: "addUser", Code: cccp.Success}
	out.Body = cccp.AppendJoined(nil, x.uri, cccp.User{
		Entity: string(x.person.user), State: cccp.Full, DisplayText: s.name(x.person.user), Roles: roles(x.person.presenter),
		Endpoints: []cccp.Endpoint{{Entity: x.entity}},
	})
	res := s.accept(r, x.uri)
	res.Add("Content-Type", cccp.Type)
	res.Body = out.Append(nil)
	return res
}

// activate notes that a conference is in use, and keeps it while it is.
func (s *Service) activate(f *focus) {
	now := s.cfg.Clock.Now()
	cmd := &groupstate.ActivateConference{Organizer: f.at.organizer, ID: f.at.id, Now: now.UnixMilli(), Until: now.Add(keepFor).UnixMilli()}
	s.cfg.Life.Go("conference: in use", func(ctx context.Context) error {
		if _, err := s.propose(ctx, f.at.organizer, cmd); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("it could not be noted that a conference is in use", "conference", f.at.id, "err", err)
		}
		return nil
	})
}
