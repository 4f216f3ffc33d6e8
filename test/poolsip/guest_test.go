package poolsip

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/sip"
)

const patience = 10 * time.Second

// guest is a device of a user at one server.
type guest struct {
	t    *testing.T
	c    *sipclient.Client
	user uc.UserURI
	epid string // "" for a standard client

	device string // its instance

	answer func(*sip.Message) *sip.Message // nil: 200, with the device's Contact

	mu      sync.Mutex // guards inbox
	inbox   []*sip.Message
	arrived chan struct{}
}

// dial connects a device without signing in.
func (s *server) dial(user uc.UserURI, epid string) *guest {
	t := s.pool.t
	t.Helper()
	g := &guest{t: t, user: user, epid: epid, device: fmt.Sprint(words.Add(1)), arrived: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	if g.c, err = sipclient.Dial(ctx, sipclient.Config{Addr: s.Addr["tcp"], User: user, Handle: g.take}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.c.Close() })
	return g
}

// phone is a standard client that is signed in, lync a Lync client.
func (s *server) phone(user uc.UserURI) *guest {
	g := s.dial(user, "")
	if res := g.register(); res.Status != 200 {
		g.t.Fatalf("%s", res)
	}
	return g
}

// lync is a Lync client of a user whose group the server leads, or leads by the end.
func (s *server) lync(user uc.UserURI, epid string) *guest {
	g := s.dial(user, epid)
	lead, _ := s.Primary(user)
	s.pool.leads(user, s.name)
	defer s.pool.leads(user, lead)
	if res := g.register(); res.Status != 200 {
		g.t.Fatalf("%s", res)
	}
	return g
}

func (g *guest) register() *sip.Message {
	contact := g.c.Contact() + `;+sip.instance="<urn:uuid:` + g.device + `>"`
	extra := []string{"Contact: " + contact, "Expires: 600"}
	if g.epid != "" {
		extra = append(extra, "Event: registration", "Supported: gruu-10, msrtc-event-categories")
	}
	res, _ := g.do("REGISTER", string(g.user), call{}, extra...)
	return res
}

func (g *guest) take(m *sip.Message) *sip.Message {
	g.mu.Lock()
	g.inbox = append(g.inbox, m)
	g.mu.Unlock()
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	if m.Method == "ACK" || m.Method == "BENOTIFY" {
		return nil
	}
	if g.answer != nil {
		return g.answer(m)
	}
	return g.accept(m)
}

// accept is a 200 that begins a dialog.
func (g *guest) accept(m *sip.Message) *sip.Message {
	res := sip.NewResponse(m, 200, "")
	if to := res.Get("To"); tagOf(to) == "" {
		res.Set("To", to+";tag="+g.epid+"callee")
	}
	res.Add("Contact", g.c.Contact())
	return res
}

// await returns the first request that came and is like it.
func (g *guest) await(what string, like func(*sip.Message) bool) *sip.Message {
	g.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		g.mu.Lock()
		for i, m := range g.inbox {
			if like(m) {
				g.inbox = append(g.inbox[:i:i], g.inbox[i+1:]...)
				g.mu.Unlock()
				return m
			}
		}
		g.mu.Unlock()
		select {
		case <-g.arrived:
		case <-limit.C:
			g.t.Fatalf("%s waits for %s: nothing came but %v", g.user, what, g.inbox)
		}
	}
}

// gets waits for a request of the method whose body has the text.
func (g *guest) gets(method, text string) *sip.Message {
	g.t.Helper()
	return g.await(method+" "+text, func(m *sip.Message) bool { return m.Method == method && strings.Contains(string(m.Body), text) })
}

// silent checks that no request of the method is there.
func (g *guest) silent(method string) {
	g.t.Helper()
	g.do("OPTIONS", "sip:example.test", call{})
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.inbox {
		if m.Method == method {
			g.t.Errorf("%s gets\n%s", g.user, m)
		}
	}
}

// call is a dialog as the caller sees it.
type call struct {
	id, from, to, target string
	routes               []string
	seq                  string // of the INVITE
}

var words atomic.Uint64

// message makes a request, in a dialog of its own unless one is given.
func (g *guest) message(method, uri string, in *call, extra ...string) *sip.Message {
	m := g.c.Request(method, uc.UserURI(uri))
	if in.id == "" {
		n := fmt.Sprint(words.Add(1))
		*in = call{id: "call" + n, from: "<" + string(g.user) + ">;tag=t" + n, to: "<" + uri + ">", target: uri}
		if g.epid != "" {
			in.from += ";epid=" + g.epid
		}
	}
	m.RequestURI = in.target
	m.Set("From", in.from)
	m.Set("To", in.to)
	m.Set("Call-ID", in.id)
	m.Set("Contact", g.c.Contact())
	for _, r := range in.routes {
		m.Add("Route", r)
	}
	for i, line := range extra {
		if line == "" {
			m.Body = []byte(extra[i+1])
			break
		}
		name, value, _ := strings.Cut(line, ": ")
		m.Set(name, value)
	}
	return m
}

func (g *guest) do(method, uri string, in call, extra ...string) (*sip.Message, call) {
	g.t.Helper()
	m := g.message(method, uri, &in, extra...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := g.c.Do(ctx, m)
	if err != nil {
		g.t.Fatalf("%s of %s: %v", method, g.user, err)
	}
	if tagOf(in.to) == "" {
		in.to = res.Get("To")
		in.routes = nil
		for line := range res.All("Record-Route") {
			for v := range sip.Split(line) {
				in.routes = append([]string{v}, in.routes...)
			}
		}
	}
	if c, err := res.Contacts(); err == nil && len(c) > 0 {
		in.target = c[0].URI
	}
	in.seq, _, _ = strings.Cut(res.Get("CSeq"), " ")
	return res, in
}

// ack completes an INVITE.
func (g *guest) ack(in call) {
	g.t.Helper()
	m := g.message("ACK", "", &in)
	m.Prepend("Via", "SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKack"+fmt.Sprint(words.Add(1)))
	m.Add("CSeq", in.seq+" ACK")
	if err := g.c.Respond(m); err != nil {
		g.t.Fatal(err)
	}
}

// turned is the dialog as the one who was called sees it.
func (g *guest) turned(invite *sip.Message) call {
	contacts, err := invite.Contacts()
	if err != nil || len(contacts) == 0 {
		g.t.Fatalf("%v %s", err, invite)
	}
	in := call{id: invite.CallID(), from: invite.Get("To") + ";tag=" + g.epid + "callee", to: invite.Get("From"), target: contacts[0].URI}
	for line := range invite.All("Record-Route") {
		for v := range sip.Split(line) {
			in.routes = append(in.routes, v)
		}
	}
	return in
}
