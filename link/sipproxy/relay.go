package sipproxy

import (
	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/sip"
)

// Relay passes a request of another server on to the connection that its first Route
// names: by the flow token of a registration (RFC 5626 5.3) or by that of a dialog. It
// reports false for requests of anybody else, and without such a Route. The sender has
// been authenticated, and what may be asked has been decided, at the server that the
// request comes from.
func (p *Proxy) Relay(r *sipmux.Request) bool {
	if p.cfg.Peers == nil || r.Conn.Peer() == "" {
		return false
	}
	c, ours := p.cfg.Peers.Flow(userOf(firstRoute(r.Message)))
	if ours {
		r.PopRoute()
	} else if c, ours = p.routes(r.Message, r.Conn); !ours {
		return false
	}
	switch {
	case c == nil && r.Method == "ACK":
	case c == nil:
		r.Tx.Respond(lost(r))
	default:
		p.pass(r, c)
	}
	return true
}

// lost is the answer when the connection has gone: of a dialog, or of a registration
// that the sender has not heard the end of yet.
func lost(r *sipmux.Request) *sip.Message {
	if to, err := r.To(); err == nil && to.Tag() != "" {
		return r.Reply(481, "")
	}
	return r.Reply(480, "")
}

// pass sends a request of another server on.
func (p *Proxy) pass(r *sipmux.Request, c *siptrans.Conn) {
	t := Target{Conn: c, Server: c.Peer() != ""}
	f := Forward{Targets: []Target{t}, Trusted: t.Server}
	if r.Method != "ACK" && r.Method != "BENOTIFY" {
		p.Forward(r.Tx, f)
		return
	}
	if p.prepare(r.Message, &f) == nil {
		p.address(r.Message, r.Conn, &t, &f)
		p.cfg.Layer.Forward(r.Tx.Batch(), c, r.Message)
	}
	r.Tx.Drop()
}

// Elsewhere sends a request to another server that has to serve it, in the name of the
// user who was authenticated here. The error is for when there is no way there. What
// has come from another server is not sent on again: two servers that take each
// other for the one would never end. It is not for ACK.
func (p *Proxy) Elsewhere(r *sipmux.Request, server uc.ServerFQDN) error {
	if p.cfg.Peers == nil || r.Conn.Peer() != "" {
		return errElsewhere(server)
	}
	c, err := p.cfg.Peers.Conn(server)
	if err != nil {
		return err
	}
	p.routes(r.Message, r.Conn)
	t := Target{Conn: c, Server: true}
	f := Forward{Targets: []Target{t}, Assert: r.User, Ours: true}
	p.Forward(r.Tx, f)
	return nil
}

func errElsewhere(server uc.ServerFQDN) error {
	e := fault.New(fault.NotPrimary, "sipproxy.Elsewhere", "another server serves this; try again")
	e.Server = string(server)
	return e
}
