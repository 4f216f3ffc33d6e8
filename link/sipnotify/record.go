package sipnotify

import (
	"strings"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// Lifetimes of subscriptions, in seconds: what a watcher gets that asks for none,
// and the most it gets.
const (
	usualLifetime = 3600
	mostLifetime  = 28800
)

// Lifetime is how many seconds the SUBSCRIBE lives; 0 ends it or asks once.
func Lifetime(m *sip.Message) int {
	v, ok := m.Expires()
	switch {
	case !ok && isLync(m):
		return mostLifetime
	case !ok:
		return usualLifetime
	}
	return min(v, mostLifetime)
}

func isLync(m *sip.Message) bool {
	return m.Has("Supported", "ms-benotify") || m.Has("Proxy-Require", "ms-benotify")
}

// Refresh reports whether the SUBSCRIBE is within a dialog.
func Refresh(m *sip.Message) bool {
	to, err := m.To()
	return err == nil && to.Tag() != ""
}

// Piggyback reports whether the first notification may travel in the 200.
func Piggyback(m *sip.Message) bool { return m.Has("Supported", "ms-piggyback-first-notify") }

// Accepts reports whether the Accept headers name the content type; without any
// Accept, def says.
func Accepts(m *sip.Message, contentType string, def bool) bool {
	some := false
	for line := range m.All("Accept") {
		for v := range sip.Split(line) {
			some = true
			t, _, _ := strings.Cut(v, ";")
			if strings.EqualFold(strings.TrimSpace(t), contentType) {
				return true
			}
		}
	}
	return !some && def
}

// Record reads a SUBSCRIBE into the command that stores it. The caller adds
// format, targets and categories.
func (n *Notifier) Record(r *sipmux.Request) (*groupstate.Subscribe, error) {
	d, err := dialog(r)
	if err != nil {
		return nil, err
	}
	return &groupstate.Subscribe{
		User: r.User, Endpoint: n.Endpoint(r), Now: r.Now.UnixMilli(), Lifetime: int64(Lifetime(r.Message)) * 1000,
		Refresh: Refresh(r.Message), Event: r.Event(), Benotify: isLync(r.Message), Dialog: d, Flow: n.flow(r.Conn),
	}, nil
}

func dialog(r *sipmux.Request) (d groupstate.Dialog, err error) {
	const op = "sipnotify.Record"
	from, err := r.From()
	if err != nil {
		return d, err
	}
	to, err := r.To()
	if err != nil {
		return d, err
	}
	contacts, err := r.Contacts()
	switch {
	case err != nil:
		return d, err
	case len(contacts) == 0 && to.Tag() == "" || len(contacts) > 0 && contacts[0].URI == "*":
		return d, fault.New(fault.Invalid, op, "a SUBSCRIBE needs a Contact to send notifications to")
	case from.Tag() == "":
		return d, fault.New(fault.Invalid, op, "the From header of a SUBSCRIBE needs a tag")
	}
	seq, _, err := r.CSeq()
	if err != nil {
		return d, err
	}
	d = groupstate.Dialog{
		CallID: r.CallID(), LocalURI: to.URI, LocalTag: to.Tag(), RemoteURI: from.URI, RemoteTag: from.Tag(),
		RemoteParams: fromParams(from.Params), RemoteCSeq: seq, Routes: routes(r.Message),
	}
	if d.LocalTag == "" {
		d.LocalTag = r.Tx.Tag()
	}
	if len(contacts) > 0 {
		d.RemoteTarget = contacts[0].URI
	}
	return d, nil
}

// Once is the subscription of a SUBSCRIBE that asks once: it is told what is and
// never stored.
func Once(cmd *groupstate.Subscribe) *groupstate.Subscription {
	return &groupstate.Subscription{
		Endpoint: cmd.Endpoint, Event: cmd.Event, Format: cmd.Format, Benotify: cmd.Benotify, Dialog: cmd.Dialog,
		Flow: cmd.Flow, Categories: cmd.Categories, Since: cmd.Now, Expires: cmd.Now,
	}
}

// Endpoint is the device of the sender: the one that the request names if it is
// registered, else the one registered over the same connection, else what the
// request names. A client that names and registers nothing is known by its Call-ID.
func (n *Notifier) Endpoint(r *sipmux.Request) uc.EndpointID {
	over := uc.EndpointID("")
	server, epoch, conn := n.cfg.Server, n.cfg.Epoch, r.Conn.ID()
	if r.Peer != "" {
		server, epoch, conn = uc.ServerFQDN(r.Peer), 0, sipproxy.Origin(r.Message)
	}
	bindings := n.cfg.Locate(r.User)
	for i := range bindings {
		b := &bindings[i]
		if b.Endpoint == r.Endpoint {
			return b.Endpoint
		}
		if b.Flow.Conn == conn && b.Flow.Server == server && (b.Flow.Epoch == epoch || r.Peer != "" && !b.Detached) && !b.Lync {
			over = b.Endpoint
		}
	}
	switch {
	case over != "":
		return over
	case r.Endpoint != "":
		return r.Endpoint
	}
	return uc.EndpointID("call:" + r.CallID())
}

// flow is the connection that a SUBSCRIBE came over. One that another server passed on
// is behind that server, whatever connection to it there is by then.
func (n *Notifier) flow(c *siptrans.Conn) groupstate.Flow {
	if peer := c.Peer(); peer != "" {
		return groupstate.Flow{Server: uc.ServerFQDN(peer)}
	}
	return groupstate.Flow{Server: n.cfg.Server, Epoch: n.cfg.Epoch, Conn: c.ID(), Transport: c.Transport(), Remote: c.Remote()}
}

// fromParams keeps what Lync clients want to see again in the To header.
func fromParams(p sip.Params) string {
	v, ok := p.Get("epid")
	if !ok || v == "" || strings.ContainsAny(v, ` "<>;,=`) {
		return ""
	}
	return ";epid=" + v
}

// routes is the route set of the dialog, RFC 3261 12.1.1: for the side that was
// asked, the Record-Route values as they stand.
func routes(m *sip.Message) []string {
	var out []string
	for line := range m.All("Record-Route") {
		for v := range sip.Split(line) {
			out = append(out, v)
		}
	}
	return out
}
