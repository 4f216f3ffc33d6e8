package conference

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/link/sipclient"
	"trivet/link/sipmux"
	"trivet/link/sippeer"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

const (
	alice = uc.UserURI("sip:alice@example.test")
	bob   = uc.UserURI("sip:bob@example.test")
	carol = uc.UserURI("sip:carol@example.test")
	dave  = uc.UserURI("sip:dave@example.test")

	fqdn     = "fe1.example.test"
	patience = 10 * time.Second
	imOffer  = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip null\r\n"
)

// skipping is a clock that can be set on.
type skipping struct {
	clock.Real
	ahead atomic.Int64
}

func (c *skipping) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// rules are policies of the test.
type rules struct {
	conferencing policy.Conferencing
	services     policy.UserServices
}

func (r *rules) Conferencing(uc.UserURI) *policy.Conferencing { return &r.conferencing }
func (r *rules) UserServices() *policy.UserServices           { return &r.services }

// world is a server with the service and one routing group in memory.
type world struct {
	t     *testing.T
	s     *Service
	clock *skipping
	rules *rules
	host  *sipagent.Host

	mu    sync.Mutex // guards state
	state *groupstate.State
}

func (w *world) Propose(_ context.Context, _ uc.UserURI, cmd groupstate.Command) (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, events := w.state.Apply(1, groupstate.Encode(cmd))
	w.s.Observe(events)
	return r, nil
}

func (w *world) Read(_ context.Context, _ uc.UserURI, f func(*groupstate.State)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.state)
	return nil
}

func start(t *testing.T, grace time.Duration, cfg siptrans.Config) *world {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	w := &world{t: t, clock: &skipping{}, state: groupstate.New(), rules: &rules{*policy.ConferencingPolicy.Default(), *policy.UserServicesConfiguration.Default()}}
	group := life.New(context.Background(), log.Discard())
	w.host = sipagent.NewHost(cfg)
	w.s = New(Config{
		Groups: w, Link: w.host.Layer, Life: group, Clock: w.clock, FQDN: fqdn, Epoch: 1, Port: 5061, Grace: grace, Policies: w.rules,
		Locate: func(uc.UserURI) []groupstate.Binding { return nil },
		Way:    sippeer.New(sippeer.Config{Link: w.host.Layer, Server: fqdn, Epoch: 1}).Way,
	})
	t.Cleanup(func() {
		if err := group.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.host.ServeFor(t, 20*time.Millisecond, sipmux.Config{Routes: w.s.Routes(), FQDN: fqdn, Now: w.clock.Now})
	for _, u := range []uc.UserURI{alice, bob, carol, dave} {
		w.Propose(context.Background(), u, &groupstate.EnableUser{User: u, Now: 1})
	}
	return w
}

// conference makes a conference of alice and returns its address.
func (w *world) conference() string {
	w.t.Helper()
	now := w.clock.Now().UnixMilli()
	r, _ := w.Propose(context.Background(), alice, &groupstate.AddConference{Organizer: alice, Now: now, Max: 10, ID: "M1", Expires: now + 600_000, Modalities: modalities})
	if err := groupstate.Refused(r); err != nil {
		w.t.Fatal(err)
	}
	return Focus(alice, "M1")
}

// peer is a client that speaks as Lync clients do.
type peer struct {
	*world
	c     *sipclient.Client
	user  uc.UserURI
	epid  string
	mute  bool // messages are not answered
	focus string
	ctl   call
	chat  call

	mu      sync.Mutex // guards inbox
	inbox   []*sip.Message
	arrived chan struct{}
}

type call struct{ id, from, to, target string }

func (w *world) guest(user uc.UserURI, epid string) *peer {
	w.t.Helper()
	g := &peer{world: w, user: user, epid: epid, arrived: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if g.c, err = sipclient.Dial(ctx, sipclient.Config{Addr: w.host.Addr["tcp"], User: user, Handle: g.take}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { g.c.Close() })
	return g
}

func (g *peer) take(m *sip.Message) *sip.Message {
	g.mu.Lock()
	g.inbox = append(g.inbox, m)
	g.mu.Unlock()
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	if m.Method == "ACK" || m.Method == "BENOTIFY" || m.Method == "MESSAGE" && g.mute {
		return nil
	}
	return sip.NewResponse(m, 200, "")
}

func (g *peer) await(what string, like func(*sip.Message) bool) *sip.Message {
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

func (g *peer) hears(text string) {
	g.t.Helper()
	if m := g.await("a message", func(m *sip.Message) bool { return m.Method == "MESSAGE" }); string(m.Body) != text {
		g.t.Fatalf("%s hears %q, want %q", g.user, m.Body, text)
	}
}

// silent checks that nothing came that is like it. What was sent before an answer
// that the guest has is in the inbox.
func (g *peer) silent(method string) {
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

// roster waits for the news that somebody is in the conference, or not any more.
func (g *peer) roster(user uc.UserURI, there bool) {
	g.t.Helper()
	g.await(fmt.Sprint(user, " there: ", there), func(m *sip.Message) bool {
		i, err := cccp.ParseInfo(m.Body)
		if m.Method != "BENOTIFY" || err != nil {
			return false
		}
		for _, u := range i.Users {
			if u.Entity == string(user) && (u.State != cccp.Deleted) == there {
				return true
			}
		}
		return false
	})
}

var words atomic.Uint64

// do sends a request, in a dialog of its own unless one is given.
func (g *peer) do(method, uri string, in call, extra ...string) (*sip.Message, call) {
	g.t.Helper()
	m := g.c.Request(method, uc.UserURI(uri))
	if in.id == "" {
		n := fmt.Sprint(words.Add(1))
		in = call{"call" + n, "<" + string(g.user) + ">;tag=t" + n + ";epid=" + g.epid, "<" + uri + ">", uri}
		if g.epid == "" {
			in.from = strings.TrimSuffix(in.from, ";epid=")
		}
	}
	m.RequestURI = in.target
	m.Set("From", in.from)
	m.Set("To", in.to)
	m.Set("Call-ID", in.id)
	m.Set("Contact", g.c.Contact())
	for i, line := range extra {
		if line == "" {
			m.Body = []byte(extra[i+1])
			break
		}
		name, value, _ := strings.Cut(line, ": ")
		m.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := g.c.Do(ctx, m)
	if err != nil {
		g.t.Fatalf("%s of %s: %v", method, g.user, err)
	}
	in.to = res.Get("To")
	if c, err := res.Contacts(); err == nil && len(c) > 0 {
		in.target = c[0].URI
	}
	return res, in
}

// join is the addUser alone.
func (g *peer) join(focus string) *sip.Message {
	g.t.Helper()
	body := `<request xmlns="urn:ietf:params:xml:ns:cccp" requestId="1"><addUser><conferenceKeys confEntity="` + focus + `"/><user entity="` + string(g.user) +
		`"><roles><entry>attendee</entry></roles><endpoint entity="{1}"/></user></addUser></request>`
	res, d := g.do("INVITE", focus, call{}, "Content-Type: "+cccp.Type, "", body)
	g.focus, g.ctl = focus, d
	return res
}

// enter joins with focus, roster and messages.
func (g *peer) enter(focus string) *peer {
	g.t.Helper()
	for _, step := range []func() *sip.Message{
		func() *sip.Message { return g.join(focus) },
		func() *sip.Message {
			res, _ := g.do("SUBSCRIBE", focus, call{}, "Event: conference", "Expires: 3600", "Supported: ms-benotify, ms-piggyback-first-notify")
			return res
		},
		func() *sip.Message {
			res, d := g.do("INVITE", strings.Replace(focus, ":focus:", ":chat:", 1), call{}, "Content-Type: application/sdp", "", imOffer)
			g.chat = d
			return res
		},
	} {
		if res := step(); res.Status != 200 {
			g.t.Fatalf("%s joins\n%s", g.user, res)
		}
	}
	return g
}

func (g *peer) say(text string) *sip.Message {
	g.t.Helper()
	res, _ := g.do("MESSAGE", "", g.chat, "Content-Type: text/plain", "", text)
	return res
}

// sizes are the entries of the service's tables.
func (w *world) sizes() (foci, sessions, seats int) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return len(w.s.foci), len(w.s.sessions), len(w.s.seats)
}

// empty waits until nothing is left of any conference.
func (w *world) empty() {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); ; <-tick.C {
		a, b, c := w.sizes()
		if a+b+c == 0 {
			return
		}
		if time.Now().After(limit) {
			w.t.Fatalf("%d foci, %d sessions, %d seats are left", a, b, c)
		}
	}
}
