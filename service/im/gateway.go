package im

import (
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sdp"
	"trivet/wire/sip"
)

// gateway lets Lync clients, which chat in sessions, write to people whose
// devices know only page mode (RFC 3428). It takes the session's place: INVITE is
// answered here, each MESSAGE in the session goes out as a page to every device
// of the other person, and the first device that takes it makes the delivery
// report. The way back needs no gateway, since Lync clients show pages.
//
// A session is memory of this process only: a restart loses it, the client gets
// 481 and opens a new one with its next message.
type gateway struct {
	layer *siptrans.Layer
	host  string // address of our Contact and SDP
	port  int

	mu       sync.Mutex
	sessions map[sessionKey]*session
	perConn  map[*siptrans.Conn]map[sessionKey]*session
}

// maxSessions bounds the sessions of one connection.
const maxSessions = 256

// sessionKey finds a session. The local tag is ours and random, which matters
// because two Lync clients may use the same Call-ID and tags.
type sessionKey struct{ call, tag string }

type session struct {
	key      sessionKey
	from, to uc.UserURI
	uri      string // that was called: of the other person, or of one device
	fromTag  string // of our pages, so that a phone shows them as one chat
	conn     *siptrans.Conn
}

func newGateway(layer *siptrans.Layer, host string, port int) *gateway {
	return &gateway{layer: layer, host: host, port: port, sessions: map[sessionKey]*session{}, perConn: map[*siptrans.Conn]map[sessionKey]*session{}}
}

// accepts are the content types that a session through the gateway takes.
var accepts = []string{"text/plain", "text/html", presdoc.TypeIsComposing}

// allowed are the methods within a session.
const allowed = "INVITE, ACK, BYE, CANCEL, MESSAGE, INFO"

// open answers an IM INVITE from a Lync client in place of to. What the session
// keeps is copied, or it would keep the whole message.
func (g *gateway) open(r *sipmux.Request, to uc.UserURI) (*sip.Message, error) {
	s := &session{
		key:  sessionKey{strings.Clone(r.CallID()), r.Tx.Tag()},
		from: uc.UserURI(strings.Clone(string(r.User))), to: uc.UserURI(strings.Clone(string(to))), uri: strings.Clone(r.RequestURI),
		fromTag: rand.Text()[:12], conn: r.Conn,
	}
	if err := g.add(s); err != nil {
		return nil, err
	}
	return g.accept(r), nil
}

// accept answers the INVITE that opens or refreshes a session.
func (g *gateway) accept(r *sipmux.Request) *sip.Message {
	res := r.Reply(200, "")
	contact := sip.Addr{URI: sip.URI{Scheme: "sip", Host: g.host, Port: g.port, Params: sip.Params{{Name: "transport", Value: r.Conn.Transport(), HasValue: true}}}.String()}
	res.Add("Contact", contact.String())
	res.Add("Allow", allowed)
	res.Add("Content-Type", "application/sdp")
	res.Body = sdp.AppendIM(nil, g.host, g.port, accepts...)
	return res
}

func (g *gateway) add(s *session) error {
	first, err := g.enter(s)
	if first { // outside of the lock: when the connection is gone, lost runs at once
		s.conn.OnClose(func() { g.lost(s.conn) })
	}
	return err
}

// enter reports whether the connection had no session before.
func (g *gateway) enter(s *session) (first bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	own, known := g.perConn[s.conn]
	if len(own) >= maxSessions {
		return false, fault.Newf(fault.Limit, "im.gateway", "more than %d chats from one device; close some", maxSessions)
	}
	if !known { // kept when empty: the end of the connection is watched once
		own = map[sessionKey]*session{}
		g.perConn[s.conn] = own
	}
	own[s.key] = s
	g.sessions[s.key] = s
	return !known, nil
}

// find returns the session an in-dialog request belongs to, nil if none.
func (g *gateway) find(m *sip.Message) *session {
	to, err := m.To()
	if err != nil || to.Tag() == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sessions[sessionKey{m.CallID(), to.Tag()}]
}

func (g *gateway) end(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions[s.key] == s {
		delete(g.sessions, s.key)
		delete(g.perConn[s.conn], s.key)
	}
}

// lost forgets every session of a connection that is gone.
func (g *gateway) lost(c *siptrans.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k := range g.perConn[c] {
		delete(g.sessions, k)
	}
	delete(g.perConn, c)
}

// inSession handles what a Lync client sends in a session of the gateway.
func (g *gateway) inSession(r *sipmux.Request, s *session, to []sipproxy.Target) (*sip.Message, error) {
	switch r.Method {
	case "BYE":
		g.end(s)
		return r.Reply(200, ""), nil
	case "INVITE": // a refresh
		if len(r.Body) > 0 && !isIM(r.Message) {
			return nil, fault.New(fault.Unsupported, "im.inSession", "the devices of the other person take text only; call them in a session of its own")
		}
		return g.accept(r), nil
	case "INFO":
		if body, ok := typing(r.Message); ok {
			g.page(s, to, presdoc.TypeIsComposing, body, func(*sip.Message, error) {})
		}
		return r.Reply(200, ""), nil
	case "MESSAGE":
		g.page(s, to, plainType(r.Get("Content-Type")), r.Body, func(res *sip.Message, err error) {
			r.Tx.Respond(report(r, res, err))
		})
		return nil, nil
	}
	res := r.Reply(405, "")
	res.Add("Allow", allowed)
	return res, nil
}

// typing translates the Lync notice of a keyboard into RFC 3994.
func typing(m *sip.Message) ([]byte, bool) {
	active, err := presdoc.ParseKeyboardActivity(m.Body)
	if err != nil {
		return nil, false
	}
	return presdoc.Composing{Active: active}.Append(nil), true
}

// plainType drops the Lync formatting parameter of a content type.
func plainType(s string) string {
	kept, rest, _ := strings.Cut(s, ";")
	for rest != "" {
		var p string
		p, rest, _ = strings.Cut(rest, ";")
		if name, _, _ := strings.Cut(strings.TrimSpace(p), "="); !strings.EqualFold(strings.TrimSpace(name), "msgr") && name != "" {
			kept += ";" + strings.TrimSpace(p)
		}
	}
	return kept
}

// report answers the client's MESSAGE with what became of the page.
func report(r *sipmux.Request, res *sip.Message, err error) *sip.Message {
	switch {
	case err != nil && fault.Is(err, fault.Timeout):
		return r.Reply(408, "")
	case err != nil, res.Status/100 == 3, res.Status == 401, res.Status == 407: // a device's wish to us is no news for the client
		return r.Reply(480, "")
	}
	return r.Reply(res.Status, res.Reason)
}

// page sends one MESSAGE to every device. done is called once: with the first
// 2xx, or when all have failed with the last failure.
func (g *gateway) page(s *session, to []sipproxy.Target, contentType string, body []byte, done func(*sip.Message, error)) {
	if len(to) == 0 {
		done(nil, fault.New(fault.Unavailable, "im.page", "the recipient is not signed in").About(string(s.to)))
		return
	}
	var once sync.Once
	var left atomic.Int32
	left.Store(int32(len(to)))
	call := rand.Text()
	for i := range to {
		g.layer.Request(to[i].Conn, pageTo(s, &to[i], call, contentType, body), func(res *sip.Message, err error) {
			if res != nil && res.Status < 200 {
				return
			}
			if last := left.Add(-1) == 0; last || res != nil && res.Status < 300 {
				once.Do(func() { done(res, err) })
			}
		})
	}
}

func pageTo(s *session, to *sipproxy.Target, call, contentType string, body []byte) *sip.Message {
	m := sip.NewRequest("MESSAGE", to.URI)
	for _, route := range to.Route {
		m.Add("Route", route)
	}
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+string(s.from)+">;tag="+s.fromTag)
	m.Add("To", "<"+string(s.to)+">")
	m.Add("Call-ID", call)
	m.Add("CSeq", "1 MESSAGE")
	m.Add("Content-Type", contentType)
	m.Body = body
	return m
}
