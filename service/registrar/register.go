package registrar

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

const opRegister = "registrar.register"

// errBrief is a lifetime below the least one.
var errBrief = fault.New(fault.Invalid, opRegister, "the lifetime is too short")

// ms-diagnostics numbers of refused registrations, [MS-SIPREGE] 3, [MS-OCER].
const (
	diagNoEndpoint  = 4010
	diagWrongEvent  = 4055
	diagNoGRUU      = 2057
	diagOtherUser   = 4004
	diagDisabled    = 4141
	diagRefused     = 4006
	maxContactCount = 16
)

// register handles REGISTER.
func (r *Registrar) register(ctx context.Context, req *sipmux.Request) (*sip.Message, error) {
	to, err := req.To()
	if err != nil {
		return nil, err
	}
	if aor, err := uc.ParseUserURI(to.URI); err != nil || aor != req.User {
		return nil, fault.New(fault.Forbidden, opRegister, "To must be the address of the user who signs in").Diagnosed(diagOtherUser).About(to.URI)
	}
	var res *sip.Message
	if isLync(req.Message) {
		res, err = r.registerLync(ctx, req)
	} else {
		res, err = r.registerSIP(ctx, req)
	}
	return r.refusal(req, res, err)
}

// refusal turns the faults that REGISTER answers in a way of its own into
// responses.
func (r *Registrar) refusal(req *sipmux.Request, res *sip.Message, err error) (*sip.Message, error) {
	switch {
	case err == errBrief:
		res = req.Reply(423, "")
		res.Add("Min-Expires", itoa(int64(r.cfg.Policy().MinEndpointExpiration)))
		return res, nil
	case fault.Is(err, fault.Stale): // out of order, RFC 3261 10.3
		return req.Reply(500, "CSeq Out Of Order"), nil
	case fault.Is(err, fault.Forbidden), fault.Is(err, fault.Limit):
		var f *fault.Error
		errors.As(err, &f)
		return r.diagnosed(req, 403, cmp.Or(f.Diag, diagRefused), f.Text), nil
	}
	return res, err
}

// diagnosed is a refusal with its reason for servers and for clients, which read
// ms-diagnostics-public.
func (r *Registrar) diagnosed(req *sipmux.Request, status, id int, text string) *sip.Message {
	res := req.Reply(status, "")
	value := sipmux.Diagnostics(id, text, string(r.cfg.FQDN))
	res.Add("ms-diagnostics", value)
	res.Add("ms-diagnostics-public", sipmux.Diagnostics(id, text, ""))
	return res
}

// registerLync handles the REGISTER of a Lync client.
func (r *Registrar) registerLync(ctx context.Context, req *sipmux.Request) (*sip.Message, error) {
	switch {
	case req.Get("Event") != "" && req.Event() != "registration":
		return r.diagnosed(req, 489, diagWrongEvent, "The Event of a REGISTER must be registration"), nil
	case req.Endpoint == "":
		return r.diagnosed(req, 400, diagNoEndpoint, "The endpoint is missing: epid in From or +sip.instance in Contact"), nil
	case req.Has("Supported", "msrtc-event-categories") && !req.Has("Supported", "gruu-10"):
		res := r.diagnosed(req, 421, diagNoGRUU, "A client with msrtc-event-categories needs gruu-10")
		res.Add("Require", "gruu-10")
		return res, nil
	}
	if res := r.redirect(req); res != nil {
		return res, nil
	}
	c, err := r.lyncContact(req)
	if err != nil {
		return nil, err
	}
	done, err := r.bind(ctx, req, []groupstate.BindContact{c})
	if err != nil {
		return nil, err
	}
	return r.lyncAnswer(req, c, done), nil
}

// registerSIP handles the REGISTER of a standard client.
func (r *Registrar) registerSIP(ctx context.Context, req *sipmux.Request) (*sip.Message, error) {
	if req.Has("Contact", "*") || strings.TrimSpace(req.Get("Contact")) == "*" {
		return r.registerNone(ctx, req)
	}
	addrs, err := req.Contacts()
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		bindings, err := r.Endpoints(ctx, req.User)
		if err != nil {
			return nil, err
		}
		return r.sipAnswer(req, bindings), nil
	}
	if len(addrs) > maxContactCount {
		return nil, fault.Newf(fault.Limit, opRegister, "one REGISTER may have %d contacts", maxContactCount)
	}
	contacts, err := r.sipContacts(req, addrs)
	if err != nil {
		return nil, err
	}
	done, err := r.bind(ctx, req, contacts)
	if err != nil {
		return nil, err
	}
	return r.sipAnswer(req, done.Bindings), nil
}

// registerNone handles "Contact: *".
func (r *Registrar) registerNone(ctx context.Context, req *sipmux.Request) (*sip.Message, error) {
	n, ok := req.Expires()
	if !ok || n != 0 || req.Count("Contact") != 1 || strings.TrimSpace(req.Get("Contact")) != "*" {
		return nil, fault.New(fault.Invalid, opRegister, "Contact: * stands alone and needs Expires: 0")
	}
	cseq, _, err := req.CSeq()
	if err != nil {
		return nil, err
	}
	cmd := &groupstate.Unbind{User: req.User, Now: req.Now.UnixMilli(), Reason: groupstate.ClientInitiated, CallID: req.CallID(), CSeq: cseq}
	if _, err := result[groupstate.UnbindResult](r.cfg.Groups.Propose(ctx, req.User, cmd)); err != nil {
		return nil, err
	}
	return r.sipAnswer(req, nil), nil
}

// bind proposes the registration; Observe ties it to the connection.
func (r *Registrar) bind(ctx context.Context, req *sipmux.Request, contacts []groupstate.BindContact) (groupstate.BindResult, error) {
	cseq, _, err := req.CSeq()
	if err != nil {
		return groupstate.BindResult{}, err
	}
	if r.cfg.Draining != nil && r.cfg.Draining() && r.comes(req.User, contacts) {
		return groupstate.BindResult{}, fault.New(fault.NotPrimary, opRegister, "this server is being stopped; sign in at another server of the pool")
	}
	if r.crowded(req.Conn, req.User, contacts) {
		return groupstate.BindResult{}, fault.Newf(fault.Limit, opRegister, "one connection carries at most %d endpoints; register over another one", maxTies)
	}
	cmd := &groupstate.Bind{
		User: req.User, Now: req.Now.UnixMilli(), Max: uint32(r.cfg.Policy().MaxEndpointsPerUser), CallID: req.CallID(), CSeq: cseq,
		Flow: groupstate.Flow{Server: r.cfg.FQDN, Epoch: r.cfg.Epoch, Conn: req.Conn.ID(), Transport: req.Conn.Transport(), Remote: req.Conn.Remote()},
		Path: strings.Join(slices.Collect(req.All("Path")), ", "), UserAgent: clip(req.Get("User-Agent"), 256), Contacts: contacts,
	}
	done, err := result[groupstate.BindResult](r.cfg.Groups.Propose(ctx, req.User, cmd))
	if err != nil {
		return done, err
	}
	for i := range done.Replaced {
		r.drop(&done.Replaced[i])
	}
	return done, nil
}

// comes reports whether an endpoint signs in that is not signed in here.
func (r *Registrar) comes(user uc.UserURI, contacts []groupstate.BindContact) bool {
	bindings := r.index.get(user)
	for _, c := range contacts {
		here := func(b groupstate.Binding) bool { return b.Endpoint == c.Endpoint && !b.Detached && r.tied(&b) }
		if c.Lifetime > 0 && !slices.ContainsFunc(bindings, here) {
			return true
		}
	}
	return false
}

// clip cuts what is only kept for people to read.
func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}
