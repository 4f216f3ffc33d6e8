// Package sipproxy is the stateful proxy core of RFC 3261 16 over the connections
// of siptrans: it forks a request to several targets, chooses the best answer,
// cancels the losers, keeps dialogs on their connections by Record-Route with a
// flow token (RFC 5626 5.2), and ends what a caller cannot use: Lync clients take
// one 2xx per INVITE, so further ones get ACK and BYE from here.
//
// In a pool a target may be the connection to another server with a Route that names
// the way on from there. Each server adds its own Record-Route, whose token names the
// other server, not the connection to it: a dialog outlives a broken link. What comes
// from another server with a Route of ours is passed on by Relay, and is nobody's
// request here.
//
// Targets are connections, never addresses. A Proxy is safe for concurrent use;
// nothing in it waits.
package sipproxy

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/sip"
)

// Config sets a Proxy up.
type Config struct {
	Layer *siptrans.Layer
	// Resolve finds the way to a request URI or Route that no flow token answers:
	// an address of record, a GRUU, a contact, another server. nil: nothing is found.
	Resolve func(ctx context.Context, uri string, r *sipmux.Request) ([]Target, error)
	Peers   Peers // nil: there are no other servers
}

// Peers are the ways to the other servers of the pool (link/sippeer).
type Peers interface {
	// Conn is the connection to a server, or an error at once.
	Conn(server uc.ServerFQDN) (*siptrans.Conn, error)
	// Flow is the connection that a flow token names; ok is false for no token.
	Flow(token string) (c *siptrans.Conn, ok bool)
}

// Target is one way for a request.
type Target struct {
	Conn   *siptrans.Conn
	URI    string   // request URI to put in, "" keeps it
	Route  []string // Route values to put in front
	Server bool     // not a client: the request may come back, so a loop is looked for
}

// Forward says how a request goes on.
type Forward struct {
	Targets  []Target
	Assert   uc.UserURI // P-Asserted-Identity for targets that are servers, "" for none
	Trusted  bool       // the sender's own P-Asserted-Identity is kept: it is a server of ours
	Ours     bool       // the target answers in our place: its 503 is ours (RFC 3261 16.7 has 500)
	KeepAuth bool       // credentials and signatures pass unchanged: they are for somebody behind us
	// Final, if set, sees the final response before it goes back and may change it
	// or return another. It may not block.
	Final func(res *sip.Message) *sip.Message
}

// Proxy forwards requests.
type Proxy struct {
	cfg  Config
	key  [32]byte     // of the flow tokens; they end with the process, as the connections do
	seed maphash.Seed // of the loop marks

	servers sync.Map // number of a server in tokens -> uc.ServerFQDN
}

// New makes a proxy.
func New(cfg Config) *Proxy {
	p := &Proxy{cfg: cfg, seed: maphash.MakeSeed()}
	rand.Read(p.key[:])
	return p
}

const defaultHops = "70"

// prepare applies RFC 3261 16.3 and the parts of 16.6 that all branches share to
// the request itself.
func (p *Proxy) prepare(m *sip.Message, f *Forward) error {
	switch hops := m.MaxForwards(); {
	case hops == 0:
		return fault.New(fault.Limit, "sipproxy.Forward", "the request has been forwarded too often")
	case hops > 0:
		m.Set("Max-Forwards", strconv.Itoa(hops-1))
	default:
		m.Add("Max-Forwards", defaultHops)
	}
	if !f.KeepAuth {
		m.Del("Authorization")
		m.Del("Proxy-Authorization")
		strip(m)
	}
	if !f.Trusted {
		for _, name := range claims {
			m.Del(name)
		}
	}
	return nil
}

// claims are headers in which phones look for the caller before they look at
// From; nobody has checked what is in them.
var claims = [...]string{"P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"}

// strip removes signatures that hold for one connection only.
func strip(m *sip.Message) {
	m.Del("Authentication-Info")
	m.Del("Proxy-Authentication-Info")
}

// Forward takes the transaction over: it sends the request to every target and
// answers with the best response. ACK cannot be forwarded by it; see Serve.
func (p *Proxy) Forward(tx *siptrans.ServerTx, f Forward) {
	req := tx.Req()
	looped := p.looped(req, &f)
	if err := p.prepare(req, &f); err != nil || looped {
		status := 483
		if looped {
			status = 482
		}
		tx.Respond(f.final(sip.NewResponse(req, status, "")))
		return
	}
	switch {
	case len(f.Targets) == 0:
		tx.Respond(f.final(sip.NewResponse(req, 480, "")))
	case len(f.Targets) == 1 && req.Method != "INVITE" && tx.Conn().Stream():
		p.single(tx, &f)
	default:
		p.fork(tx, f)
	}
}

func (f *Forward) final(res *sip.Message) *sip.Message {
	if f.Final != nil {
		return f.Final(res)
	}
	return res
}

// address applies what one target wants to the request.
func (p *Proxy) address(m *sip.Message, from *siptrans.Conn, t *Target, f *Forward) (params string) {
	if t.URI != "" {
		m.RequestURI = t.URI
	}
	for i := len(t.Route) - 1; i >= 0; i-- {
		m.Prepend("Route", t.Route[i])
	}
	if recorded(m.Method) {
		p.record(m, from, t.Conn)
	}
	if t.Server {
		if f.Assert != "" {
			m.Set("P-Asserted-Identity", "<"+string(f.Assert)+">")
		}
		params = loopParam + p.loopMark(m)
		if from.Peer() == "" {
			params += originParam + strconv.FormatUint(from.ID(), 10)
		}
	}
	return params
}

// originParam is the Via parameter with the connection that a request came over, for
// another server of ours: devices that do not name themselves are known by it.
const originParam = ";tv-conn="

// Origin is the number of the connection over which the server that sent m got it, 0
// if it does not say.
func Origin(m *sip.Message) uint64 {
	_, rest, _ := strings.Cut(m.Get("Via"), originParam)
	rest, _, _ = strings.Cut(rest, ";")
	n, err := strconv.ParseUint(rest, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// recorded reports whether a request may begin a dialog, or refresh its target.
func recorded(method string) bool {
	switch method {
	case "INVITE", "SUBSCRIBE", "REFER", "UPDATE", "NOTIFY":
		return true
	}
	return false
}

// relay is the fast path: a request without fork, CANCEL or second answer.
type relay struct {
	tx    *siptrans.ServerTx
	final func(*sip.Message) *sip.Message
}

// single forwards to one target without copying the request.
func (p *Proxy) single(tx *siptrans.ServerTx, f *Forward) {
	t := &f.Targets[0]
	req := tx.Req()
	params := p.address(req, tx.Conn(), t, f)
	p.cfg.Layer.Relay(tx.Batch(), t.Conn, req, params, &relay{tx, f.Final})
}

// Response sends a response back, RFC 3261 16.7.
func (r *relay) Response(b *siptrans.Batch, _ *siptrans.ClientTx, res *sip.Message, err error) {
	if err != nil {
		req := r.tx.Req()
		req.PopVia()
		res = failed(req, err)
	} else if res.Status == 100 || !back(res) {
		return
	}
	if r.final != nil && res.Status >= 200 {
		res = r.final(res)
	}
	r.tx.RespondIn(b, res)
}

// back takes our part off a response; false means that nobody is left to get it.
func back(res *sip.Message) bool {
	strip(res)
	return res.PopVia() && res.Get("Via") != ""
}

// failed is the answer for a branch that brought none.
func failed(req *sip.Message, err error) *sip.Message {
	if fault.Is(err, fault.Timeout) {
		return sip.NewResponse(req, 408, "")
	}
	if fault.Is(err, fault.Limit) {
		return sip.NewResponse(req, 513, "")
	}
	return sip.NewResponse(req, 480, "")
}

// loopParam is the Via parameter with the loop mark, RFC 3261 16.6 step 8.
const loopParam = ";tv-loop="

// loopMark stands for all that decides where the request goes.
func (p *Proxy) loopMark(m *sip.Message) string {
	var h maphash.Hash
	h.SetSeed(p.seed)
	for _, s := range [...]string{m.RequestURI, m.Get("From"), m.Get("To"), m.CallID(), m.Get("CSeq"), m.Get("Route")} {
		h.WriteString(s)
		h.WriteByte(0)
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

// looped reports whether the request has been here with the same destination. The
// mark was made after the target was chosen, so it is compared for each target.
func (p *Proxy) looped(m *sip.Message, f *Forward) bool {
	for v := range m.All("Via") {
		_, rest, found := strings.Cut(v, loopParam)
		if !found {
			continue
		}
		mark, _, _ := strings.Cut(rest, ";")
		for i := range f.Targets {
			if t := &f.Targets[i]; t.Server && mark == p.markFor(m, t) {
				return true
			}
		}
	}
	return false
}

// markFor is the mark that the request will bear on its way to t.
func (p *Proxy) markFor(m *sip.Message, t *Target) string {
	c := m.Clone()
	if t.URI != "" {
		c.RequestURI = t.URI
	}
	for i := len(t.Route) - 1; i >= 0; i-- {
		c.Prepend("Route", t.Route[i])
	}
	return p.loopMark(c)
}
