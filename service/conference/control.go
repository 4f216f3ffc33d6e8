package conference

import (
	"context"
	"slices"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// asked is a command of a participant to the focus.
type asked struct {
	s    *Service
	f    *focus
	r    *sipmux.Request
	q    *cccp.Request
	who  conference.Standing
	whom conference.Standing // of the user whom the command names
	user uc.UserURI
}

// duty is a row of the table of commands to the focus, [MS-CONFBAS] 3.5.
type duty struct {
	needs conference.Action
	named bool // it is about a participant
	do    func(ctx context.Context, a *asked) ([]byte, error)
}

var duties = map[string]duty{
	"modifyConferenceLock": {needs: conference.Lock, do: lock},
	"modifyUserRoles":      {needs: conference.Promote, named: true, do: setRole},
	"deleteUser":           {needs: conference.Eject, named: true, do: eject},
	"deleteConference":     {needs: conference.Delete, do: endForAll},
	"modifyConference":     {needs: conference.Modify, do: modifyRunning},
	"getConference":        {needs: conference.Look, do: lookAround},
	"getUsers":             {needs: conference.Look, do: getUsers},
}

// info is a command to the focus, or a typing notice to the IM MCU.
func (s *Service) info(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.info"
	d, err := s.within(r)
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return nil, fault.New(fault.Gone, op, "commands are sent within the session with the conference; join it first")
	case r.ContentType() != cccp.Type:
		return s.typing(r, d)
	}
	q, err := cccp.ParseRequest(r.Body)
	if err != nil {
		return s.refuse(r, &q, err)
	}
	a, row, err := s.hear(r, &q, d)
	if err != nil {
		return s.refuse(r, &q, err)
	}
	body, err := row.do(ctx, a)
	if err != nil {
		return s.refuse(r, &q, err)
	}
	return success(r, &q, body), nil
}

// hear checks a command before it is carried out.
func (s *Service) hear(r *sipmux.Request, q *cccp.Request, d *session) (a *asked, row duty, err error) {
	const op = "conference.command"
	row, known := duties[q.Command]
	if !known || d != d.seat.control {
		return nil, row, fault.New(fault.Unsupported, op, "the focus does not know this command").Diagnosed(diagNotImplemented)
	}
	f := d.seat.f
	if to, ok := parse(q.ConfEntity); !ok || to.place != f.at {
		return nil, row, fault.New(fault.Invalid, op, "confEntity must be the conference of this session").Diagnosed(diagEntity)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.receive(d, r); err != nil {
		return nil, row, err
	}
	a = &asked{s: s, f: f, r: r, q: q, who: f.standing(r.User)}
	if !row.named {
		if !conference.May(row.needs, a.who) {
			return nil, row, notAllowed(op, "only presenters may do this")
		}
		return a, row, nil
	}
	if a.user, err = uc.ParseUserURI(q.UserEntity); err == nil {
		a.whom = f.standing(a.user)
	}
	switch {
	case !conference.May(row.needs, a.who):
		return nil, row, notAllowed(op, "only presenters may do this")
	case a.whom == conference.Outsider:
		return nil, row, fault.New(fault.NotFound, op, "userEntity must be somebody in the conference").About(q.UserEntity).Diagnosed(diagTarget)
	case !conference.MayTo(row.needs, a.who, a.whom):
		return nil, row, notAllowed(op, "the organizer stays, as a presenter")
	}
	return a, row, nil
}

func lock(ctx context.Context, a *asked) ([]byte, error) {
	_, err := a.s.propose(ctx, a.f.at.organizer, &groupstate.ModifyConference{
		Organizer: a.f.at.organizer, ID: a.f.at.id, Now: a.r.Now.UnixMilli(), What: groupstate.ChangeLock, Locked: a.q.Locked,
	})
	return nil, err
}

func setRole(ctx context.Context, a *asked) ([]byte, error) {
	presenter, err := wantsPresenter(a.q.Roles)
	if err == nil && len(a.q.Roles) == 0 {
		err = fault.New(fault.Invalid, "conference.setRole", "user-roles needs an entry, presenter or attendee").Diagnosed(diagRole)
	}
	if err != nil {
		return nil, err
	}
	_, err = a.s.propose(ctx, a.f.at.organizer, &groupstate.SetConferenceRole{
		Organizer: a.f.at.organizer, ID: a.f.at.id, Now: a.r.Now.UnixMilli(), User: a.user, Presenter: presenter,
	})
	if err == nil { // listed so before, but another by joining
		a.f.do(func() { a.f.appoint(a.user, presenter) })
	}
	return nil, err
}

// appoint makes a participant a presenter or an attendee.
func (f *focus) appoint(user uc.UserURI, presenter bool) {
	if p := f.find(user); p != nil && p.presenter != presenter && user != f.at.organizer {
		p.presenter = presenter
		f.tell(news{changed: []*person{p}})
	}
}

func eject(_ context.Context, a *asked) ([]byte, error) {
	a.f.do(func() {
		if p := a.f.find(a.user); p != nil {
			a.f.expel(p, "rejected")
			a.f.settle()
		}
	})
	return nil, nil
}

func endForAll(ctx context.Context, a *asked) ([]byte, error) {
	_, err := a.s.propose(ctx, a.f.at.organizer, &groupstate.DeleteConference{Organizer: a.f.at.organizer, ID: a.f.at.id, Now: a.r.Now.UnixMilli()})
	return nil, err
}

func modifyRunning(ctx context.Context, a *asked) ([]byte, error) {
	_, err := a.s.modify(ctx, a.f.at, a.r.Now, a.q)
	return nil, err
}

func lookAround(_ context.Context, a *asked) (body []byte, _ error) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	return a.f.full(a.f.uri(), fits(a.r.Conn)), nil
}

func getUsers(_ context.Context, a *asked) (body []byte, _ error) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	return fit(a.f.roster(), fits(a.r.Conn), func(users []cccp.User) []byte { return cccp.AppendRoster(nil, users) }), nil
}

// changed takes what the conference is now.
func (f *focus) changed(c *groupstate.Conference) {
	was := f.conf
	f.conf = c
	for _, p := range f.people {
		before, wasPresenter := was.Lists(p.user)
		if now, presenter := c.Lists(p.user); now != before || presenter != wasPresenter {
			f.appoint(p.user, now && presenter || !now && conference.Presents(c.Terms(), guest(c, f.at, p.user)))
		}
	}
	if c.Subject != was.Subject || c.Locked != was.Locked || c.Level != was.Level || c.Promote != was.Promote || c.Expires != was.Expires || !slices.Equal(c.Modalities, was.Modalities) {
		f.tell(news{settings: true})
	}
}
