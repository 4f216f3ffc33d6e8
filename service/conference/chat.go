package conference

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/wire/cccp"
	"trivet/wire/presdoc"
	"trivet/wire/sdp"
	"trivet/wire/sip"
)

// maxMessage is how many bytes one instant message may have.
const maxMessage = 64 << 10

// accepts are the content types that instant messages may have.
var accepts = []string{"text/plain", "text/html", "text/rtf", "image/gif", "multipart/alternative", "multipart/related", presdoc.TypeIsComposing}

// joinChat opens the session of a seat with the IM MCU.
func (s *Service) joinChat(r *sipmux.Request, at place) (*sip.Message, error) {
	const op = "conference.joinChat"
	f := s.running(at)
	if f == nil {
		return nil, noConference(op, at.id)
	}
	endpoint := s.device(r)
	var err error
	f.do(func() {
		x := f.seat(r.User, endpoint)
		if x == nil {
			err = notAllowed(op, "only participants may write; join the conference first")
			return
		}
		var d *session
		if d, err = x.session(r, newEntity()); err != nil {
			return
		}
		if x.chat != nil {
			f.close(x.chat, false)
		}
		f.begin(x, d, r)
		f.tell(news{changed: []*person{x.person}})
	})
	return nil, err
}

// begin answers the INVITE for instant messages and sends what was said just now.
func (f *focus) begin(x *seat, d *session, r *sipmux.Request) {
	x.chat = d
	f.s.hold(d)
	res := f.s.chatting(r, f)
	f.later(func() { r.Tx.Respond(res) })
	f.recount(x)
}

// chatting is the answer to an INVITE for instant messages.
func (s *Service) chatting(r *sipmux.Request, f *focus) *sip.Message {
	res := s.accept(r, clone(r.RequestURI))
	res.Add("Content-Type", "application/sdp")
	res.Body = sdp.AppendIM(nil, string(s.cfg.FQDN), s.cfg.Port, accepts...)
	return res
}

// joinPlain is a standard SIP client that calls the conference.
func (s *Service) joinPlain(ctx context.Context, r *sipmux.Request, at place) (*sip.Message, error) {
	e := entrance{place: at, user: r.User, endpoint: s.device(r)}
	err := s.admit(ctx, e, func(f *focus, p *person) error {
		x := &seat{f: f, person: p, endpoint: e.endpoint, conn: r.Conn, uri: clone(r.RequestURI), entity: newEntity()}
		d, err := x.session(r, x.entity)
		if err != nil {
			return err
		}
		f.replace(x)
		f.sit(x)
		f.begin(x, d, r)
		f.tell(news{changed: []*person{p}})
		return nil
	})
	if f := (*fault.Error)(nil); errors.As(err, &f) && f.Kind == fault.Limit {
		return s.refusal(r, f), nil
	}
	return nil, err
}

// message is an instant message: in a session with the IM MCU, or a page of
// somebody who takes part by pages.
func (s *Service) message(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.message"
	if len(r.Body) > maxMessage {
		res := r.Reply(413, "")
		res.Add("ms-diagnostics", sipmux.Diagnostics(diagForbidden, "A message to a conference has at most 64 KiB", string(s.cfg.FQDN)))
		return res, nil
	}
	d, err := s.within(r)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return s.paged(r)
	}
	var res *sip.Message
	d.seat.f.do(func() {
		if err = d.seat.f.receive(d, r); err != nil {
			return
		}
		if d != d.seat.chat {
			err = fault.New(fault.Unsupported, op, "instant messages go to the IM MCU, not to the focus")
			return
		}
		res, err = d.seat.f.take(d.seat, r)
	})
	return res, err
}

// take accepts a message of a seat and sends it to all others. The answer is sent
// when the message is.
func (f *focus) take(x *seat, r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.take"
	kind := kindOf(r.Get("Content-Type"))
	switch {
	case kind == "":
		return nil, fault.New(fault.Invalid, op, "a message needs a Content-Type, such as text/plain")
	case !slices.Contains(accepts, kind):
		res := r.Reply(415, "")
		res.Add("Accept", strings.Join(accepts, ", "))
		res.Add("ms-diagnostics", sipmux.Diagnostics(diagForbidden, "A conference takes messages of the types in Accept", string(f.s.cfg.FQDN)))
		return res, nil
	case len(f.out) > maxQueue:
		busy := fault.New(fault.Overload, op, "too many messages of the conference wait to be sent; try again")
		busy.RetryAfter = time.Second
		return nil, busy
	}
	m := said{by: x.person.user, contentType: clone(r.Get("Content-Type")), body: bytes.Clone(r.Body), at: r.Now}
	f.messages++
	id := strconv.FormatUint(f.messages, 10)
	res := r.Reply(202, "")
	res.Add("Message-Id", id)
	return nil, f.post(x, &posted{said: m, id: id, r: r, res: res})
}

// spread sends a message to everybody but the device it comes from.
func (f *focus) spread(from *seat, m *said, id string) {
	fleeting := composing(m)
	if !fleeting {
		f.remember(*m)
	}
	g := &flight{from: from, id: id, size: len(m.body), left: 1} // one for the way itself
	from.brake.messages++
	from.brake.bytes += g.size
	for _, p := range f.people {
		for _, x := range p.seats {
			if x != from && !(fleeting && x.page) {
				f.deliver(x, m, g)
			}
		}
	}
	f.landed(g, nil, 0)
}

// composing reports whether a message only says that somebody writes.
func composing(m *said) bool { return kindOf(m.contentType) == presdoc.TypeIsComposing }

func kindOf(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// deliver sends a message to one seat, as part of g, nil if nobody wants to know. A
// device that owes too many answers does not get it.
func (f *focus) deliver(x *seat, m *said, g *flight) {
	d := x.chat
	if d == nil && !x.page {
		return
	}
	owes := &x.owes
	if d != nil {
		owes = &d.owes
	}
	if g != nil {
		g.left++
	}
	if owes.waiting >= maxWaiting {
		f.landed(g, x, 503)
		return
	}
	owes.waiting++
	if x.page {
		f.pages(x, m, func(status int) { f.do(func() { f.turned(x, g, status) }) })
		return
	}
	body := m.body
	if x.control == nil {
		body = f.s.named(m)
	}
	f.request(d, "MESSAGE", func(status int) { f.do(func() { f.answered(d, g, status) }) }, func(q *sip.Message) {
		q.Add("Ms-Sender", "<"+string(m.by)+">")
		q.Add("Content-Type", m.contentType)
		q.Body = body
	})
}

// answered notes the answer of a device. One that does not know the session has left,
// and so has one that leaves message after message without an answer.
func (f *focus) answered(d *session, g *flight, status int) {
	silent := d.owes.note(status)
	f.landed(g, d.seat, status)
	if x := d.seat; x.chat == d && !x.gone && (status == 481 || silent) {
		f.s.cfg.Log.Info("the messages of a participant end: the device does not answer, or has left", "conference", f.at.id, "user", x.person.user, "status", status)
		f.hangUp(x)
	}
}

// hangUp ends the instant messages of a seat that has left them.
func (f *focus) hangUp(x *seat) {
	if x.control == nil {
		f.leave(x, "")
		f.settle()
		return
	}
	f.close(x.chat, false)
	x.chat = nil
	f.tell(news{changed: []*person{x.person}})
}

// failed reports to the sender that somebody did not get a message.
func (f *focus) failed(from, to *seat, id string, status int) {
	if from.gone || from.chat == nil || from.control == nil {
		return
	}
	report := cccp.Report{MessageID: id, Recipients: []cccp.Recipient{{URI: string(to.person.user), Status: status}}}
	f.request(from.chat, "BENOTIFY", nil, func(q *sip.Message) {
		q.Add("Content-Type", cccp.TypeReport)
		q.Body = report.Append(nil)
	})
}

// typing passes on that somebody writes.
func (s *Service) typing(r *sipmux.Request, d *session) (*sip.Message, error) {
	f := d.seat.f
	var err error
	f.do(func() {
		if err = f.receive(d, r); err != nil || len(f.out) > maxQueue || len(r.Body) > maxMessage || !d.seat.brake.types(f.s.cfg.Clock.Now()) {
			return
		}
		active, bad := presdoc.ParseKeyboardActivity(r.Body)
		if bad != nil {
			return
		}
		by, kind, body := "<"+string(r.User)+">", clone(r.Get("Content-Type")), bytes.Clone(r.Body)
		note := said{by: r.User, contentType: presdoc.TypeIsComposing, body: presdoc.Composing{Active: active}.Append(nil)}
		for _, p := range f.people {
			for _, x := range p.seats {
				switch {
				case x == d.seat, x.chat == nil:
				case x.control == nil:
					f.deliver(x, &note, nil)
				case x.control != nil:
					f.request(x.chat, "INFO", nil, func(q *sip.Message) {
						q.Add("Ms-Sender", by)
						q.Add("Content-Type", kind)
						q.Body = body
					})
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return r.Reply(200, ""), nil
}

// bye ends a session: the one with the focus ends everything of the device.
func (s *Service) bye(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	d, err := s.within(r)
	if err == nil && d == nil {
		err = fault.New(fault.Gone, "conference.bye", "there is no such session")
	}
	if err != nil {
		return nil, err
	}
	f, x := d.seat.f, d.seat
	f.do(func() {
		if x.gone {
			return
		}
		if err = f.receive(d, r); err != nil {
			return
		}
		if d == x.chat {
			f.hangUp(x)
			return
		}
		f.leave(x, "")
		f.settle()
	})
	if err != nil {
		return nil, err
	}
	return r.Reply(200, ""), nil
}

func clone(s string) string { return strings.Clone(s) }
