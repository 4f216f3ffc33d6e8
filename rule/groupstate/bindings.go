package groupstate

import (
	"net/netip"
	"slices"

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
	ClientCrashed        Reason = 3 // the connection was lost and the client did not come back over it
	AttributesChanged    Reason = 4 // disabled, removed, forced
	PreferredRegistrar   Reason = 5
	LegacySurvivableMode Reason = 6
)

// Bind registers, refreshes or removes contacts of one REGISTER, all or none,
// by the rules of RFC 3261 10.3: the same endpoint again replaces what was
// there; within one Call-ID the CSeq must grow (else fault.Stale). For Lync clients
// only on one connection: those started in the same second use the same Call-ID.
// A Lync client that comes over another connection begins all its dialogs anew, so
// its subscriptions over others end; SIP clients keep theirs. At more than Max endpoints detached ones give way, the
// longest detached first, with ClientCrashed; when that is not enough: fault.Limit.
// Result: BindResult.
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
