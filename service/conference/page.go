package conference

import (
	"context"
	"crypto/rand"
	"strings"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// People whose devices know no conferences take part by pages (RFC 3428): every
// message comes as a page from the address of the conference, with the name of who
// wrote it in front, and what they answer to that address goes to all. The address is
// the alias of the focus, because many such clients cut off parameters.

// leaveWord is the page by which somebody leaves.
const leaveWord = "/leave"

// Invited accepts an invitation in place of a user who has only devices that know no
// conferences, and lets the user take part by pages.
func (s *Service) Invited(ctx context.Context, r *sipmux.Request, user uc.UserURI) (*sip.Message, error) {
	const op = "conference.invited"
	i, err := cccp.ParseInvitation(r.Body)
	if err != nil {
		return nil, err
	}
	a, ok := parse(i.FocusURI)
	if !ok || a.kind != cccp.Focus {
		return nil, fault.New(fault.Invalid, op, "focus-uri must be the address of a conference").Diagnosed(diagConference)
	}
	if passed, err := s.elsewhere(r, a.organizer); passed || err != nil {
		return nil, err
	}
	if !s.mayInvite(a.place, r.User) {
		return nil, notAllowed(op, "only participants may invite somebody")
	}
	err = s.admit(ctx, entrance{place: a.place, user: user}, func(f *focus, p *person) error {
		if p.paged() != nil {
			return nil
		}
		x := &seat{f: f, person: p, entity: newEntity(), uri: f.uri(), page: true}
		f.sit(x)
		f.page(x, "", s.name(r.User)+" has invited you to a conversation. What you answer goes to all; "+leaveWord+" ends it for you.")
		f.recount(x)
		f.tell(news{changed: []*person{p}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	res := r.Reply(200, "")
	res.Add("Contact", "<"+a.uri(cccp.Focus)+">;isfocus")
	return res, nil
}

// mayInvite reports whether the user is in the conference or organizes it.
func (s *Service) mayInvite(at place, user uc.UserURI) bool {
	if at.organizer == user {
		return true
	}
	f := s.running(at)
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.find(user) != nil
}

// paged is a page to the conference.
func (s *Service) paged(r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.paged"
	a, ok := parse(r.RequestURI)
	if !ok || a.kind == factoryKind {
		return nil, noConference(op, r.RequestURI)
	}
	f := s.running(a.place)
	if f == nil {
		return nil, noConference(op, a.id)
	}
	var res *sip.Message
	var err error
	f.do(func() {
		p := f.find(r.User)
		if p == nil || p.paged() == nil {
			err = notAllowed(op, "only participants may write; join the conference first")
			return
		}
		x := p.paged()
		if strings.EqualFold(strings.TrimSpace(string(r.Body)), leaveWord) {
			res = r.Reply(200, "")
			f.page(x, "", "You have left the conversation.")
			f.leave(x, "")
			f.settle()
			return
		}
		res, err = f.take(x, r)
	})
	return res, err
}

// named is the body of a message with the name of who wrote it in front, for devices
// that show one sender for a whole session. Only plain text can be changed so. All such
// devices share it.
func (s *Service) named(m *said) []byte {
	if kindOf(m.contentType) != "text/plain" {
		return m.body
	}
	if m.plain == nil {
		m.plain = append([]byte(s.name(m.by)+": "), m.body...)
	}
	return m.plain
}

// page sends words of the conference itself.
func (f *focus) page(x *seat, by uc.UserURI, text string) {
	f.pages(x, &said{by: by, contentType: "text/plain; charset=UTF-8", body: []byte(text)}, nil)
}

// turned notes what became of a page. Whoever leaves page after page without an
// answer has left.
func (f *focus) turned(x *seat, g *flight, status int) {
	silent := x.owes.note(status)
	f.landed(g, x, status)
	if silent && !x.gone {
		f.s.cfg.Log.Info("a participant by pages has left: no device answers", "conference", f.at.id, "user", x.person.user)
		f.leave(x, "")
		f.settle()
	}
}

// pages sends a message to every device of the seat's user that is no Lync client. on
// gets the status once: that of the first who took it, or the last failure.
func (f *focus) pages(x *seat, m *said, on func(status int)) {
	s := f.s
	display, body := "", m.body
	if m.by != "" {
		display, body = s.name(m.by), s.named(m)
	}
	from := sip.Addr{Display: display, URI: f.at.alias()}.String()
	kind, call := plainType(m.contentType), rand.Text()
	f.later(func() {
		var to []device
		bindings := s.cfg.Locate(x.person.user)
		for i := range bindings {
			b := &bindings[i]
			if c, route := s.reach(b); c != nil && !b.Lync {
				to = append(to, device{c, route, b.Contact})
			}
		}
		t := tally{left: len(to), on: on}
		if len(to) == 0 {
			t.left = 1
			t.count(480)
		}
		for _, d := range to {
			q := sip.NewRequest("MESSAGE", d.contact)
			if d.route != "" {
				q.Add("Route", d.route)
			}
			q.Add("Max-Forwards", "70")
			q.Add("From", from+";tag="+call[:12])
			q.Add("To", "<"+string(x.person.user)+">")
			q.Add("Call-ID", call)
			q.Add("CSeq", "1 MESSAGE")
			q.Add("Content-Type", kind)
			q.Body = body
			s.send(d.conn, q, t.count)
		}
	})
}

// plainType drops the Lync formatting parameter of a content type.
func plainType(s string) string {
	kept, rest, _ := strings.Cut(s, ";")
	for p := range strings.SplitSeq(rest, ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(p), "=")
		if name != "" && !strings.EqualFold(strings.TrimSpace(name), "msgr") {
			kept += ";" + strings.TrimSpace(p)
		}
	}
	return kept
}

// device is the way to one that is no Lync client.
type device struct {
	conn    *siptrans.Conn
	route   string
	contact string
}

// reach is the way to a registered device: the connection, nil if there is none, and
// the Route behind it.
func (s *Service) reach(b *groupstate.Binding) (c *siptrans.Conn, route string) {
	if b.Detached {
		return nil, ""
	}
	return s.cfg.Way(&b.Flow)
}
