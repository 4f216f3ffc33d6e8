package sipnotify

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

const alice = uc.UserURI("sip:alice@example.test")

// server accepts every subscription and keeps what was recorded.
type server struct {
	t     *testing.T
	n     *Notifier
	host  *sipagent.Host
	subs  chan *groupstate.Subscription
	conns chan *siptrans.Conn
	gone  chan *groupstate.Subscription

	mu    sync.Mutex // guards the fields below
	bound []groupstate.Binding
	now   time.Time
}

func (s *server) locate(uc.UserURI) []groupstate.Binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound
}

func (s *server) bind(b ...groupstate.Binding) {
	s.mu.Lock()
	s.bound = b
	s.mu.Unlock()
}

func (s *server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *server) pass(d time.Duration) {
	s.mu.Lock()
	s.now = s.now.Add(d)
	s.mu.Unlock()
}

func (s *server) notifier() *Notifier {
	return New(Config{Link: s.host.Layer, Locate: s.locate, Server: "fe1", Epoch: 7, Host: "fe1.example.test", Port: 5061, Now: s.clock,
		Gone: func(_ uc.UserURI, sub *groupstate.Subscription) { s.gone <- sub }})
}

func start(t *testing.T) *server {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := &server{t: t, subs: make(chan *groupstate.Subscription, 9), conns: make(chan *siptrans.Conn, 9), gone: make(chan *groupstate.Subscription, 9), now: time.UnixMilli(1_800_000_000_000)}
	s.host = sipagent.NewHost(siptrans.Config{})
	s.n = s.notifier()
	s.host.Serve(t, sipmux.Config{Now: s.clock, Routes: []sipmux.Route{{Method: "SUBSCRIBE", Who: sipmux.User, Doc: "accepts", Serve: s.subscribe}}})
	return s
}

func (s *server) subscribe(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	if r.Event() == "own" {
		if err := Own(r); err != nil {
			return nil, err
		}
	}
	cmd, err := s.n.Record(r)
	if err != nil {
		return nil, err
	}
	sub := Once(cmd)
	if cmd.Lifetime > 0 {
		sub.ID, sub.Expires = 1, cmd.Now+cmd.Lifetime
	}
	s.n.Deliver(r, sub, int(cmd.Lifetime/1000), "text/plain", []byte("hi"))
	s.subs <- sub
	s.conns <- r.Conn
	return nil, nil
}

type client struct{ *sipagent.Agent }

func (s *server) client() client {
	s.t.Helper()
	return client{s.host.Dial(s.t, "tcp")}
}

var lync = []string{"Supported: ms-benotify", "Proxy-Require: ms-benotify", "Supported: ms-piggyback-first-notify"}

// ask sends a SUBSCRIBE; a header given replaces the usual one.
func (c client) ask(headers ...string) *sip.Message {
	usual := []string{"From: <sip:alice@example.test>;tag=t", "To: <sip:alice@example.test>", "Contact: <sip:192.0.2.1:5060;transport=tcp>", "Event: presence", "Call-ID: c"}
	for _, h := range headers {
		name, _, _ := strings.Cut(h, ":")
		usual = slices.DeleteFunc(usual, func(u string) bool { return strings.HasPrefix(u, name+":") })
	}
	c.Ask("SUBSCRIBE sip:alice@example.test", "", append(usual, headers...)...)
	return c.Recv()
}

func want(t *testing.T, m *sip.Message, headers map[string]string) {
	t.Helper()
	for name, v := range headers {
		if got := m.Get(name); got != v {
			t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

func TestBenotifyOfALyncClient(t *testing.T) {
	s := start(t)
	c := s.client()
	res := c.ask(append(lync, "From: <sip:alice@example.test>;tag=t;epid=0a1b2c")...)
	port := strconv.Itoa(int((<-s.conns).Local().Port()))
	to, _ := res.To()
	want(t, res, map[string]string{"Event": "presence", "Expires": "28800", "subscription-state": "active;expires=28800", "ms-piggyback-cseq": "1",
		"Content-Type": "text/plain", "Contact": "<sip:fe1.example.test:" + port + ";transport=tcp>"})
	sub := <-s.subs
	s.pass(time.Minute)
	s.n.Notify(alice, sub, "", "text/xml", []byte("<x/>"))
	m := c.Recv()
	if m.Method != "BENOTIFY" || m.RequestURI != "sip:192.0.2.1:5060;transport=tcp" || string(m.Body) != "<x/>" || string(res.Body) != "hi" {
		t.Errorf("%s", m)
	}
	want(t, m, map[string]string{"From": "<sip:alice@example.test>;tag=" + to.Tag(), "To": "<sip:alice@example.test>;tag=t;epid=0a1b2c", "Call-ID": "c",
		"Event": "presence", "Subscription-State": "active;expires=28740", "Content-Type": "text/xml", "Max-Forwards": "70", "Contact": res.Get("Contact")})
	if v, err := m.Via(); err != nil || v.Transport != "TCP" || v.Branch() == "" {
		t.Errorf("%v %+v", err, v)
	}
	s.n.Notify(alice, sub, "noresource", "", nil)
	m = c.Recv()
	want(t, m, map[string]string{"Subscription-State": "terminated;reason=noresource", "Content-Type": ""})
	// Without the option to read it there, the first notification follows the answer.
	res = c.ask(append(lync[:2:2], "To: <sip:alice@example.test>;tag=ours", "Expires: 60")...)
	if m := c.Recv(); len(res.Body) != 0 || m.Method != "BENOTIFY" || string(m.Body) != "hi" {
		t.Errorf("%s%s", res, m)
	}
}

func TestNotifyOfAStandardClient(t *testing.T) {
	s := start(t)
	c := s.client()
	res := c.ask("Record-Route: <sip:p2.example.test;lr>, <sip:p1.example.test;lr>", "Record-Route: <sip:p0.example.test;lr>")
	if len(res.Body) != 0 || res.Get("subscription-state") != "" || res.Get("Expires") != "3600" {
		t.Errorf("%s", res)
	}
	m := c.Recv()
	if got := slices.Collect(m.All("Route")); m.Method != "NOTIFY" || !slices.Equal(got, []string{"<sip:p2.example.test;lr>", "<sip:p1.example.test;lr>", "<sip:p0.example.test;lr>"}) {
		t.Errorf("%v", got)
	}
	if m.Count("Via") != 1 {
		t.Errorf("%s", m)
	}
	c.Reply(m, 200)
	sub := <-s.subs
	first, _, _ := m.CSeq()
	for i := range uint32(3) {
		s.n.Notify(alice, sub, "", "text/plain", []byte("x"))
		m := c.Recv()
		if seq, _, _ := m.CSeq(); seq != first+1+i {
			t.Errorf("CSeq %d after %d", seq, first+i)
		}
		c.Reply(m, 200)
	}
	// A server started again, five seconds later.
	s.pass(5 * time.Second)
	again := s.notifier()
	again.Notify(alice, sub, "", "", nil)
	m = c.Recv()
	if seq, _, _ := m.CSeq(); seq <= first+3 {
		t.Errorf("after a restart CSeq %d, was %d", seq, first+3)
	}
	c.Reply(m, 500) // does not end it
	again.Notify(alice, sub, "", "", nil)
	c.Reply(c.Recv(), 481)
	if got := <-s.gone; got != sub {
		t.Errorf("%+v", got)
	}
	if len(s.gone) != 0 {
		t.Error("a 500 ended the subscription")
	}
	again.Forget(alice, sub)
	if k := (dialogKey{alice, sub.ID}); len(again.counters(k).next) != 0 {
		t.Error("a counter is left")
	}
	once := c.ask("Expires: 0")
	m = c.Recv()
	want(t, m, map[string]string{"Subscription-State": "terminated;reason=timeout"})
	if once.Get("Expires") != "0" {
		t.Errorf("%s", once)
	}
	c.Reply(m, 481)
}

func TestAnswersThatEndASubscription(t *testing.T) {
	for status, ends := range map[int]bool{180: false, 200: false, 401: false, 404: true, 408: true, 480: true, 481: true, 489: true, 500: false, 503: false, 604: true} {
		if gone(&sip.Message{Status: status}, nil) != ends {
			t.Errorf("%d: %v", status, !ends)
		}
	}
	if gone(nil, fault.New(fault.Unavailable, "test", "the connection is closed")) || !gone(nil, fault.New(fault.Timeout, "test", "no answer")) {
		t.Error("a lost connection does not end a subscription, silence does")
	}
}

func TestWhereNotificationsGo(t *testing.T) {
	s := start(t)
	one, two := s.client(), s.client()
	one.ask(append(lync, "From: <sip:alice@example.test>;tag=t;epid=e1")...)
	sub, first := <-s.subs, <-s.conns
	two.ask(append(lync, "From: <sip:alice@example.test>;tag=t;epid=e2")...)
	<-s.subs
	second := <-s.conns
	flow := func(c *siptrans.Conn, epoch uint64) groupstate.Flow {
		return groupstate.Flow{Server: "fe1", Epoch: epoch, Conn: c.ID(), Transport: "tcp"}
	}
	binding := func(f groupstate.Flow, detached bool) groupstate.Binding {
		return groupstate.Binding{Endpoint: "e1", Lync: true, Flow: f, Detached: detached}
	}
	proxied := *sub
	proxied.Dialog.Routes = []string{"<sip:p.example.test;lr>"}
	elsewhere := *sub
	elsewhere.Flow.Epoch = 6
	behind := proxied
	behind.Flow = groupstate.Flow{Server: "fe2"}
	theirs := *sub
	theirs.Flow = groupstate.Flow{Server: "fe2", Epoch: 3, Conn: first.ID(), Transport: "tcp"}
	s.n.cfg.Peer = func(uc.ServerFQDN) (*siptrans.Conn, error) { return second, nil }
	for _, c := range []struct {
		name  string
		sub   *groupstate.Subscription
		bound []groupstate.Binding
		want  *siptrans.Conn
	}{
		{"not registered", sub, nil, first},
		{"moved", sub, []groupstate.Binding{binding(flow(second, 7), false)}, second},
		{"lost there", sub, []groupstate.Binding{binding(flow(second, 7), true)}, first},
		{"registered with a former run", sub, []groupstate.Binding{binding(flow(second, 6), false)}, first},
		{"through a proxy", &proxied, []groupstate.Binding{binding(flow(second, 7), false)}, first},
		{"subscribed with a former run", &elsewhere, nil, nil},
		{"another endpoint", &elsewhere, []groupstate.Binding{{Endpoint: "e2", Flow: flow(second, 7)}}, nil},
		{"gone to another server", sub, []groupstate.Binding{binding(theirs.Flow, false)}, nil},
		{"at another server", &theirs, nil, nil},
		{"passed on by another server", &behind, []groupstate.Binding{binding(theirs.Flow, false)}, second},
	} {
		s.bind(c.bound...)
		if got := s.n.conn(alice, c.sub); got != c.want {
			t.Errorf("%s: another connection", c.name)
		}
	}
	s.bind()
	closed := make(chan struct{})
	first.OnClose(func() { close(closed) })
	one.Close()
	<-closed
	s.n.Notify(alice, sub, "", "text/plain", []byte("lost")) // goes nowhere
	if len(s.gone) != 0 {
		t.Error("a closed connection ended the subscription")
	}
}

func TestEndpointOfTheSender(t *testing.T) {
	s := start(t)
	c := s.client()
	endpoint := func(headers ...string) uc.EndpointID {
		t.Helper()
		if res := c.ask(append(headers, lync...)...); res.Status != 200 {
			t.Fatalf("%s", res)
		}
		<-s.conns
		return (<-s.subs).Endpoint
	}
	if got := endpoint(); got != "call:c" {
		t.Errorf("neither named nor registered: %s", got)
	}
	instance := `Contact: <sip:192.0.2.1>;+sip.instance="<urn:uuid:1>"`
	if got := endpoint(instance); got != "urn:uuid:1" {
		t.Errorf("named: %s", got)
	}
	c.ask(lync...)
	<-s.subs
	here := groupstate.Flow{Server: "fe1", Epoch: 7, Conn: (<-s.conns).ID()}
	s.bind(groupstate.Binding{Endpoint: "other", Flow: groupstate.Flow{Server: "fe1", Epoch: 7, Conn: 99}}, groupstate.Binding{Endpoint: "urn:uuid:1#1", Flow: here})
	if got := endpoint(); got != "urn:uuid:1#1" {
		t.Errorf("registered over this connection: %s", got)
	}
	if got := endpoint(instance); got != "urn:uuid:1#1" {
		t.Errorf("named by its instance: %s", got)
	}
	s.bind(groupstate.Binding{Endpoint: "e9", Lync: true, Flow: here})
	if got := endpoint("From: <sip:alice@example.test>;tag=t;epid=e1"); got != "e1" {
		t.Errorf("a Lync client says who it is: %s", got)
	}
}

func TestSubscribesThatAreRefused(t *testing.T) {
	s := start(t)
	c := s.client()
	for _, bad := range [][]string{
		{"From: <sip:alice@example.test>"},
		{"Contact: *"},
		{"Contact: <sip:"},
		{"Event: own", "To: <sip:bob@example.test>"},
		{"Event: own", "To: <tel:1>"},
	} {
		if res := c.ask(bad...); res.Status != 400 && res.Status != 403 {
			t.Errorf("%v: %d", bad, res.Status)
		}
	}
	c.ask(append(lync, "Event: own", `From: <sip:alice@example.test>;tag=t;epid="a;tag=evil"`)...)
	if sub := <-s.subs; sub.Dialog.RemoteParams != "" {
		t.Errorf("%q", sub.Dialog.RemoteParams)
	}
}
