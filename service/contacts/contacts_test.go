package contacts

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/link/siptrans"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

const alice, bob = uc.UserURI("sip:alice@example.test"), uc.UserURI("sip:bob@example.test")

// group is a routing group without a log, whose feed runs in Propose.
type group struct {
	mu      sync.Mutex
	state   *groupstate.State
	index   uint64
	observe func(*groupstate.State, []any)
	feed    replica.FeedFunc
	fail    map[uc.UserURI]error // what Propose answers for a user
}

func (g *group) Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error) {
	g.mu.Lock()
	if err := g.fail[user]; err != nil {
		g.mu.Unlock()
		return nil, err
	}
	g.index++
	index := g.index
	r, events := g.state.Apply(index, groupstate.Encode(cmd))
	if g.observe != nil {
		g.observe(g.state, events)
	}
	g.mu.Unlock()
	if g.feed != nil && len(events) > 0 {
		g.feed(ctx, index, events)
	}
	return r, nil
}

func (g *group) Read(_ context.Context, _ uc.UserURI, f func(*groupstate.State)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g.state)
	return nil
}

type names map[uc.UserURI]string

func (n names) DisplayName(_ context.Context, u uc.UserURI) string { return n[u] }

type server struct {
	t    *testing.T
	s    *Service
	g    *group
	host *sipagent.Host
	gone chan *groupstate.Subscription
}

func start(t *testing.T) *server {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := &server{t: t, g: &group{state: groupstate.New(), fail: map[uc.UserURI]error{}}, gone: make(chan *groupstate.Subscription, 9)}
	for _, u := range []uc.UserURI{alice, bob} {
		s.g.state.Apply(1, groupstate.Encode(&groupstate.EnableUser{User: u}))
	}
	s.host = sipagent.NewHost(siptrans.Config{})
	l := life.New(t.Context(), slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	notifier := sipnotify.New(sipnotify.Config{Link: s.host.Layer, Locate: func(uc.UserURI) []groupstate.Binding { return nil }, Server: "fe1", Epoch: 1, Host: "fe1.example.test",
		Gone: func(_ uc.UserURI, sub *groupstate.Subscription) { s.gone <- sub }})
	s.s = New(Config{Groups: s.g, Directory: names{alice: "Alice Ångström"}, Notifier: notifier, Life: l,
		Other: func(_ context.Context, op string, r *sipmux.Request) (*sip.Message, error) {
			return r.Reply(202, op), nil
		}})
	s.g.observe, s.g.feed = s.s.Observe, s.s.Feed
	s.host.Serve(t, sipmux.Config{Routes: s.s.Routes()})
	return s
}

// endpoint is one device of a user.
type endpoint struct {
	*server
	*sipagent.Agent
	epid string
	user uc.UserURI
	tag  string // of the server, in the dialog
	side []*sip.Message
}

func (s *server) endpoint(user uc.UserURI, epid string) *endpoint {
	s.t.Helper()
	return &endpoint{server: s, Agent: s.host.Dial(s.t, "tcp"), epid: epid, user: user}
}

// ask sends a request and returns the answer; what comes before it goes to side.
func (e *endpoint) ask(method, body string, headers ...string) *sip.Message {
	e.t.Helper()
	to := "To: <" + string(e.user) + ">"
	if e.tag != "" && method == "SUBSCRIBE" {
		to += ";tag=" + e.tag
	}
	epid := ""
	if e.epid != "" {
		epid = ";epid=" + e.epid
	}
	e.Ask(method+" "+string(e.user), body, append([]string{"From: <" + string(e.user) + ">;tag=t" + epid, to, "Call-ID: c" + e.epid, "Contact: <sip:127.0.0.1:40718>"}, headers...)...)
	for {
		m := e.Recv()
		if !m.IsRequest() {
			return m
		}
		e.side = append(e.side, m)
	}
}

// notified returns the next notification.
func (e *endpoint) notified() *sip.Message {
	e.t.Helper()
	if len(e.side) > 0 {
		m := e.side[0]
		e.side = e.side[1:]
		return m
	}
	return e.Recv()
}

var lyncHeaders = []string{"Event: " + Event, "Accept: application/vnd-microsoft-roaming-contacts+xml", "Supported: com.microsoft.autoextend", "Supported: ms-benotify",
	"Proxy-Require: ms-benotify", "Supported: ms-piggyback-first-notify"}

func (e *endpoint) subscribe(headers ...string) *sip.Message {
	e.t.Helper()
	res := e.ask("SUBSCRIBE", "", headers...)
	if to, err := res.To(); err == nil && res.Status == 200 {
		e.tag = to.Tag()
	}
	return res
}

func (e *endpoint) operate(op presdoc.ContactOp) *sip.Message {
	e.t.Helper()
	return e.ask("SERVICE", string(op.Append(nil)), "Content-Type: application/SOAP+xml")
}

func TestListTravelsInTheAnswer(t *testing.T) {
	e := start(t).endpoint(alice, "e1")
	res := sipagent.Status(t, e.subscribe(lyncHeaders...), 200)
	list, err := presdoc.ParseContactList(res.Body)
	if err != nil || list.DeltaNum != 1 || len(list.Groups) != 1 || list.Groups[0].Name != "~" {
		t.Errorf("%v %+v", err, list)
	}
	for name, want := range map[string]string{"Event": Event, "Expires": "28800", "Content-Type": presdoc.TypeContacts, "subscription-state": "active;expires=28800"} {
		if res.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, res.Get(name), want)
		}
	}
	if res.Get("ms-piggyback-cseq") == "" || res.Get("Contact") == "" {
		t.Errorf("%s", res)
	}
	sipagent.Status(t, e.subscribe(lyncHeaders...), 200)
	if n := len(e.g.state.User(alice).Subscriptions()); n != 1 {
		t.Errorf("after a refresh there are %d subscriptions", n)
	}
	sipagent.Status(t, e.subscribe(append(lyncHeaders, "Expires: 0")...), 200)
	if n := len(e.g.state.User(alice).Subscriptions()); n != 0 {
		t.Errorf("after the end there are %d subscriptions", n)
	}
	sipagent.Status(t, e.subscribe(append(lyncHeaders, "Expires: 0")...), 200) // once more does no harm
}

func TestChangesReachEveryEndpoint(t *testing.T) {
	s := start(t)
	one, two := s.endpoint(alice, "e1"), s.endpoint(alice, "e2")
	sipagent.Status(t, one.subscribe(lyncHeaders...), 200)
	sipagent.Status(t, two.subscribe(lyncHeaders...), 200)
	last := uint32(0)
	step := func(op presdoc.ContactOp) presdoc.ContactDelta {
		t.Helper()
		op.DeltaNum = 1 // both endpoints are behind nearly all the time
		res := sipagent.Status(t, one.operate(op), 200)
		if id, err := presdoc.ParseGroupID(res.Body); (op.Verb == presdoc.AddGroup) != (err == nil && id == 2 && res.Get("Content-Type") == presdoc.TypeSOAP) {
			t.Errorf("%s: answer %s", op.Verb, res)
		}
		var delta presdoc.ContactDelta
		for _, e := range []*endpoint{one, two} {
			m := e.notified()
			var err error
			if delta, err = presdoc.ParseContactDelta(m.Body); err != nil || m.Method != "BENOTIFY" || m.Event() != Event || m.ContentType() != presdoc.TypeContacts {
				t.Fatalf("%v %s", err, m)
			}
			seq, _, _ := m.CSeq()
			if e == two && seq <= last {
				t.Errorf("CSeq %d after %d", seq, last)
			} else if e == two {
				last = seq
			}
			if to, _ := m.To(); to.Tag() != "t" || to.Params.Value("epid") != e.epid {
				t.Errorf("To of the notification: %s", m.Get("To"))
			}
		}
		return delta
	}
	if d := step(presdoc.ContactOp{Verb: presdoc.AddGroup, Name: "Team & Co"}); d.DeltaNum != 2 || d.PrevDeltaNum != 1 || d.AddedGroups[0].Name != "Team & Co" {
		t.Errorf("%+v", d)
	}
	if d := step(presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:Bob@example.test", Name: "bob@example.test", Groups: []uint32{1, 2}, Subscribed: true}); d.AddedContacts[0].URI != "sip:bob@example.test" || d.AddedContacts[0].Name != "" || len(d.AddedContacts[0].Groups) != 2 {
		t.Errorf("%+v", d)
	}
	if d := step(presdoc.ContactOp{Verb: presdoc.ModifyGroup, GroupID: 2, Name: "Pals"}); d.ModifiedGroups[0].Name != "Pals" {
		t.Errorf("%+v", d)
	}
	if d := step(presdoc.ContactOp{Verb: presdoc.DeleteGroup, GroupID: 2}); d.DeletedGroups[0] != 2 || len(d.ModifiedContacts) != 1 {
		t.Errorf("%+v", d)
	}
	if d := step(presdoc.ContactOp{Verb: presdoc.DeleteContact, URI: "sip:bob@example.test"}); d.DeltaNum != 6 || d.DeletedContacts[0] != "sip:bob@example.test" {
		t.Errorf("%+v", d)
	}
	asked := s.g.state.User(bob).Subscribers()
	if len(asked) != 1 || asked[0].User != alice || asked[0].DisplayName != "Alice Ångström" {
		t.Errorf("bob is asked about %+v", asked)
	}
}

func TestStandardClientIsNotified(t *testing.T) {
	s := start(t)
	e := s.endpoint(alice, "")
	res := sipagent.Status(t, e.subscribe("Event: "+Event, "Expires: 600"), 200)
	if len(res.Body) != 0 || res.Get("Expires") != "600" {
		t.Errorf("%s", res)
	}
	m := e.notified()
	if list, err := presdoc.ParseContactList(m.Body); err != nil || m.Method != "NOTIFY" || list.DeltaNum != 1 || !strings.HasPrefix(m.Get("Subscription-State"), "active;expires=") {
		t.Errorf("%v %s", err, m)
	}
	e.Reply(m, 481)
	if sub := <-s.gone; sub.Event != Event {
		t.Errorf("%+v", sub)
	}
	sipagent.Status(t, e.subscribe("Event: "+Event, "Expires: 0"), 200)
	if m := e.notified(); !strings.HasPrefix(m.Get("Subscription-State"), "terminated") || len(m.Body) == 0 {
		t.Errorf("%s", m)
	} else {
		e.Reply(m, 200)
	}
}

func TestRefusals(t *testing.T) {
	s := start(t)
	e := s.endpoint(alice, "e1")
	mallory := s.endpoint("sip:mallory@example.test", "e9")
	sipagent.Status(t, mallory.subscribe(lyncHeaders...), 404)
	e.tag = "never-given"
	sipagent.Status(t, e.subscribe(lyncHeaders...), 481)
	e.tag = ""
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.DeleteContact, URI: "sip:bob@example.test", DeltaNum: 1}), 404)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.DeleteGroup, GroupID: 1, DeltaNum: 1}), 403)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.DeleteGroup, GroupID: 300, DeltaNum: 1}), 400)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:bob", DeltaNum: 1}), 400)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:bob@example.test", Groups: []uint32{0}, DeltaNum: 1}), 400)
	sipagent.Status(t, e.ask("SERVICE", "<not-soap/>", "Content-Type: application/SOAP+xml"), 400)
	other := `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><m:directorySearch xmlns:m="x"/></e:Body></e:Envelope>`
	if res := e.ask("SERVICE", other, "Content-Type: application/SOAP+xml"); res.Status != 202 || res.Reason != "directorySearch" {
		t.Errorf("another operation: %s", res)
	}
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.AddGroup, Name: "Team", DeltaNum: 1}), 200)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.AddGroup, Name: "Team", DeltaNum: 2}), 409)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:nobody@elsewhere.test", Subscribed: true, DeltaNum: 2}), 200)
}

type none struct{}

func (none) MaxContacts(uc.UserURI) int            { return 0 }
func (none) MaxPromptedSubscribers(uc.UserURI) int { return 0 }
func (none) MaxGroups(uc.UserURI) int              { return 1 }

func TestLimitsOfPolicies(t *testing.T) {
	s := start(t)
	s.s.cfg.Limits = none{}
	e := s.endpoint(alice, "e1")
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:bob@example.test", Subscribed: true, DeltaNum: 1}), 403)
	distribution := func(name string) presdoc.ContactOp {
		return presdoc.ContactOp{Verb: presdoc.AddGroup, Name: name, ExternalURI: "<groupExtension groupType=\"dg\"><email>" + name + "@example.test</email></groupExtension>", DeltaNum: 1}
	}
	sipagent.Status(t, e.operate(distribution("all")), 200)
	sipagent.Status(t, e.operate(distribution("some")), 403)
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.AddGroup, Name: "Team", DeltaNum: 2}), 200) // the user's own groups are not limited by it
	s.g.Propose(t.Context(), alice, &groupstate.SetContact{User: alice, Delta: 3, Max: 9, Contact: groupstate.Contact{URI: string(bob), Subscribed: true}})
	if asked := s.g.state.User(bob).Subscribers(); len(asked) != 0 {
		t.Errorf("bob is asked about %+v", asked)
	}
}

func TestFeedGoesOnWhereItFailed(t *testing.T) {
	s := start(t)
	e := s.endpoint(alice, "e1")
	sipagent.Status(t, e.subscribe(lyncHeaders...), 200)
	var entry []any
	feed := s.g.feed
	s.g.feed = func(_ context.Context, _ uint64, events []any) error { entry = events; return nil }
	sipagent.Status(t, e.operate(presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:bob@example.test", Subscribed: true, DeltaNum: 1}), 200)
	s.g.fail[bob] = fault.New(fault.NoQuorum, "test", "the other group has no quorum")
	if err := feed(t.Context(), 99, entry); !fault.Is(err, fault.NoQuorum) {
		t.Errorf("got %v", err)
	}
	delete(s.g.fail, bob)
	if err := feed(t.Context(), 99, entry); err != nil {
		t.Error(err)
	}
	if len(s.g.state.User(bob).Subscribers()) != 1 {
		t.Error("bob is not asked")
	}
	s.s.Observe(s.g.state, []any{replica.Lost{From: 90, To: 99}})
	if _, err := presdoc.ParseContactDelta(e.notified().Body); err != nil {
		t.Error(err)
	}
	if list, err := presdoc.ParseContactList(e.notified().Body); err != nil || len(list.Contacts) != 1 { // once told, then afresh
		t.Errorf("%v %+v", err, list)
	}
}
