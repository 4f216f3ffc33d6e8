package conference

import (
	"context"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/sipdialog"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// news is what changed of a conference.
type news struct {
	changed  []*person
	left     []uc.UserURI
	settings bool // subject, lock, access
}

// tell sends the news to all who watch the roster: a partial document, in which every
// user is complete. Most watchers get the same bytes.
func (f *focus) tell(n news) {
	f.version++
	i := cccp.Info{State: cccp.Partial, Version: f.version}
	for _, p := range n.changed {
		i.Users = append(i.Users, f.entry(p))
	}
	for _, u := range n.left {
		i.Users = append(i.Users, cccp.User{Entity: string(u), State: cccp.Deleted})
	}
	if n.settings {
		i.Description = f.s.description(f.at.organizer, f.conf)
	}
	i.Views = f.views()
	bodies := map[string][]byte{}
	now := f.s.cfg.Clock.Now().UnixMilli()
	for _, p := range f.people {
		for _, x := range p.seats {
			sub := x.watch
			if sub == nil {
				continue
			}
			if sub.Expires <= now {
				f.unwatch(x, "timeout")
				continue
			}
			body, done := bodies[x.uri]
			if !done {
				i.Entity = x.uri
				body = i.Append(nil)
				bodies[x.uri] = body
			}
			user := p.user
			f.later(func() { f.s.notifier.Notify(user, sub, "", cccp.TypeInfo, body) })
		}
	}
}

// Bounds of a document that is sent, in bytes: what readers take (cccp.MaxDocument,
// limits.message-bytes), and what fits a datagram. Headers and the envelope have room
// beside it.
const (
	maxSent     = 240 << 10
	maxDatagram = 48 << 10
)

// fits is how large a document may be that is sent over a connection.
func fits(c *siptrans.Conn) int {
	if c != nil && !c.Stream() {
		return maxDatagram
	}
	return maxSent
}

// thinner are the ways to make a roster smaller, one after the other: each user with
// the sessions of one device, with none, and with nothing but address and role.
var thinner = []func(u *cccp.User){
	func(u *cccp.User) { u.Endpoints = u.Endpoints[:min(len(u.Endpoints), 2)] },
	func(u *cccp.User) { u.Endpoints = nil },
	func(u *cccp.User) { u.DisplayText = "" },
}

// fit writes users with as much of each as fits, and at last not all of them. What is
// left out comes with the next change of a user.
func fit(users []cccp.User, size int, write func([]cccp.User) []byte) []byte {
	b := write(users)
	for _, thin := range thinner {
		if len(b) <= size {
			return b
		}
		for i := range users {
			thin(&users[i])
		}
		b = write(users)
	}
	for len(b) > size && len(users) > 0 {
		users = users[:len(users)-1-len(users)/8]
		b = write(users)
	}
	return b
}

// full is the whole roster for one watcher.
func (f *focus) full(entity string, size int) []byte {
	i := cccp.Info{Entity: entity, State: cccp.Full, Version: f.version, Description: f.s.description(f.at.organizer, f.conf), Views: f.views()}
	return fit(f.roster(), size, func(users []cccp.User) []byte {
		i.Users = users
		return i.Append(nil)
	})
}

func (f *focus) roster() []cccp.User {
	users := make([]cccp.User, 0, len(f.people))
	for _, p := range f.people {
		users = append(users, f.entry(p))
	}
	return users
}

// entry is a participant in the roster.
func (f *focus) entry(p *person) cccp.User {
	u := cccp.User{Entity: string(p.user), State: cccp.Full, DisplayText: f.s.name(p.user), Roles: roles(p.presenter)}
	for _, x := range p.seats {
		if x.control != nil {
			u.Endpoints = append(u.Endpoints, cccp.Endpoint{Entity: x.entity, SessionType: cccp.Focus, Status: cccp.Connected})
		}
		switch {
		case x.page:
			u.Endpoints = append(u.Endpoints, cccp.Endpoint{Entity: x.entity, SessionType: cccp.Chat, Status: cccp.Connected})
		case x.chat != nil:
			u.Endpoints = append(u.Endpoints, cccp.Endpoint{Entity: x.chat.entity, SessionType: cccp.Chat, Status: cccp.Connected})
		}
	}
	return u
}

// views are the states of the focus and of each MCU.
func (f *focus) views() []cccp.View {
	locked := f.conf.Locked
	views := []cccp.View{{Entity: f.uri(), Locked: &locked, Users: len(f.people)}}
	for _, kind := range f.conf.Modalities {
		views = append(views, cccp.View{Entity: f.at.uri(kind), Locked: &locked, Media: []cccp.Media{{Label: kind, Type: kind}}})
	}
	return views
}

// unwatch ends the subscription of a seat; with a reason the watcher is told.
func (f *focus) unwatch(x *seat, reason string) {
	sub := x.watch
	if sub == nil {
		return
	}
	x.watch = nil
	user := x.person.user
	if reason == "" {
		f.s.notifier.Forget(user, sub)
		return
	}
	f.later(func() { f.s.notifier.Notify(user, sub, reason, "", nil) })
}

// watcherGone ends the subscription of a device that does not know it any more.
func (s *Service) watcherGone(user uc.UserURI, sub *groupstate.Subscription) {
	for _, x := range s.seatsOf(user) {
		x.f.do(func() {
			if x.watch == sub {
				x.f.unwatch(x, "")
			}
		})
	}
}

// subscribe serves the roster to those who are in the conference.
func (s *Service) subscribe(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.subscribe"
	to, err := r.To()
	if err != nil {
		return nil, err
	}
	a, ok := parse(to.URI)
	if !ok || a.kind != cccp.Focus {
		return nil, noConference(op, to.URI)
	}
	if !sipnotify.Accepts(r.Message, cccp.TypeInfo, true) {
		return nil, fault.New(fault.Unsupported, op, "the roster is sent as "+cccp.TypeInfo+"; Accept must name it")
	}
	cmd, err := s.notifier.Record(r)
	if err != nil {
		return nil, err
	}
	f := s.running(a.place)
	if f == nil {
		return s.notRunning(ctx, r, a.place, cmd)
	}
	f.do(func() { err = f.subscribe(r, cmd) })
	if fault.Is(err, fault.Forbidden) && cmd.Lifetime == 0 {
		return s.notifier.Answer(r, 0, "", nil), nil // it has left already
	}
	return nil, err
}

// notRunning answers a SUBSCRIBE to a conference with nobody in it.
func (s *Service) notRunning(ctx context.Context, r *sipmux.Request, at place, cmd *groupstate.Subscribe) (*sip.Message, error) {
	const op = "conference.subscribe"
	switch {
	case cmd.Lifetime == 0:
		return s.notifier.Answer(r, 0, "", nil), nil
	case cmd.Refresh:
		return nil, fault.New(fault.Gone, op, "there is no such subscription")
	}
	if _, err := s.look(ctx, at); err != nil {
		return nil, err
	}
	return nil, notAllowed(op, "the roster is for participants; join the conference first")
}

func (f *focus) subscribe(r *sipmux.Request, cmd *groupstate.Subscribe) error {
	const op = "conference.subscribe"
	if cmd.Refresh {
		return f.renew(r, cmd)
	}
	x := f.seat(r.User, cmd.Endpoint)
	if x == nil {
		return notAllowed(op, "the roster is for participants; join the conference first")
	}
	if cmd.Lifetime == 0 && x.watch != nil { // how Lync clients leave
		s := f.s
		f.later(func() { r.Tx.Respond(s.notifier.Answer(r, 0, "", nil)) })
		f.leave(x, "")
		f.settle()
		return nil
	}
	sub := sipnotify.Once(cmd)
	sub.ID = f.s.watches.Add(1)
	sub.Expires = cmd.Now + cmd.Lifetime
	sub.Endpoint = x.endpoint
	sub.Dialog = kept(sub.Dialog)
	if cmd.Lifetime > 0 {
		f.unwatch(x, "")
		x.watch = sub
	}
	f.answer(r, sub, x)
	return nil
}

// answer accepts a SUBSCRIBE and tells the whole roster.
func (f *focus) answer(r *sipmux.Request, sub *groupstate.Subscription, x *seat) {
	body, seconds := f.full(x.uri, fits(r.Conn)), int(max(sub.Expires-sub.Since, 0)/1000)
	f.later(func() { f.s.notifier.Deliver(r, sub, seconds, cccp.TypeInfo, body) })
}

// renew refreshes or ends the subscription of a dialog.
func (f *focus) renew(r *sipmux.Request, cmd *groupstate.Subscribe) error {
	p := f.find(r.User)
	if p != nil {
		for _, x := range p.seats {
			d := &cmd.Dialog
			if x.watch == nil || x.watch.Dialog.CallID != d.CallID || x.watch.Dialog.LocalTag != d.LocalTag || x.watch.Dialog.RemoteTag != d.RemoteTag {
				continue
			}
			if cmd.Dialog.RemoteCSeq <= x.watch.Dialog.RemoteCSeq {
				return fault.New(fault.Stale, "conference.subscribe", "CSeq must be higher than in the SUBSCRIBE before it").Because(sipdialog.OutOfOrder)
			}
			next := *x.watch
			next.Dialog.RemoteCSeq = cmd.Dialog.RemoteCSeq
			next.Expires = cmd.Now + cmd.Lifetime
			if d.RemoteTarget != "" {
				next.Dialog.RemoteTarget = clone(d.RemoteTarget)
			}
			f.answerRenewed(r, &next, x, time.Duration(cmd.Lifetime)*time.Millisecond)
			return nil
		}
	}
	return fault.New(fault.Gone, "conference.subscribe", "there is no such subscription")
}

func (f *focus) answerRenewed(r *sipmux.Request, next *groupstate.Subscription, x *seat, lifetime time.Duration) {
	if x.watch = next; lifetime == 0 {
		x.watch = nil
	}
	body := f.full(x.uri, fits(r.Conn))
	f.later(func() { f.s.notifier.Deliver(r, next, int(lifetime/time.Second), cccp.TypeInfo, body) })
}

// kept copies the texts of a dialog, which would keep the whole message.
func kept(d groupstate.Dialog) groupstate.Dialog {
	for _, s := range []*string{&d.CallID, &d.LocalURI, &d.LocalTag, &d.RemoteURI, &d.RemoteTag, &d.RemoteParams, &d.RemoteTarget} {
		*s = clone(*s)
	}
	routes := make([]string, len(d.Routes))
	for i := range d.Routes {
		routes[i] = clone(d.Routes[i])
	}
	d.Routes = routes
	return d
}
