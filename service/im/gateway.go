package im

import (
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
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
	perConn  map[*siptrans.Conn]int
}

// maxSessions bounds the sessions of one connection.
const maxSessions = 256

// sessionKey finds a session. The local tag is ours and random, which matters
// because two Lync clients may use the same Call-ID and tags.
type sessionKey struct{ call, tag string }

type session struct {
	key      sessionKey
	from, to uc.UserURI
	fromTag  string // of our pages, so that a phone shows them as one chat
	conn     *siptrans.Conn
}

func newGateway(layer *siptrans.Layer, host string, port int) *gateway {
	return &gateway{layer: layer, host: host, port: port, sessions: map[sessionKey]*session{}, perConn: map[*siptrans.Conn]int{}}
}

// accepts are the content types that a session through the gateway takes.
var accepts = []string{"text/plain", "text/html", "application/im-iscomposing+xml"}

// open answers an IM INVITE from a Lync client in place of to.
func (g *gateway) open(r *sipmux.Request, to uc.UserURI) (*sip.Message, error) {
	s := &session{key: sessionKey{r.CallID(), r.Tx.Tag()}, from: r.User, to: to, fromTag: rand.Text()[:12], conn: r.Conn}
	if err := g.add(s); err != nil {
		return nil, err
	}
	res := r.Reply(200, "")
	contact := sip.Addr{URI: sip.URI{Scheme: "sip", Host: g.host, Port: g.port, Params: sip.Params{{Name: "transport", Value: r.Conn.Transport(), HasValue: true}}}.String()}
	res.Add("Contact", contact.String())
	res.Add("Allow", "INVITE, ACK, BYE, CANCEL, MESSAGE, INFO")
	res.Add("Content-Type", "application/sdp")
	res.Body = sdp.AppendIM(nil, g.host, g.port, accepts...)
	return res, nil
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
	n, known := g.perConn[s.conn]
	if n >= maxSessions {
		return false, fault.Newf(fault.Limit, "im.gateway", "more than %d chats from one device; close some", maxSessions)
	}
	g.perConn[s.conn] = n + 1 // kept at 0: the end of the connection is watched once
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
		g.perConn[s.conn]--
	}
}

// lost forgets every session of a connection that is gone.
func (g *gateway) lost(c *siptrans.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.perConn, c)
	for k, s := range g.sessions {
		if s.conn == c {
			delete(g.sessions, k)
		}
	}
}

// inSession handles what a Lync client sends in a session of the gateway.
func (g *gateway) inSession(r *sipmux.Request, s *session, to []groupstate.Binding) (*sip.Message, error) {
	switch r.Method {
	case "ACK":
		return nil, nil
	case "BYE":
		g.end(s)
		return r.Reply(200, ""), nil
	case "INVITE": // a refresh
		res := r.Reply(200, "")
		res.Add("Content-Type", "application/sdp")
		res.Body = sdp.AppendIM(nil, g.host, g.port, accepts...)
		return res, nil
	case "INFO":
		if body, ok := typing(r.Message); ok {
			g.page(s, to, "application/im-iscomposing+xml", body, func(*sip.Message, error) {})
		}
		return r.Reply(200, ""), nil
	case "MESSAGE":
		g.page(s, to, plainType(r.Get("Content-Type")), r.Body, func(res *sip.Message, err error) {
			r.Tx.Respond(report(r, res, err))
		})
		return nil, nil
	}
	return r.Reply(200, ""), nil
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
		if name, _, _ := strings.Cut(strings.TrimSpace(p), "="); !strings.EqualFold(name, "msgr") && name != "" {
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
	case err != nil:
		return r.Reply(480, "")
	}
	return r.Reply(res.Status, res.Reason)
}

// page sends one MESSAGE to every device. done is called once: with the first
// 2xx, or when all have failed with the last failure.
func (g *gateway) page(s *session, to []groupstate.Binding, contentType string, body []byte, done func(*sip.Message, error)) {
	var once sync.Once
	var left atomic.Int32
	conns := make([]*siptrans.Conn, len(to))
	for i := range to {
		if conns[i] = g.layer.Conn(to[i].Flow.Conn); conns[i] != nil {
			left.Add(1)
		}
	}
	if left.Load() == 0 {
		done(nil, fault.New(fault.Unavailable, "im.page", "the recipient is not signed in").About(string(s.to)))
		return
	}
	call := rand.Text()
	for i, c := range conns {
		if c == nil {
			continue
		}
		g.layer.Request(c, pageTo(s, to[i].Contact, call, contentType, body), func(res *sip.Message, err error) {
			if res != nil && res.Status < 200 {
				return
			}
			if last := left.Add(-1) == 0; last || res != nil && res.Status < 300 {
				once.Do(func() { done(res, err) })
			}
		})
	}
}

func pageTo(s *session, contact, call, contentType string, body []byte) *sip.Message {
	m := sip.NewRequest("MESSAGE", contact)
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+string(s.from)+">;tag="+s.fromTag)
	m.Add("To", "<"+string(s.to)+">")
	m.Add("Call-ID", call)
	m.Add("CSeq", "1 MESSAGE")
	m.Add("Content-Type", contentType)
	m.Body = body
	return m
}
