package conference

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/sipdialog"
	"trivet/uc"
	"trivet/wire/sip"
)

// session is a dialog of a seat: with the focus or with the IM MCU.
type session struct {
	seat   *seat
	key    sessionKey
	entity string // of the endpoint in the roster
	dialog sipdialog.Dialog
	owes   debt
}

// sessionKey finds a session. The local tag is ours and random, which matters
// because two Lync clients may use the same Call-ID and tags.
type sessionKey struct{ call, tag string }

// newEntity is the name of an endpoint in the roster.
func newEntity() string { return "{" + strings.ToUpper(uuid.NewString()) + "}" }

// session makes the dialog that the answer to r begins.
func (x *seat) session(r *sipmux.Request, entity string) (*session, error) {
	const op = "conference.session"
	contacts, err := r.Contacts()
	if err != nil {
		return nil, err
	}
	if len(contacts) == 0 || contacts[0].URI == "*" {
		return nil, fault.New(fault.Invalid, op, "an INVITE needs a Contact to send requests to")
	}
	seq, _, err := r.CSeq()
	if err != nil {
		return nil, err
	}
	start := sipdialog.Start{
		CallID: strings.Clone(r.CallID()), From: strings.Clone(r.Get("From")), To: strings.Clone(r.Get("To")) + ";tag=" + r.Tx.Tag(), Seq: seq,
		Contact: strings.Clone(contacts[0].URI),
	}
	for line := range r.All("Record-Route") {
		for v := range sip.Split(line) {
			start.RecordRoute = append(start.RecordRoute, strings.Clone(v))
		}
	}
	return &session{seat: x, entity: entity, dialog: sipdialog.Accepted(start), key: sessionKey{start.CallID, r.Tx.Tag()}}, nil
}

// hold makes a session findable.
func (s *Service) hold(d *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[d.key] = d
}

// close ends a session, with a BYE if the device does not know yet.
func (f *focus) close(d *session, bye bool) {
	f.s.mu.Lock()
	delete(f.s.sessions, d.key)
	f.s.mu.Unlock()
	if bye {
		f.request(d, "BYE", nil, func(m *sip.Message) {})
	}
}

// within is the session that a request belongs to, nil if it has no To tag.
// One that is not known, or somebody else's, is fault.Gone.
func (s *Service) within(r *sipmux.Request) (*session, error) {
	to, err := r.To()
	if err != nil || to.Tag() == "" {
		return nil, err
	}
	s.mu.Lock()
	d := s.sessions[sessionKey{r.CallID(), to.Tag()}]
	s.mu.Unlock()
	if d == nil || d.seat.person.user != r.User {
		return nil, fault.New(fault.Gone, "conference.within", "there is no such session")
	}
	return d, nil
}

// way is the live connection to a device: the one it joined over, or, for a standard
// client that has come back, the one it is registered over, with the Route behind it.
func (x *seat) way() (c *siptrans.Conn, route string) {
	s := x.f.s
	s.mu.Lock()
	c = x.conn
	s.mu.Unlock()
	if c != nil && c.Peer() != "" {
		return x.through(uc.ServerFQDN(c.Peer()))
	}
	if c != nil && !c.Closed() {
		return c, ""
	}
	if b := x.binding(); b != nil && !b.Lync {
		return s.reach(b)
	}
	return nil, ""
}

// request sends a request within a session; fill completes it. on gets the outcome
// once, nil for nobody.
func (f *focus) request(d *session, method string, on func(status int), fill func(*sip.Message)) {
	n := d.dialog.Next(0)
	m := sip.NewRequest(method, n.URI)
	for _, route := range n.Route {
		m.Add("Route", route)
	}
	m.Add("Max-Forwards", "70")
	m.Add("From", n.From)
	m.Add("To", n.To)
	m.Add("Call-ID", n.CallID)
	m.Add("CSeq", strconv.FormatUint(uint64(n.Seq), 10)+" "+method)
	fill(m)
	x := d.seat
	f.later(func() {
		c, route := x.way()
		if route != "" { // instead of the one by which it joined
			m.Del("Route")
			m.Add("Route", route)
		}
		f.s.send(c, m, on)
	})
}

// send sends a request outside of the lock. on gets 408 for no answer in time and 480
// for no connection.
func (s *Service) send(c *siptrans.Conn, m *sip.Message, on func(status int)) {
	if on == nil {
		on = func(int) {}
	}
	if c == nil {
		on(480)
		return
	}
	if m.Method == "BENOTIFY" { // it has no answer, and so no transaction
		m.Prepend("Via", "SIP/2.0/"+strings.ToUpper(c.Transport())+" "+c.SentBy()+";branch=z9hG4bK"+rand.Text())
		s.cfg.Link.Send(c, m)
		return
	}
	s.cfg.Link.Request(c, m, func(res *sip.Message, err error) {
		switch {
		case fault.Is(err, fault.Timeout):
			on(408)
		case err != nil:
			on(480)
		case res.Status >= 200:
			on(res.Status)
		}
	})
}

// accept answers an INVITE: contact is where requests of the dialog go.
func (s *Service) accept(r *sipmux.Request, contact string) *sip.Message {
	res := r.Reply(200, "")
	if !isLync(r) { // it would look for the host of the contact; a Lync client stays on its connection
		res.Prepend("Record-Route", "<sip:"+r.Conn.Local().String()+";transport="+r.Conn.Transport()+";lr>")
	}
	res.Add("Contact", "<"+contact+">;isfocus")
	res.Add("Allow", allowed)
	res.Add("Allow-Events", Event)
	return res
}

// isLync reports whether a Lync client sent the request: only those name an epid.
func isLync(r *sipmux.Request) bool {
	from, err := r.From()
	return err == nil && from.Params.Value("epid") != ""
}

// device names the device of the sender, as the routing groups do.
func (s *Service) device(r *sipmux.Request) uc.EndpointID {
	return uc.EndpointID(strings.Clone(string(s.notifier.Endpoint(r))))
}
