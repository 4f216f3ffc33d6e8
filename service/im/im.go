// Package im routes what users send each other: instant messages as Lync sessions
// ([MS-SIP] 3.6, [MS-CONVIM]) and as pages (RFC 3428), typing notices, and the
// signalling of any other session between endpoints. Two Lync clients, or two SIP
// clients, speak with each other end to end and the answer of the recipient's
// device is the delivery report; between the two kinds a gateway translates.
//
// There is no store and forward: who is not signed in cannot be written to, and
// the sender is told at once. Safe for concurrent use; nothing here waits.
package im

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sdp"
	"trivet/wire/sip"
)

// Config sets a Service up.
type Config struct {
	Layer *siptrans.Layer
	Proxy *sipproxy.Proxy
	// Known reports whether the deployment has the user.
	Known func(uc.UserURI) bool
	// Locate returns where a request for the user can go: the one endpoint that the
	// request URI names, or all. It must not block.
	Locate func(user uc.UserURI, requestURI string) []groupstate.Binding
	// Way is how a flow is reached, also one of another server, then with a Route; no
	// connection means that it is dead or out of reach (sippeer.Peers.Way).
	Way  func(f *groupstate.Flow) (c *siptrans.Conn, route string)
	FQDN string // of our Contact and of diagnostics
	// Invited accepts an invitation to a conference in place of a user whose devices
	// know no conferences.
	Invited func(ctx context.Context, r *sipmux.Request, user uc.UserURI) (*sip.Message, error)
	Port    int
}

// Service routes messages and sessions.
type Service struct {
	cfg     Config
	gateway *gateway
	doors   doors
}

// New makes the service.
func New(cfg Config) *Service {
	return &Service{cfg: cfg, gateway: newGateway(cfg.Layer, cfg.FQDN, cfg.Port)}
}

// Routes are the requests this service answers.
func (s *Service) Routes() []sipmux.Route {
	rows := []sipmux.Route{
		{Method: "MESSAGE", Doc: "an instant message, in a session or as a page"},
		{Method: "INVITE", Doc: "opens a session between users, or changes one"},
		{Method: "BYE", Doc: "ends a session"},
		{Method: "INFO", Doc: "typing notices, and whatever else a session carries"},
		{Method: "UPDATE", Doc: "changes a session (RFC 3311)"},
		{Method: "PRACK", Doc: "acknowledges a provisional response (RFC 3262)"},
		{Method: "REFER", Doc: "asks the other side to contact somebody (RFC 3515)"},
		{Method: "NOTIFY", Doc: "events within a session between users"},
	}
	for i := range rows {
		rows[i].Who, rows[i].Quick, rows[i].Asserted, rows[i].Serve = sipmux.User, true, true, s.serve
	}
	return append(rows, sipmux.Route{
		// An ACK cannot be challenged; it passes only with the flow token of a dialog.
		Method: "ACK", Who: sipmux.Anyone, Quick: true, Doc: "completes an INVITE", Serve: s.ack,
	})
}

const diagUnknownUser = 4005

func (s *Service) serve(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if tagged(r.Message) {
		if x := s.gateway.find(r.Message); x != nil {
			return s.inGateway(r, x)
		}
		if s.cfg.Proxy.InDialog(r.Message) {
			if r.Method == "MESSAGE" && s.unwanted(r) {
				return s.offline(r), nil
			}
			return s.cfg.Proxy.Serve(ctx, r)
		}
	}
	return s.toUser(ctx, r)
}

// tagged looks for a To tag without parsing: most requests outside dialogs have
// none.
func tagged(m *sip.Message) bool {
	for rest := m.Get("To"); ; {
		_, after, found := strings.Cut(rest, ";")
		if !found {
			return false
		}
		rest = strings.TrimLeft(after, " \t")
		if len(rest) > 3 && strings.EqualFold(rest[:3], "tag") && strings.HasPrefix(strings.TrimLeft(rest[3:], " \t"), "=") {
			return true
		}
	}
}

// unwanted reports whether the one whom the request names as its recipient has
// blocked the sender since their session began.
func (s *Service) unwanted(r *sipmux.Request) bool {
	if s.doors.count.Load() == 0 {
		return false
	}
	to, err := r.To()
	if err != nil {
		return false
	}
	callee, err := uc.ParseUserURI(to.URI)
	return err == nil && s.doors.shut(callee, r.User)
}

func (s *Service) ack(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if s.gateway.find(r.Message) != nil || !s.cfg.Proxy.InDialog(r.Message) {
		return nil, nil
	}
	return s.cfg.Proxy.Serve(ctx, r)
}

// noSession is the answer for a session that is not known, or not the sender's: the
// client opens a new one.
func noSession(op string) error {
	return fault.New(fault.Gone, op, "there is no such session")
}

// inGateway passes a request of a gateway session on, if the other person still
// takes messages from this one. Nobody but the device that opened it may use it.
func (s *Service) inGateway(r *sipmux.Request, x *session) (*sip.Message, error) {
	if x.from != r.User || x.conn != r.Conn {
		return nil, noSession("im.inGateway")
	}
	var to []sipproxy.Target
	if !s.doors.shut(x.to, x.from) {
		lync, others := s.targets(r, x.to, x.uri)
		to = append(lync, others...)
	}
	return s.gateway.inSession(r, x, to)
}

// toUser sends a request outside of known dialogs to the endpoints of its
// recipient. One within an unknown dialog, as after a restart, still arrives when
// its URI is that of an endpoint.
func (s *Service) toUser(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	const op = "im.toUser"
	callee, err := uc.ParseUserURI(r.RequestURI)
	if err != nil || !s.cfg.Known(callee) {
		if tagged(r.Message) {
			return nil, noSession(op)
		}
		return nil, fault.New(fault.NotFound, op, "there is no such user here").Diagnosed(diagUnknownUser)
	}
	if s.doors.shut(callee, r.User) {
		return s.offline(r), nil
	}
	lync, others := s.targets(r, callee, r.RequestURI)
	if r.Method == "INVITE" && isIM(r.Message) {
		if len(lync) == 0 && len(others) > 0 {
			return s.chat(r, callee)
		}
		others = nil
	}
	if r.Method == "INVITE" && r.ContentType() == cccp.TypeInvitation && s.cfg.Invited != nil {
		if len(lync) == 0 && len(others) > 0 {
			r.Tx.Uncork()
			return s.cfg.Invited(ctx, r, callee)
		}
		others = nil
	}
	targets := append(lync, others...)
	if len(targets) == 0 {
		return s.offline(r), nil
	}
	s.cfg.Proxy.Forward(r.Tx, sipproxy.Forward{Targets: targets, Assert: r.User})
	return nil, nil
}

// chat opens a session of the gateway.
func (s *Service) chat(r *sipmux.Request, callee uc.UserURI) (*sip.Message, error) {
	if tagged(r.Message) {
		return nil, noSession("im.chat")
	}
	return s.gateway.open(r, callee)
}

// targets are the ways to the endpoints that uri names, those of Lync clients apart.
// What a user sends to himself goes to his other endpoints.
func (s *Service) targets(r *sipmux.Request, callee uc.UserURI, uri string) (lync, others []sipproxy.Target) {
	bindings := s.cfg.Locate(callee, uri)
	for i := range bindings {
		b := &bindings[i]
		t, ok := s.target(b)
		switch {
		case !ok, t.Conn == r.Conn && callee == r.User:
		case b.Lync:
			lync = append(lync, t)
		default:
			others = append(others, t)
		}
	}
	return lync, others
}

// target is the way to an endpoint; false when there is none just now.
func (s *Service) target(b *groupstate.Binding) (t sipproxy.Target, ok bool) {
	if b.Detached {
		return t, false
	}
	c, route := s.cfg.Way(&b.Flow)
	if c == nil {
		return t, false
	}
	t = sipproxy.Target{Conn: c, URI: b.Contact}
	if route != "" {
		t.Route, t.Server = []string{route}, true
	}
	return t, true
}

// offline is the answer for somebody who is not signed in, and for somebody who
// does not want to be reached by the sender: nobody can tell the two apart.
func (s *Service) offline(r *sipmux.Request) *sip.Message {
	res := r.Reply(480, "")
	res.Add("ms-diagnostics", sipmux.Diagnostics(1014, "The recipient is not signed in", s.cfg.FQDN))
	return res
}

// isIM reports whether the session is for text in MESSAGE requests, as Lync clients
// open them. Text over another transport (MSRP, RFC 4975) is a call like others.
func isIM(m *sip.Message) bool {
	if m.ContentType() != "application/sdp" {
		return false
	}
	d, err := sdp.Parse(m.Body)
	if err != nil || !d.IsIM() {
		return false
	}
	for i := range d.Media {
		if !strings.EqualFold(d.Media[i].Proto, "sip") {
			return false
		}
	}
	return true
}
