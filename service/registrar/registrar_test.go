package registrar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

const alice, bob = uc.UserURI("sip:alice@example.test"), uc.UserURI("sip:bob@example.test")

// group is a routing group of one server, without a log.
type group struct {
	mu      sync.Mutex
	state   *groupstate.State
	observe func(uint64, []any)
	fail    error // what Propose answers
	second  bool  // another server leads the group
}

func (g *group) Propose(_ context.Context, cmd groupstate.Command) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		return nil, g.fail
	}
	r, events := g.state.Apply(1, groupstate.Encode(cmd))
	if g.observe != nil {
		g.observe(1, events)
	}
	return r, nil
}

func (g *group) Read(_ context.Context, f func(*groupstate.State)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g.state)
	return nil
}

func (g *group) Primary() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.second
}

func (g *group) lead(yes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.second = !yes
}

type groups struct{ *group }

func (g groups) Propose(ctx context.Context, _ uc.UserURI, cmd groupstate.Command) (any, error) {
	return g.group.Propose(ctx, cmd)
}
func (g groups) Read(ctx context.Context, _ uc.UserURI, f func(*groupstate.State)) error {
	return g.group.Read(ctx, f)
}

// hands is a clock that is moved by hand.
type hands struct {
	mu     sync.Mutex
	now    time.Time
	ticks  []chan time.Time
	alarms []*alarm
}

type alarm struct {
	h  *hands
	at time.Time
	f  func()
}

func (a *alarm) Stop() bool {
	a.h.mu.Lock()
	defer a.h.mu.Unlock()
	was := a.f != nil
	a.f = nil
	return was
}
func (a *alarm) Reset(time.Duration) bool { return false }

type ticks chan time.Time

func (t ticks) C() <-chan time.Time { return t }
func (t ticks) Stop()               {}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) AfterFunc(d time.Duration, f func()) clock.Timer {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := &alarm{h, h.now.Add(d), f}
	h.alarms = append(h.alarms, a)
	return a
}

func (h *hands) NewTicker(time.Duration) clock.Ticker {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan time.Time, 1)
	h.ticks = append(h.ticks, c)
	return ticks(c)
}

func (h *hands) forward(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	var due []func()
	for _, a := range h.alarms {
		if a.f != nil && !a.at.After(h.now) {
			due = append(due, a.f)
			a.f = nil
		}
	}
	for _, c := range h.ticks {
		select {
		case c <- h.now:
		default:
		}
	}
	h.mu.Unlock()
	for _, f := range due {
		f()
	}
}

type server struct {
	t     *testing.T
	r     *Registrar
	g     *group
	clock *hands
	host  *sipagent.Host
}

func start(t *testing.T, change func(*Config)) *server {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	l := life.New(t.Context(), slog.New(slog.DiscardHandler))
	s := &server{t: t, g: &group{state: groupstate.New()}, clock: &hands{now: time.Unix(1_800_000_000, 0)}, host: sipagent.NewHost(siptrans.Config{})}
	for _, u := range []uc.UserURI{alice, bob} {
		s.g.state.Apply(1, groupstate.Encode(&groupstate.EnableUser{User: u}))
	}
	cfg := Config{Groups: groups{s.g}, Link: s.host.Layer, Life: l, Clock: s.clock, FQDN: "fe1.example.test", Epoch: 7, Describe: func(m *sip.Message) { s.host.Mux.Describe(m) }}
	if change != nil {
		change(&cfg)
	}
	s.r = New(cfg)
	s.g.observe = s.r.Observe
	t.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.host.Serve(t, sipmux.Config{Routes: s.r.Routes(), FQDN: "fe1.example.test", Now: s.clock.Now})
	if err := s.r.Adopt(t.Context(), s.g); err != nil {
		t.Fatal(err)
	}
	return s
}

// client is one connection.
type client struct {
	*server
	*sipagent.Agent
}

func (s *server) dial() client {
	s.t.Helper()
	return client{s, s.host.Dial(s.t, "tcp")}
}

// ask sends a request made of a start line and headers and reads the answer.
func (c client) ask(start string, headers ...string) *sip.Message {
	c.Ask(start, "", headers...)
	return c.Recv()
}

const instance = "urn:uuid:0e324752-2f51-5a0d-8a8c-1a2b3c4d5e6f"

func lync(epid string, more ...string) []string {
	return append([]string{"From: <sip:alice@example.test>;tag=1;epid=" + epid, "To: <sip:alice@example.test>", "Call-ID: call-" + epid,
		`Contact: <sip:127.0.0.1:40718;transport=tls;ms-opaque=d3470f2e1d>;methods="INVITE, MESSAGE, INFO";proxy=replace;+sip.instance="<` + instance + `>"`,
		"Supported: gruu-10, adhoclist, msrtc-event-categories, com.microsoft.msrtc.presence", "Event: registration", "Allow-Events: presence",
		"ms-keep-alive: UAC;hop-hop=yes"}, more...)
}

func standard(who uc.UserURI, more ...string) []string {
	return append([]string{"From: <" + string(who) + ">;tag=1", "To: <" + string(who) + ">", "Call-ID: call-" + string(who)}, more...)
}

func TestLyncSignIn(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	for range 2 { // every refresh has all of it again
		res := sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("abb2cb12b77f")...), 200)
		for name, want := range map[string]string{
			"Expires": "7200", "ms-keep-alive": keepAlive, "Server": "RTC/5.0", "Allow-Events": lyncEvents,
		} {
			if got := res.Get(name); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		if got := slices.Collect(res.All("Supported")); !slices.Equal(got, []string{"adhoclist", "msrtc-event-categories"}) {
			t.Errorf("Supported lines: %q", got)
		}
		want := `<sip:127.0.0.1:40718;transport=tls;ms-opaque=d3470f2e1d>;expires=7200;proxy=replace;+sip.instance="<` + instance +
			`>";gruu="sip:alice@example.test;opaque=user:epid:DjJHUi9RWg2KjBorPE1ebwAA;gruu"`
		if got := res.Get("Contact"); got != want {
			t.Errorf("Contact: %s\nwant %s", got, want)
		}
	}
	at := s.r.Locate(alice)
	if len(at) != 1 || at[0].Endpoint != "abb2cb12b77f" || !at[0].Lync || at[0].Methods != "INVITE, MESSAGE, INFO" || at[0].Flow.Epoch != 7 {
		t.Fatalf("located: %+v", at)
	}
	if b := ByGRUU(at, "sip:alice@example.test;gruu;opaque=user:epid:DjJHUi9RWg2KjBorPE1ebwAA"); b == nil {
		t.Error("the GRUU does not find the endpoint")
	}
	if ByGRUU(at, "sip:alice@example.test;opaque=user:epid:other;gruu") != nil || ByGRUU(at, string(alice)) != nil {
		t.Error("another URI found the endpoint")
	}
	res := sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("abb2cb12b77f", "Expires: 0")...), 200)
	if res.Get("Expires") != "0" || len(s.r.Locate(alice)) != 0 {
		t.Errorf("sign-out: Expires %s, located %+v", res.Get("Expires"), s.r.Locate(alice))
	}
}

func TestLyncRefusals(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Policy = func() *policy.Registrar {
			p := *policy.RegistrarConfiguration.Default()
			p.MaxEndpointsPerUser = 1
			return &p
		}
	})
	c := s.dial()
	without := func(prefix string) []string {
		return slices.DeleteFunc(lync("e1"), func(h string) bool { return strings.HasPrefix(h, prefix) })
	}
	nameless := append(slices.DeleteFunc(without("Contact"), func(h string) bool { return strings.HasPrefix(h, "From") }),
		"From: <sip:alice@example.test>;tag=1", "Contact: <sip:127.0.0.1>")
	for name, tc := range map[string]struct {
		headers []string
		status  int
		diag    string
	}{
		"wrong event":        {append(without("Event"), "Event: presence"), 489, "4055;"},
		"no endpoint":        {nameless, 400, "4010;"},
		"no gruu":            {append(without("Supported"), "Supported: msrtc-event-categories"), 421, "2057;"},
		"for somebody else":  {append(without("To"), "To: <sip:bob@example.test>"), 403, "4004;"},
		"no contact":         {without("Contact"), 400, "1018;"},
		"brief":              {lync("e1", "Expires: 5"), 423, ""},
		"a second, too many": {lync("e2"), 403, "4006;"},
	} {
		if name == "a second, too many" {
			sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
		}
		res := c.ask("REGISTER sip:example.test", tc.headers...)
		if res.Status != tc.status || !strings.HasPrefix(res.Get("ms-diagnostics"), tc.diag) {
			t.Errorf("%s: %d %s, want %d %s", name, res.Status, res.Get("ms-diagnostics"), tc.status, tc.diag)
		}
		if tc.status == 423 && res.Get("Min-Expires") != "60" {
			t.Errorf("Min-Expires: %s", res.Get("Min-Expires"))
		}
		sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1", "Expires: 0")...), 200)
	}
	s.g.Propose(t.Context(), &groupstate.DisableUser{User: alice})
	if res := c.ask("REGISTER sip:example.test", lync("e1")...); res.Status != 403 || !strings.HasPrefix(res.Get("ms-diagnostics-public"), "4141;") {
		t.Errorf("disabled: %s", res)
	}
	s.g.Propose(t.Context(), &groupstate.RemoveUser{User: alice})
	if res := c.ask("REGISTER sip:example.test", lync("e1")...); res.Status != 404 {
		t.Errorf("removed: %s", res)
	}
}

func TestStandardRegistration(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	reg := func(more ...string) *sip.Message {
		t.Helper()
		return c.ask("REGISTER sip:example.test", standard(bob, more...)...)
	}
	if res := sipagent.Status(t, reg(), 200); res.Get("Contact") != "" {
		t.Errorf("query of nothing: %s", res)
	}
	sipagent.Status(t, reg("Contact: <sip:bob@192.0.2.1;transport=tcp>;q=0.25, <sip:bob@192.0.2.2>;expires=120", "Expires: 100000"), 200)
	res := sipagent.Status(t, reg(), 200)
	want := []string{"<sip:bob@192.0.2.1;transport=tcp>;expires=28800;q=0.250", "<sip:bob@192.0.2.2>;expires=120"}
	if got := slices.Collect(res.All("Contact")); !slices.Equal(got, want) {
		t.Errorf("contacts: %q\nwant %q", got, want)
	}
	sipagent.Status(t, reg("Contact: <sip:bob@192.0.2.2>;expires=0"), 200)
	if len(s.r.Locate(bob)) != 1 {
		t.Errorf("after one removal: %+v", s.r.Locate(bob))
	}
	sipagent.Status(t, reg("Contact: *"), 400)
	sipagent.Status(t, reg("Contact: *, <sip:bob@192.0.2.2>", "Expires: 0"), 400)
	sipagent.Status(t, reg("Contact: <sip:bob@192.0.2.2>;expires=59"), 423)
	sipagent.Status(t, reg("Contact: <sip:bob@>"), 400)
	c.Seq -= 4
	sipagent.Status(t, reg("Contact: <sip:bob@192.0.2.1;transport=tcp>"), 200)
	c.Seq -= 2
	sipagent.Status(t, reg("Contact: <sip:bob@192.0.2.1;transport=tcp>"), 500)
	c.Seq += 9
	sipagent.Status(t, reg("Contact: *", "Expires: 0"), 200)
	if users, endpoints := s.r.Count(); users != 0 || endpoints != 0 {
		t.Errorf("left: %d users, %d endpoints", users, endpoints)
	}
}

func TestGRUUOutboundAndPath(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	flow := func(id string) string {
		return `Contact: <sip:bob@192.0.2.1;transport=tcp>;+sip.instance="<` + instance + `>";reg-id=` + id
	}
	res := sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, flow("1"), "Supported: gruu, outbound, path", "Path: <sip:edge.example.test;lr>")...), 200)
	want := `<sip:bob@192.0.2.1;transport=tcp>;expires=3600;+sip.instance="<` + instance + `>";reg-id=1;pub-gruu="sip:bob@example.test;gr=` + instance + `"`
	if res.Get("Contact") != want || res.Get("Require") != "outbound" || res.Get("Path") != "<sip:edge.example.test;lr>" {
		t.Errorf("got %s", res)
	}
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, flow("2"))...), 200)
	if at := s.r.Locate(bob); len(at) != 2 || at[0].Path != "<sip:edge.example.test;lr>" || ByGRUU(at, string(bob)+";gr="+instance) == nil {
		t.Errorf("two flows: %+v", at)
	}
}

func TestLostConnection(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
	s.g.mu.Lock()
	s.g.fail = io.ErrUnexpectedEOF // the group is away for a moment
	s.g.mu.Unlock()
	c.Close()
	sipagent.Await(s.t, "a retry", func() bool { s.clock.mu.Lock(); defer s.clock.mu.Unlock(); return len(s.clock.alarms) > 0 })
	s.g.mu.Lock()
	s.g.fail = nil
	s.g.mu.Unlock()
	s.clock.forward(lostPause)
	sipagent.Await(s.t, "the detachment", func() bool { at := s.r.Locate(alice); return len(at) == 1 && at[0].Detached })

	again := s.dial() // it comes back in time
	sipagent.Status(t, again.ask("REGISTER sip:example.test", lync("e1")...), 200)
	s.clock.forward(30 * time.Second)
	if at := s.r.Locate(alice); len(at) != 1 || at[0].Detached {
		t.Errorf("came back: %+v", at)
	}
	again.Close()
	sipagent.Await(s.t, "the detachment", func() bool { at := s.r.Locate(alice); return len(at) == 1 && at[0].Detached })
	s.clock.forward(21 * time.Second)
	sipagent.Await(s.t, "the sweep", func() bool { return len(s.r.Locate(alice)) == 0 })
}

func TestNewerConnectionEndsTheOlder(t *testing.T) {
	s := start(t, nil)
	old, young := s.dial(), s.dial()
	sipagent.Status(t, old.ask("REGISTER sip:example.test", lync("e1")...), 200)
	sipagent.Status(t, young.ask("REGISTER sip:example.test", lync("e1")...), 200)
	if m, err := old.Next(); err == nil {
		t.Errorf("the old connection got %s", m)
	}
	if at := s.r.Locate(alice); len(at) != 1 || at[0].Detached {
		t.Errorf("located: %+v", at)
	}
}

// unbind signs alice out, or one of her endpoints.
func (s *server) unbind(id uc.EndpointID) {
	s.t.Helper()
	v, err := s.g.Propose(s.t.Context(), &groupstate.Unbind{User: alice, Endpoint: id, Now: s.clock.Now().UnixMilli(), Reason: groupstate.AttributesChanged})
	if err := errors.Join(err, groupstate.Refused(v)); err != nil {
		s.t.Fatal(err)
	}
}

func TestForcedSignOut(t *testing.T) {
	for name, tc := range map[string]struct {
		how        func(s *server)
		word, diag string
	}{
		"signed out": {func(s *server) { s.unbind("") }, "unregistered", "4140;"},
		"disabled":   {func(s *server) { s.g.Propose(t.Context(), &groupstate.DisableUser{User: alice}) }, "rejected", "4141;"},
		"removed":    {func(s *server) { s.g.Propose(t.Context(), &groupstate.RemoveUser{User: alice}) }, "rejected", "4141;"},
		"renamed": {func(s *server) {
			s.g.Propose(t.Context(), &groupstate.RenameUser{User: alice, To: "sip:alice.may@example.test"})
		}, "unregistered", "4140;"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			c, phone := s.dial(), s.dial()
			sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
			sipagent.Status(t, phone.ask("REGISTER sip:example.test", standard(alice, "Contact: <sip:alice@192.0.2.1>")...), 200)
			tc.how(s)
			m := c.Recv()
			if m.Method != "NOTIFY" || m.Event() != "registration-notify" || string(m.Body) != "deregistered;event="+tc.word ||
				!strings.HasPrefix(m.Get("ms-diagnostics-public"), tc.diag) || m.Get("subscription-state") != "terminated;expires=0" {
				t.Errorf("got %s", m)
			}
			fmt.Fprint(c, sip.NewResponse(m, 200, "").String())
			for _, end := range []client{c, phone} {
				if m, err := end.Next(); err == nil {
					t.Errorf("the connection goes on with %s", m)
				}
			}
			if at, err := s.r.Endpoints(t.Context(), alice); err != nil || len(at) != 0 {
				t.Errorf("still registered: %v %v", at, err)
			}
		})
	}
}

func TestSilentClientIsSignedOutAnyway(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
	s.unbind("e1")
	c.Recv()
	s.clock.forward(5 * time.Second)
	if _, err := c.Next(); err == nil {
		t.Error("the connection goes on")
	}
}

func TestAdoptionAfterARestart(t *testing.T) {
	s := start(t, nil)
	old := &group{state: groupstate.New(), observe: s.r.Observe}
	flow := groupstate.Flow{Server: "fe1.example.test", Epoch: 6, Conn: 3, Transport: "tls"}
	carol := uc.UserURI("sip:carol@example.test")
	old.state.Apply(1, groupstate.Encode(&groupstate.EnableUser{User: carol}))
	old.state.Apply(1, groupstate.Encode(&groupstate.Bind{User: carol, Now: s.clock.Now().UnixMilli(), Max: 8, CallID: "c", CSeq: 1, Flow: flow,
		Contacts: []groupstate.BindContact{{Endpoint: "e", Contact: "sip:x", Lifetime: 3_600_000}}}))
	if err := s.r.Adopt(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if at := s.r.Locate(carol); len(at) != 1 || !at[0].Detached {
		t.Fatalf("located: %+v", at)
	}
	sipagent.Await(s.t, "the sweep", func() bool { s.clock.forward(21 * time.Second); return len(s.r.Locate(carol)) == 0 })
}

func TestOptions(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	if res := sipagent.Status(t, c.ask("OPTIONS sip:fe1.example.test", standard(bob)...), 200); res.Get("Allow") == "" {
		t.Errorf("server: %s", res)
	}
	sipagent.Status(t, c.ask("OPTIONS sip:alice@example.test", standard(bob)...), 403)
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, `Contact: <sip:bob@192.0.2.1>;methods="INVITE,ACK"`)...), 200)
	sipagent.Status(t, c.ask("OPTIONS sip:alice@example.test", standard(bob)...), 480)
	sipagent.Status(t, c.ask("OPTIONS sip:nobody@example.test", standard(bob)...), 404)
	if res := sipagent.Status(t, c.ask("OPTIONS sip:bob@example.test", standard(bob)...), 200); res.Get("Allow") != "ACK, INVITE" {
		t.Errorf("user: %s", res)
	}
}

// TestOptionsOfABlocker: who is blocked learns what is learnt of a user who is not
// signed in.
func TestOptionsOfABlocker(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Blocked = func(callee, caller uc.UserURI) bool { return callee == alice && caller == bob }
	})
	a, b := s.dial(), s.dial()
	sipagent.Status(t, a.ask("REGISTER sip:example.test", standard(alice, `Contact: <sip:alice@192.0.2.1>;methods="INVITE"`)...), 200)
	sipagent.Status(t, b.ask("REGISTER sip:example.test", standard(bob, `Contact: <sip:bob@192.0.2.1>;methods="INVITE"`)...), 200)
	sipagent.Status(t, a.ask("OPTIONS sip:bob@example.test", standard(alice)...), 200)
	sipagent.Status(t, a.ask("OPTIONS sip:alice@example.test", standard(alice)...), 200)
	if res := sipagent.Status(t, b.ask("OPTIONS sip:alice@example.test", standard(bob)...), 480); res.Get("Allow") != "" {
		t.Error(res)
	}
}

func TestLocateDoesNotAllocate(t *testing.T) {
	var r Registrar
	r.index.init()
	r.index.set(alice, make([]groupstate.Binding, 2))
	if n := testing.AllocsPerRun(100, func() {
		if len(r.Locate(alice)) != 2 {
			t.Error("lost")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestInstanceOfAnEpid(t *testing.T) {
	// epid and instance as one client sent them
	if got := instanceFromEpid("01010101"); !strings.HasPrefix(got, "urn:uuid:") || len(got) != 45 || got[23] != '5' {
		t.Error(got)
	}
	if g := lyncGRUU(alice, "odd"); !strings.HasSuffix(g, ";gruu") {
		t.Error(g)
	}
}

func BenchmarkLocate(b *testing.B) {
	var r Registrar
	r.index.init()
	users := make([]uc.UserURI, 10000)
	for i := range users {
		users[i] = uc.UserURI("sip:user" + strconv.Itoa(i) + "@example.test")
		r.index.set(users[i], make([]groupstate.Binding, 1))
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if len(r.Locate(users[i%len(users)])) == 0 {
				b.Fail()
			}
		}
	})
}
