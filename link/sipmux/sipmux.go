// Package sipmux is the table of SIP requests: which method, event package or
// content type goes to which handler, and who may ask. The refusals of RFC 3261
// 8.2 (405, 415, 420), RFC 6665 (489), the answer to OPTIONS, authentication and
// the translation of faults into status codes come from the table and happen
// before or after the handler, never in it.
//
// A Mux is fixed once made and safe for concurrent use. It runs handlers on the
// goroutine that siptrans calls it on, so requests of one client stay in order.
package sipmux

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/sip"
)

// Who may ask.
type Who uint8

// The callers, each a kind of its own; a Route admits exactly one, Anyone all.
const (
	Anyone  Who = iota // no authentication
	User               // a user of ours, signed in
	Server             // a server of the topology, by its certificate
	Partner            // a federated partner, by its certificate
)

var whoNames = [...]string{"anyone", "user", "server", "partner"}

func (w Who) String() string {
	if int(w) < len(whoNames) {
		return whoNames[w]
	}
	return "nobody"
}

// Route is one row of the table.
type Route struct {
	Method string
	App    string // application of ours that the request URI names: "conf" for "…;opaque=app:conf:…" and "sip:app.conf.…"; "" is any
	Event  string // event package of REGISTER, SUBSCRIBE, NOTIFY, BENOTIFY, PUBLISH; "" is any
	Type   string // content type (lower case, no parameters) of SERVICE, INFO, MESSAGE …; "" is any
	Who    Who
	Quick  bool // never waits: its output may be held back with that of its neighbours
	// Asserted admits, to a row for User, the user whom another server of ours asserts
	// (P-Asserted-Identity, RFC 3325). What is a client's own business, such as signing
	// in or its own subscriptions, stays with the server that has its connection.
	Asserted bool
	Doc      string // one line for the manual
	// Serve returns the final response, or an error that the Mux maps, or nil and
	// nil when it has taken the transaction over.
	Serve func(ctx context.Context, r *Request) (*sip.Message, error)
}

// Request is a request on its way to a handler.
type Request struct {
	*sip.Message
	Tx       *siptrans.ServerTx
	Conn     *siptrans.Conn
	Need     Who           // what the route wants the caller to be
	Role     Who           // what the caller has proved to be; Anyone if nothing was asked
	User     uc.UserURI    // authenticated user, or whom a Server asserts where the row takes that; else ""
	Endpoint uc.EndpointID // epid of From or +sip.instance of Contact, "" if absent
	Peer     string        // server that the request came from, or partner domain, "" for users
	Now      time.Time
}

// Reply starts a response to the request.
func (r *Request) Reply(status int, reason string) *sip.Message {
	return sip.NewResponse(r.Message, status, reason)
}

// Authenticator finds out who asks.
type Authenticator interface {
	// Authenticate returns a challenge to be sent, or an error, or sets r.User, or
	// r.Role and r.Peer for Server and Partner. r.Need is what the route wants.
	Authenticate(ctx context.Context, r *Request) (*sip.Message, error)
}

// Config sets a Mux up.
type Config struct {
	Routes []Route
	Auth   Authenticator // nil: routes for User, Server and Partner are refused
	// Peer is the server of ours at the other end of a connection, "" for anybody else;
	// nil: there are no other servers. It is asked for every request and may not wait.
	Peer func(c *siptrans.Conn) string
	// Relay passes on what a Peer sends through this server to a connection that this one
	// holds, and reports whether it did. It is asked for requests with a Route, before
	// the table, and may not wait.
	Relay func(r *Request) bool
	FQDN  string // source in ms-diagnostics
	Log   *slog.Logger
	Now   func() time.Time
}

// extensions are the option tags that may stand in Require without a 420: those
// whose meaning a handler looks at, or that ask nothing of a server.
var extensions = []string{"adhoclist", "categorylist", "ms-benotify", "eventlist", "gruu-10", "gruu", "path",
	"outbound", "timer", "replaces", "100rel", "norefersub", "tdialog", "ms-piggyback-first-notify", "com.microsoft.autoextend",
	"ms-fe", "histinfo", "ms-early-media", "ms-delayed-accept", "ms-dialog-route-set-update", "ms-forking", "ms-userservices-state-notification"}

// Mux is the table made ready. It is a siptrans.Handler.
type Mux struct {
	cfg     Config
	methods map[string]*method
	allow   string // value of Allow
	events  string // value of Allow-Events, no blanks ([MS-SIPREGE], Lync clients)
	types   string // value of Accept
	accepts map[string]bool
}

// method is the part of the table for one method.
type method struct {
	rows   []Route // most special first
	apps   bool    // some row names an application
	events bool    // some row names an event package
	types  bool    // some row names a content type
	open   bool    // some row names neither
}

// New makes a Mux. Two rows for the same request, a row without handler or
// documentation, and rows for ACK and CANCEL with an event or type are errors.
func New(cfg Config) (*Mux, error) {
	const op = "sipmux.New"
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := &Mux{cfg: cfg, methods: map[string]*method{}, accepts: map[string]bool{}}
	for _, r := range cfg.Routes {
		if r.Method == "" || r.Serve == nil || r.Doc == "" || r.Who > Partner {
			return nil, fault.New(fault.Invalid, op, "a route needs a method, a caller, a handler and a line of documentation").About(r.name())
		}
		if r.Method == "CANCEL" {
			return nil, fault.New(fault.Invalid, op, "CANCEL is answered by the transaction layer").About(r.name())
		}
		if err := m.add(r); err != nil {
			return nil, err
		}
	}
	for _, x := range extensions {
		m.accepts[strings.ToLower(x)] = true
	}
	m.summarise()
	return m, nil
}

func (r *Route) name() string {
	return strings.Join(strings.Fields(r.Method+" "+r.App+" "+r.Event+" "+r.Type), " ")
}

func (m *Mux) add(r Route) error {
	r.App, r.Event, r.Type = strings.ToLower(r.App), strings.ToLower(r.Event), strings.ToLower(r.Type)
	e := m.methods[r.Method]
	if e == nil {
		e = &method{}
		m.methods[r.Method] = e
	}
	for i := range e.rows {
		if e.rows[i].selects(&r) && (e.rows[i].Who == r.Who || e.rows[i].Who == Anyone || r.Who == Anyone) {
			return fault.New(fault.Exists, "sipmux.New", "two routes serve the same request").About(r.name())
		}
	}
	e.rows = append(e.rows, r)
	slices.SortStableFunc(e.rows, func(a, b Route) int { return cmp.Compare(b.special(), a.special()) })
	e.apps = e.apps || r.App != ""
	e.events = e.events || r.Event != ""
	e.types = e.types || r.Type != ""
	e.open = e.open || r.Event == "" && r.Type == ""
	return nil
}

// selects reports whether the rows are for the same requests.
func (r *Route) selects(other *Route) bool {
	return r.App == other.App && r.Event == other.Event && r.Type == other.Type
}

// special counts how much of the request the row names. The application comes first.
func (r *Route) special() (n int) {
	if r.App != "" {
		n += 4
	}
	if r.Event != "" {
		n += 2
	}
	if r.Type != "" {
		n++
	}
	return n
}

// summarise makes the header values that describe the table.
func (m *Mux) summarise() {
	methods := map[string]bool{"CANCEL": true, "OPTIONS": true}
	events, types := map[string]bool{}, map[string]bool{}
	for name, e := range m.methods {
		methods[name] = true
		for i := range e.rows {
			if ev := e.rows[i].Event; ev != "" && (name == "SUBSCRIBE" || name == "PUBLISH") {
				events[ev] = true
			}
			if t := e.rows[i].Type; t != "" {
				types[t] = true
			}
		}
	}
	m.allow, m.events, m.types = joined(methods, ", "), joined(events, ","), joined(types, ", ")
}

func joined(set map[string]bool, sep string) string {
	var out []string
	for s := range set {
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, sep)
}

// Serve handles a request of siptrans.
func (m *Mux) Serve(ctx context.Context, tx *siptrans.ServerTx) {
	r := &Request{Message: tx.Req(), Tx: tx, Conn: tx.Conn(), Now: m.cfg.Now()}
	res, err := m.serve(ctx, r)
	if err != nil {
		res = m.failure(r, err)
	}
	if res == nil || r.Method == "ACK" {
		return
	}
	tx.Respond(res)
}

func (m *Mux) serve(ctx context.Context, r *Request) (*sip.Message, error) {
	if m.cfg.Peer != nil {
		if r.Peer = m.cfg.Peer(r.Conn); r.Peer != "" && r.Get("Route") != "" && m.cfg.Relay(r) {
			return nil, nil
		}
	}
	if res := m.unsupported(r); res != nil {
		return res, nil
	}
	rows, res := m.find(r)
	if res != nil {
		return res, nil
	}
	r.Endpoint = endpoint(r.Message)
	row, res, err := m.admit(ctx, r, rows)
	if res != nil || err != nil {
		return res, err
	}
	if r.Role != Anyone || m.cfg.Auth == nil {
		r.Conn.Trust()
	}
	if !row.Quick {
		r.Tx.Uncork()
	}
	return row.Serve(ctx, r)
}

// admit picks the row for the caller and has the caller prove it.
func (m *Mux) admit(ctx context.Context, r *Request, rows []Route) (*Route, *sip.Message, error) {
	for i := range rows {
		if rows[i].Who == Anyone {
			return &rows[i], nil, nil
		}
	}
	if m.cfg.Auth == nil {
		return nil, nil, fault.New(fault.Forbidden, "sipmux.admit", "nobody can sign in here")
	}
	r.Need = rows[0].Who
	res, err := m.cfg.Auth.Authenticate(ctx, r)
	if res != nil || err != nil {
		return nil, res, err
	}
	if r.Role == Anyone && r.User != "" {
		r.Role = User
	}
	for i := range rows {
		if rows[i].Who == r.Role {
			return &rows[i], nil, nil
		}
	}
	for i := range rows {
		if rows[i].Who == User && rows[i].Asserted && r.Role == Server {
			if r.User = asserted(r.Message); r.User != "" {
				return &rows[i], nil, nil
			}
		}
	}
	return nil, nil, fault.Newf(fault.Forbidden, "sipmux.admit", "this request is for a %s, the caller is %s", r.Need, r.Role)
}

// asserted is the user whom the server that sent m has authenticated, "" for nobody.
func asserted(m *sip.Message) uc.UserURI {
	for item := range sip.Split(m.Get("P-Asserted-Identity")) {
		a, err := sip.ParseAddr(item)
		if err != nil {
			return ""
		}
		if user, err := uc.ParseUserURI(a.URI); err == nil {
			return user
		}
	}
	return ""
}

// app is the application of ours that a request URI names: the first part of an
// opaque parameter that begins with "app:", or the second of a user that begins with
// "app.", for clients that cut off parameters; "" for none.
func app(uri string) string {
	_, rest, ok := strings.Cut(uri, ";opaque=app:")
	if !ok {
		_, user, _ := strings.Cut(uri, ":")
		if rest, ok = strings.CutPrefix(user, "app."); !ok {
			return ""
		}
	}
	if i := strings.IndexAny(rest, ":;?.@"); i >= 0 {
		rest = rest[:i]
	}
	return strings.ToLower(rest)
}

// endpoint names the device of the sender.
func endpoint(m *sip.Message) uc.EndpointID {
	if id, ok := param(m.Get("From"), "epid"); ok {
		return uc.EndpointID(id)
	}
	if id, ok := param(m.Get("Contact"), "+sip.instance"); ok {
		return uc.EndpointID(strings.Trim(id, `"<>`))
	}
	return ""
}

// param finds a header parameter behind the angle bracket without parsing the rest.
func param(v, name string) (string, bool) {
	if i := strings.IndexByte(v, '>'); i >= 0 {
		v = v[i+1:]
	}
	for v != "" {
		var p string
		_, v, _ = strings.Cut(v, ";")
		p, _, _ = strings.Cut(v, ";")
		n, value, ok := strings.Cut(p, "=")
		if ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
