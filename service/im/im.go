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

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
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
	Epoch  uint64 // of this run; flows of other runs are dead
	FQDN   string // of our Contact and of diagnostics
	Port   int
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
		rows[i].Who, rows[i].Quick, rows[i].Serve = sipmux.User, true, s.serve
	}
	return append(rows, sipmux.Route{
		// An ACK cannot be challenged; it passes only with the flow token of a dialog.
		Method: "ACK", Who: sipmux.Anyone, Quick: true, Doc: "completes an INVITE", Serve: s.ack,
	})
}

const diagUnknownUser = 4005

func (s *Service) serve(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if to := r.Get("To"); hasTag(to) {
		if x := s.gateway.find(r.Message); x != nil {
			return s.inGateway(r, x)
		}
		if s.cfg.Proxy.InDialog(r.Message) {
			return s.cfg.Proxy.Serve(ctx, r)
		}
	}
	return s.toUser(r)
}

// hasTag looks for a tag without parsing: most requests outside dialogs have none.
func hasTag(to string) bool {
	for i := 0; i+4 < len(to); i++ {
		if to[i] == ';' && to[i+1]|0x20 == 't' && to[i+2]|0x20 == 'a' && to[i+3]|0x20 == 'g' && to[i+4] == '=' {
			return true
		}
	}
	return false
}

func (s *Service) ack(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if s.gateway.find(r.Message) != nil || !s.cfg.Proxy.InDialog(r.Message) {
		return nil, nil
	}
	return s.cfg.Proxy.Serve(ctx, r)
}

// inGateway passes a request of a gateway session on, if the other person still
// takes messages from this one.
func (s *Service) inGateway(r *sipmux.Request, x *session) (*sip.Message, error) {
	if x.from != r.User {
		return nil, fault.New(fault.Gone, "im.inGateway", "there is no such session")
	}
	var to []groupstate.Binding
	if !s.doors.shut(x.to, x.from) {
		to = s.cfg.Locate(x.to, string(x.to))
	}
	return s.gateway.inSession(r, x, to)
}

// toUser sends a request outside of known dialogs to the endpoints of its
// recipient.
func (s *Service) toUser(r *sipmux.Request) (*sip.Message, error) {
	const op = "im.toUser"
	callee, err := uc.ParseUserURI(r.RequestURI)
	if err != nil || !s.cfg.Known(callee) {
		return nil, fault.New(fault.NotFound, op, "there is no such user here").Diagnosed(diagUnknownUser)
	}
	if s.doors.shut(callee, r.User) {
		return s.offline(r), nil
	}
	bindings := s.cfg.Locate(callee, r.RequestURI)
	if r.Method == "INVITE" && isIM(r.Message) {
		lync, others := split(bindings)
		if len(lync) == 0 && len(others) > 0 {
			return s.gateway.open(r, callee)
		}
		bindings = lync
	}
	targets := s.targets(r, bindings)
	if len(targets) == 0 {
		return s.offline(r), nil
	}
	s.cfg.Proxy.Forward(r.Tx, sipproxy.Forward{Targets: targets})
	return nil, nil
}

// targets are the live connections of endpoints. What a user sends to himself goes
// to his other endpoints.
func (s *Service) targets(r *sipmux.Request, bindings []groupstate.Binding) []sipproxy.Target {
	targets := make([]sipproxy.Target, 0, len(bindings))
	for i := range bindings {
		b := &bindings[i]
		if b.Detached || b.Flow.Epoch != s.cfg.Epoch {
			continue
		}
		if c := s.cfg.Layer.Conn(b.Flow.Conn); c != nil && c != r.Conn {
			targets = append(targets, sipproxy.Target{Conn: c, URI: b.Contact})
		} else if c == r.Conn && c != nil && !c.Stream() {
			targets = append(targets, sipproxy.Target{Conn: c, URI: b.Contact})
		}
	}
	return targets
}

// offline is the answer for somebody who is not signed in, and for somebody who
// does not want to be reached by the sender: nobody can tell the two apart.
func (s *Service) offline(r *sipmux.Request) *sip.Message {
	res := r.Reply(480, "")
	res.Add("ms-diagnostics", sipmux.Diagnostics(1014, "The recipient is not signed in", s.cfg.FQDN))
	return res
}

func isIM(m *sip.Message) bool {
	if m.ContentType() != "application/sdp" {
		return false
	}
	d, err := sdp.Parse(m.Body)
	return err == nil && d.IsIM()
}

func split(bindings []groupstate.Binding) (lync, others []groupstate.Binding) {
	for _, b := range bindings {
		if b.Lync {
			lync = append(lync, b)
		} else {
			others = append(others, b)
		}
	}
	return lync, others
}
