package groupstate

import (
	"net/netip"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

// Sizes of what one registration may hold.
const (
	maxURI       = 454
	maxEndpoints = 64 // hard ceiling for Bind.Max, per user
	maxContacts  = 16 // contacts of one REGISTER
	maxToken     = 128
	maxContact   = 1024
	maxAgent     = 256
	maxMethods   = 512
	maxPath      = 2048
)

// Flow is how an endpoint is reached: the connection it came over and the server
// that holds it. RFC 5626.
type Flow struct {
	Server    uc.ServerFQDN
	Epoch     uint64 // grows with each start of the server
	Conn      uint64 // number of the connection in that epoch
	Transport string // udp, tcp, tls, ws, wss
	Remote    netip.AddrPort
}

// Binding is a registered endpoint.
type Binding struct {
	Endpoint  uc.EndpointID
	Instance  string // value of +sip.instance without < >: urn:uuid:…
	RegID     uint32 // RFC 5626, 0 if none
	Contact   string // URI as the client gave it
	Params    string // header parameters of the Contact to be echoed, with leading ";"
	GRUU      string // public GRUU, "" if none
	Q         uint16 // preference, thousandths
	Lync      bool
	Detached  bool // its connection is gone; waits for the client until Expires
	Flow      Flow
	Since     int64 // first bound
	Updated   int64
	Expires   int64 // Unix milliseconds
	CallID    string
	CSeq      uint32
	UserAgent string
	Methods   string // as in the methods parameter: "INVITE, MESSAGE"
	Path      string // Path header values, RFC 3327
}

// Reason says why a registration ended. The numbers are those of DeRegisterType
// in the product's call detail records.
type Reason uint8

// The reasons.
const (
	UnknownReason        Reason = 0
	ClientInitiated      Reason = 1
	RegistrationExpired  Reason = 2
	ClientCrashed        Reason = 3 // the connection was lost and the client did not come back
	AttributesChanged    Reason = 4 // disabled, removed, forced
	PreferredRegistrar   Reason = 5
	LegacySurvivableMode Reason = 6
)

// Bind registers, refreshes or removes contacts of one REGISTER, all or none,
// by the rules of RFC 3261 10.3: the same endpoint again replaces what was
// there; within one Call-ID the CSeq must grow (else fault.Stale). For Lync clients
// only on one connection: those started in the same second use the same Call-ID.
// More than Max endpoints: fault.Limit. Result: BindResult.
type Bind struct {
	User      uc.UserURI
	Now       int64
	Max       uint32 // endpoints per user
	CallID    string
	CSeq      uint32
	Flow      Flow
	UserAgent string
	Path      string
	Contacts  []BindContact
}

// BindContact is one contact of a Bind.
type BindContact struct {
	Endpoint uc.EndpointID
	Instance string
	RegID    uint32
	Contact  string
	Params   string
	GRUU     string
	Q        uint16
	Lync     bool
	Methods  string
	Lifetime int64 // milliseconds; 0 removes
}

// BindResult is the outcome of a Bind.
type BindResult struct {
	Bindings []Binding // all of the user, by time of arrival
	Added    int       // endpoints that were not registered before
	Removed  []Binding
	Replaced []Binding // former values of endpoints whose flow is another now
}

// Unbind removes an endpoint, or all when Endpoint is "". With CallID set it is
// a client's "Contact: *" and obeys the CSeq rule. Result: UnbindResult.
type Unbind struct {
	User     uc.UserURI
	Endpoint uc.EndpointID
	Now      int64
	Reason   Reason
	CallID   string
	CSeq     uint32
}

// UnbindResult has what is gone and what is left.
type UnbindResult struct {
	Ended    []Binding
	Bindings []Binding
}

// Detach tells that a connection is gone: if the endpoint is still bound over it,
// its registration ends Grace milliseconds from Now unless it comes back. Result:
// DetachResult.
type Detach struct {
	User     uc.UserURI
	Endpoint uc.EndpointID
	Server   uc.ServerFQDN
	Epoch    uint64
	Conn     uint64
	Now      int64
	Grace    int64 // milliseconds
}

// DetachResult says how many registrations were detached.
type DetachResult struct{ Detached int }

// Restarted tells that a server runs in a new epoch: every registration over a
// stream connection of an older epoch of it is detached. Result: DetachResult.
type Restarted struct {
	Server uc.ServerFQDN
	Epoch  uint64
	Now    int64
	Grace  int64
}

// Events about registrations. Bindings is all that the user has after it.
type (
	Bound struct {
		User     uc.UserURI
		Endpoint uc.EndpointID
		New      bool // was not registered before
		Bindings []Binding
	}
	Unbound struct {
		User     uc.UserURI
		Reason   Reason
		Ended    Binding
		Bindings []Binding
	}
	Detached struct {
		User     uc.UserURI
		Endpoint uc.EndpointID
		Bindings []Binding
	}
)

func (*Bind) number() uint16      { return numBind }
func (*Unbind) number() uint16    { return numUnbind }
func (*Detach) number() uint16    { return numDetach }
func (*Restarted) number() uint16 { return numRestarted }

func (x *Flow) fields(c *codec) {
	text(c, "server", &x.Server, 255)
	c.u64("epoch", &x.Epoch)
	c.u64("connection", &x.Conn)
	text(c, "transport", &x.Transport, 8)
	c.addr("remote", &x.Remote)
}

func (x *Bind) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	c.i64("now", &x.Now)
	number(c, "max", &x.Max, maxEndpoints)
	text(c, "Call-ID", &x.CallID, maxAgent)
	c.u32("CSeq", &x.CSeq)
	x.Flow.fields(c)
	text(c, "User-Agent", &x.UserAgent, maxAgent)
	text(c, "Path", &x.Path, maxPath)
	list(c, "contacts", &x.Contacts, maxContacts, (*BindContact).fields)
}

func (x *BindContact) fields(c *codec) {
	text(c, "endpoint", &x.Endpoint, maxContact)
	text(c, "+sip.instance", &x.Instance, maxToken)
	c.u32("reg-id", &x.RegID)
	text(c, "Contact", &x.Contact, maxContact)
	text(c, "Contact parameters", &x.Params, maxContact)
	text(c, "gruu", &x.GRUU, maxContact)
	number(c, "q", &x.Q, 1000)
	c.flag("lync", &x.Lync)
	text(c, "methods", &x.Methods, maxMethods)
	c.i64("lifetime", &x.Lifetime)
}

func (b *Binding) fields(c *codec) {
	text(c, "endpoint", &b.Endpoint, maxContact)
	text(c, "+sip.instance", &b.Instance, maxToken)
	c.u32("reg-id", &b.RegID)
	text(c, "Contact", &b.Contact, maxContact)
	text(c, "Contact parameters", &b.Params, maxContact)
	text(c, "gruu", &b.GRUU, maxContact)
	number(c, "q", &b.Q, 1000)
	c.flag("lync", &b.Lync)
	c.flag("detached", &b.Detached)
	b.Flow.fields(c)
	c.i64("since", &b.Since)
	c.i64("updated", &b.Updated)
	c.i64("expires", &b.Expires)
	text(c, "Call-ID", &b.CallID, maxAgent)
	c.u32("CSeq", &b.CSeq)
	text(c, "User-Agent", &b.UserAgent, maxAgent)
	text(c, "methods", &b.Methods, maxMethods)
	text(c, "Path", &b.Path, maxPath)
}

func (x *Unbind) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.Endpoint, maxContact)
	c.i64("now", &x.Now)
	number(c, "reason", &x.Reason, uint64(LegacySurvivableMode))
	text(c, "Call-ID", &x.CallID, maxAgent)
	c.u32("CSeq", &x.CSeq)
}

func (x *Detach) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.Endpoint, maxContact)
	text(c, "server", &x.Server, 255)
	c.u64("epoch", &x.Epoch)
	c.u64("connection", &x.Conn)
	c.i64("now", &x.Now)
	c.i64("grace", &x.Grace)
}

func (x *Restarted) fields(c *codec) {
	text(c, "server", &x.Server, 255)
	c.u64("epoch", &x.Epoch)
	c.i64("now", &x.Now)
	c.i64("grace", &x.Grace)
}

// Bindings are the registered endpoints by time of arrival, detached ones among
// them.
func (u *User) Bindings() []Binding { return u.bindings }

// Binding returns the registration of an endpoint, nil if there is none.
func (u *User) Binding(id uc.EndpointID) *Binding {
	if i := u.bound(id); i >= 0 {
		return &u.bindings[i]
	}
	return nil
}

func (u *User) bound(id uc.EndpointID) int {
	return slices.IndexFunc(u.bindings, func(b Binding) bool { return b.Endpoint == id })
}

func (x *Bind) apply(t *turn) (any, error) {
	const op = "groupstate.Bind"
	e, err := t.active(op, x.User)
	if err != nil {
		return nil, err
	}
	if err := x.check(e.user); err != nil {
		return nil, err
	}
	old := e.user.bindings
	r := BindResult{}
	for _, b := range old { // expired before anybody swept
		if b.Expires <= x.Now && !x.names(b.Endpoint) {
			t.unbind(e, []Binding{b}, expiryReason(b), x.Now)
		}
	}
	for _, c := range x.Contacts {
		i := e.user.bound(c.Endpoint)
		if c.Lifetime > 0 {
			r.note(e.user.bindings, i, x.Flow)
			t.bind(e, x.binding(t, e.user, c, i), i)
		} else if i >= 0 {
			r.Removed = append(r.Removed, e.user.bindings[i])
			t.unbind(e, r.Removed[len(r.Removed)-1:], ClientInitiated, x.Now)
		}
	}
	if r.Added > 0 {
		t.derive(e, x.Now)
	}
	r.Bindings = e.user.bindings
	t.reckon(e)
	return r, nil
}

func (r *BindResult) note(now []Binding, i int, flow Flow) {
	switch {
	case i < 0:
		r.Added++
	case now[i].Flow != flow:
		r.Replaced = append(r.Replaced, now[i])
	}
}

func (x *Bind) names(id uc.EndpointID) bool {
	return slices.ContainsFunc(x.Contacts, func(c BindContact) bool { return c.Endpoint == id })
}

// check checks the whole command against the user.
func (x *Bind) check(u *User) error {
	const op = "groupstate.Bind"
	if len(x.Contacts) == 0 {
		return fault.New(fault.Invalid, op, "a registration needs at least one contact").About(string(x.User))
	}
	count, grows := 0, false
	for _, b := range u.bindings {
		if b.Expires > x.Now && !x.names(b.Endpoint) {
			count++
		}
	}
	for i, c := range x.Contacts {
		if c.Endpoint == "" || c.Lifetime > 0 && c.Contact == "" || c.Lifetime < 0 {
			return fault.New(fault.Invalid, op, "a contact needs an endpoint, an address and a lifetime that is not negative").About(string(x.User))
		}
		if slices.ContainsFunc(x.Contacts[:i], func(d BindContact) bool { return d.Endpoint == c.Endpoint }) {
			return fault.New(fault.Invalid, op, "the same contact occurs twice; name each once").About(string(c.Endpoint))
		}
		if b := u.Binding(c.Endpoint); b != nil && !(c.Lync && b.Flow != x.Flow) {
			if err := inOrder(op, b, x.CallID, x.CSeq); err != nil {
				return err
			}
		}
		if c.Lifetime > 0 {
			count++
			grows = grows || u.Binding(c.Endpoint) == nil
		}
	}
	if grows && count > int(x.Max) {
		return fault.Newf(fault.Limit, op, "the user has the most endpoints allowed, %d; sign out elsewhere first", x.Max).About(string(x.User))
	}
	return nil
}

// inOrder is RFC 3261 10.3 step 7: within a Call-ID the CSeq has to grow.
func inOrder(op string, b *Binding, callID string, cseq uint32) error {
	if b.CallID == callID && cseq <= b.CSeq {
		return fault.New(fault.Stale, op, "CSeq must be higher than in the registration before it").About(string(b.Endpoint))
	}
	return nil
}

func (x *Bind) binding(t *turn, u *User, c BindContact, i int) Binding {
	b := Binding{
		Endpoint: c.Endpoint, Instance: c.Instance, RegID: c.RegID, Contact: c.Contact, Params: c.Params,
		GRUU: c.GRUU, Q: c.Q, Lync: c.Lync, Methods: t.words.one(c.Methods), Flow: x.Flow,
		Since: x.Now, Updated: x.Now, Expires: x.Now + c.Lifetime, CallID: x.CallID, CSeq: x.CSeq,
		UserAgent: t.words.one(x.UserAgent), Path: x.Path,
	}
	b.Flow.Server = uc.ServerFQDN(t.words.one(string(x.Flow.Server)))
	b.Flow.Transport = t.words.one(x.Flow.Transport)
	if i >= 0 {
		b.Since = u.bindings[i].Since
	}
	return b
}

// bind puts b at place i, at the end when i is -1.
func (t *turn) bind(e *entry, b Binding, i int) {
	u := t.edit(e)
	next := make([]Binding, len(u.bindings), max(len(u.bindings)+1, 1))
	copy(next, u.bindings)
	if i < 0 {
		next = append(next, b)
	} else {
		next[i] = b
	}
	u.bindings = slices.Clip(next)
	t.emit(Bound{User: u.uri, Endpoint: b.Endpoint, New: i < 0, Bindings: u.bindings})
}

// unbind ends registrations with everything that is bound to their endpoints.
func (t *turn) unbind(e *entry, ended []Binding, why Reason, now int64) {
	if len(ended) == 0 {
		return
	}
	u := t.edit(e)
	gone := map[uc.EndpointID]bool{}
	for _, b := range ended {
		gone[b.Endpoint] = true
	}
	u.bindings = slices.DeleteFunc(slices.Clone(u.bindings), func(b Binding) bool { return gone[b.Endpoint] })
	if len(u.bindings) == 0 {
		u.bindings = nil
	}
	for _, b := range ended {
		t.emit(Unbound{User: u.uri, Reason: why, Ended: b, Bindings: u.bindings})
	}
	t.endSubscriptions(e, func(s *Subscription) bool { return gone[s.Endpoint] }, why)
	t.endPublications(e, gone, now)
}

func (x *Unbind) apply(t *turn) (any, error) {
	const op = "groupstate.Unbind"
	e, err := t.known(op, x.User)
	if err != nil {
		return nil, err
	}
	var ended []Binding
	for _, b := range e.user.bindings {
		if x.Endpoint != "" && b.Endpoint != x.Endpoint {
			continue
		}
		if x.CallID != "" {
			if err := inOrder(op, &b, x.CallID, x.CSeq); err != nil {
				return nil, err
			}
		}
		ended = append(ended, b)
	}
	t.unbind(e, ended, x.Reason, x.Now)
	t.reckon(e)
	return UnbindResult{Ended: ended, Bindings: e.user.bindings}, nil
}

func (x *Detach) apply(t *turn) (any, error) {
	e, err := t.known("groupstate.Detach", x.User)
	if err != nil {
		return nil, err
	}
	n := t.detach(e, x.Now+max(x.Grace, 0), func(b *Binding) bool {
		f := &b.Flow
		return b.Endpoint == x.Endpoint && f.Server == x.Server && f.Epoch == x.Epoch && f.Conn == x.Conn
	})
	t.reckon(e)
	return DetachResult{n}, nil
}

func (x *Restarted) apply(t *turn) (any, error) {
	lost := func(b *Binding) bool {
		return b.Flow.Server == x.Server && b.Flow.Epoch < x.Epoch && b.Flow.Transport != "udp"
	}
	var hit []*entry
	for _, e := range t.users {
		for i := range e.user.bindings {
			if lost(&e.user.bindings[i]) {
				hit = append(hit, e)
				break
			}
		}
	}
	slices.SortFunc(hit, byName)
	n := 0
	for _, e := range hit {
		n += t.detach(e, x.Now+max(x.Grace, 0), lost)
		t.reckon(e)
	}
	return DetachResult{n}, nil
}

// detach shortens the registrations that are hit to until.
func (t *turn) detach(e *entry, until int64, hit func(*Binding) bool) int {
	var which []int
	for i := range e.user.bindings {
		if b := &e.user.bindings[i]; !b.Detached && hit(b) {
			which = append(which, i)
		}
	}
	if len(which) == 0 {
		return 0
	}
	u := t.edit(e)
	u.bindings = slices.Clone(u.bindings)
	for _, i := range which {
		b := &u.bindings[i]
		b.Detached = true
		b.Expires = min(b.Expires, until)
		t.emit(Detached{User: u.uri, Endpoint: b.Endpoint, Bindings: u.bindings})
	}
	return len(which)
}

// expiryReason is why a binding ends when its time is over.
func expiryReason(b Binding) Reason {
	if b.Detached {
		return ClientCrashed
	}
	return RegistrationExpired
}
