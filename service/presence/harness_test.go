package presence

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/link/siptrans"
	"trivet/rule/aggregate"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

const (
	alice = uc.UserURI("sip:alice@example.test")
	bob   = uc.UserURI("sip:bob@example.test")
	carol = uc.UserURI("sip:carol@example.test")
)

// world is a routing group without a log, and who is registered.
type world struct {
	mu    sync.Mutex // the group's goroutine
	state *groupstate.State
	index uint64
	s     *Service
	then  atomic.Pointer[func()] // runs behind the next Propose or ReadMany

	lmu   sync.RWMutex
	bound map[uc.UserURI][]groupstate.Binding
}

func (g *world) Propose(_ context.Context, _ uc.UserURI, cmd groupstate.Command) (any, error) {
	defer g.meanwhile()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.index++
	r, events := g.state.Apply(g.index, groupstate.Encode(cmd))
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.Bound:
			g.locate(e.User, e.Bindings)
		case groupstate.Unbound:
			g.locate(e.User, e.Bindings)
		case groupstate.Detached:
			g.locate(e.User, e.Bindings)
		}
	}
	g.s.Observe(g.state, events)
	return r, nil
}

// after has f run behind that many looks at the state, between it and what is made
// of it. A SUBSCRIBE looks twice (it proposes, then reads), a publication once.
func (g *world) after(looks int, f func()) {
	for ; looks > 1; looks-- {
		next := f
		f = func() { g.then.Store(&next) }
	}
	g.then.Store(&f)
}

// meanwhile has happen what the test wants between a look at the state and what
// is made of it.
func (g *world) meanwhile() {
	if f := g.then.Swap(nil); f != nil {
		(*f)()
	}
}

func (g *world) locate(user uc.UserURI, bindings []groupstate.Binding) {
	g.lmu.Lock()
	g.bound[user] = bindings
	g.lmu.Unlock()
}

func (g *world) bindings(user uc.UserURI) []groupstate.Binding {
	g.lmu.RLock()
	defer g.lmu.RUnlock()
	return g.bound[user]
}

func (g *world) Read(_ context.Context, _ uc.UserURI, f func(*groupstate.State)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g.state)
	return nil
}

func (g *world) ReadMany(_ context.Context, users []uc.UserURI, f func(uc.UserURI, *groupstate.State)) error {
	defer g.meanwhile()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, u := range users {
		f(u, g.state)
	}
	return nil
}

// people is a directory that makes its readers wait while it is locked.
type people struct {
	sync.RWMutex
	cards map[uc.UserURI]Card
}

func (p *people) Person(u uc.UserURI) (Card, bool) {
	p.RLock()
	defer p.RUnlock()
	c, ok := p.cards[u]
	return c, ok
}

func (p *people) set(u uc.UserURI, c Card) {
	p.Lock()
	p.cards[u] = c
	p.Unlock()
}

func (p *people) remove(u uc.UserURI) {
	p.Lock()
	delete(p.cards, u)
	p.Unlock()
}

// hands is a clock that the test moves.
type hands struct {
	clock.Real
	ahead atomic.Int64
}

func (h *hands) Now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

type server struct {
	t     testing.TB
	g     *world
	s     *Service
	cards *people
	clock *hands
	host  *sipagent.Host
}

// Policy is what holds for everybody in a test.
type Policy struct {
	PrivacyMode             bool
	MaxPromptedSubscriber   int
	MaxCategorySubscription int // 0: 3000; -1: 0
}

func (p Policy) Privacy() *policy.Privacy {
	return &policy.Privacy{EnablePrivacyMode: p.PrivacyMode}
}

func (p Policy) Presence(uc.UserURI) *policy.Presence {
	return &policy.Presence{MaxPromptedSubscriber: p.MaxPromptedSubscriber, MaxCategorySubscription: max(cmp.Or(p.MaxCategorySubscription, 3000), 0)}
}

func start(t testing.TB, policies Policies) *server {
	if t, ok := t.(*testing.T); ok {
		t.Cleanup(func() { goleak.VerifyNone(t) })
	}
	s := &server{t: t, g: &world{state: groupstate.New(), bound: map[uc.UserURI][]groupstate.Binding{}}, clock: &hands{},
		cards: &people{cards: map[uc.UserURI]Card{
			alice: {DisplayName: "Alice <A>", FirstName: "Alice", Email: "alice@example.test", Title: "Engineer", Office: "3.14", MobilePhone: "+49 160 1", HomePhone: "030 1", LineURI: "tel:+1555;ext=1&2"},
			bob:   {DisplayName: "Bob Brown"}, carol: {DisplayName: "Carol"}}}}
	for u := range s.cards.cards {
		s.g.state.Apply(1, groupstate.Encode(&groupstate.EnableUser{User: u}))
	}
	s.host = sipagent.NewHost(siptrans.Config{})
	group := life.New(context.Background(), slog.New(slog.DiscardHandler))
	notifier := sipnotify.New(sipnotify.Config{Link: s.host.Layer, Locate: s.g.bindings, Server: "fe1", Epoch: 1, Host: "fe1.example.test", Now: s.clock.Now,
		Gone: func(user uc.UserURI, sub *groupstate.Subscription) {
			group.Go("gone", func(ctx context.Context) error {
				s.g.Propose(ctx, user, &groupstate.Unsubscribe{User: user, Endpoint: sub.Endpoint, CallID: sub.Dialog.CallID, RemoteTag: sub.Dialog.RemoteTag, Reason: groupstate.ClientCrashed})
				return nil
			})
		}})
	s.g.s = New(Config{Groups: s.g, Directory: s.cards, Notifier: notifier, Life: group, Clock: s.clock, Log: slog.New(slog.DiscardHandler), Policies: policies})
	s.s = s.g.s
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := group.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	s.host.Serve(t, sipmux.Config{Now: s.clock.Now,
		Routes: append(s.s.Routes(), sipmux.Route{Method: "REGISTER", Who: sipmux.User, Doc: "registers", Serve: s.register})})
	return s
}

// register binds the endpoint; a client with an epid is a Lync client.
func (s *server) register(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	seq, _, _ := r.CSeq()
	id := r.Endpoint
	if id == "" {
		id = uc.EndpointID("sip:phone-of-" + r.User.User())
	}
	v, _ := s.g.Propose(ctx, r.User, &groupstate.Bind{User: r.User, Now: r.Now.UnixMilli(), Max: 9, CallID: r.CallID(), CSeq: seq,
		Flow:     groupstate.Flow{Server: "fe1", Epoch: 1, Conn: r.Conn.ID(), Transport: r.Conn.Transport(), Remote: r.Conn.Remote()},
		Contacts: []groupstate.BindContact{{Endpoint: id, Contact: "sip:127.0.0.1", Lifetime: 3600_000, Lync: r.Endpoint != ""}}})
	if err := groupstate.Refused(v); err != nil {
		return nil, err
	}
	return r.Reply(200, ""), nil
}

func (s *server) propose(cmd groupstate.Command) any {
	s.t.Helper()
	v, _ := s.g.Propose(context.Background(), "", cmd)
	if err := groupstate.Refused(v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *server) subscriptions(user uc.UserURI) int {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	return len(s.g.state.User(user).Subscriptions())
}

// endpoint is one device of a user.
type endpoint struct {
	*server
	*sipagent.Agent
	epid string
	user uc.UserURI
	tags map[string]string // of the server, by Call-ID
	side []*sip.Message
}

func (s *server) endpoint(user uc.UserURI, epid string) *endpoint {
	s.t.Helper()
	e := &endpoint{server: s, epid: epid, user: user}
	e.connect()
	return e
}

// connect begins a connection; dialogs are forgotten.
func (e *endpoint) connect() {
	e.t.Helper()
	e.Agent, e.tags, e.side = e.host.Dial(e.t, "tcp"), map[string]string{}, nil
	sipagent.Status(e.t, e.ask("REGISTER", e.user, "reg"+e.LocalAddr().String(), ""), 200)
}

// ask sends a request and returns the answer; what comes before it goes to side.
func (e *endpoint) ask(method string, to uc.UserURI, call, body string, headers ...string) *sip.Message {
	e.t.Helper()
	epid, tag := "", ""
	if e.epid != "" {
		epid = ";epid=" + e.epid
	}
	if t := e.tags[call]; t != "" && method == "SUBSCRIBE" {
		tag = ";tag=" + t
	}
	e.Ask(method+" "+string(to), body, append([]string{"From: <" + string(e.user) + ">;tag=t" + epid, "To: <" + string(to) + ">" + tag, "Call-ID: " + call,
		"Contact: <sip:127.0.0.1:40718>"}, headers...)...)
	for {
		m := e.Recv()
		if m.IsRequest() {
			e.side = append(e.side, m)
			continue
		}
		if a, err := m.To(); err == nil && method == "SUBSCRIBE" && m.Status == 200 {
			e.tags[call] = a.Tag()
		}
		e.settle()
		return m
	}
}

// settle waits until nothing is held back, so that what follows is told by itself.
func (s *server) settle() {
	sipagent.Await(s.t, "the end of answers", func() bool {
		for i := range s.s.index.shards {
			x := &s.s.index.shards[i]
			x.mu.Lock()
			for _, w := range x.dialogs {
				w.mu.Lock()
				open := w.opening > 0
				w.mu.Unlock()
				if open {
					x.mu.Unlock()
					return false
				}
			}
			x.mu.Unlock()
		}
		return true
	})
}

// notified returns the next notification, answered if it is a NOTIFY.
func (e *endpoint) notified() *sip.Message {
	e.t.Helper()
	var m *sip.Message
	if len(e.side) > 0 {
		m, e.side = e.side[0], e.side[1:]
	} else {
		m = e.Recv()
	}
	if m.Method == "NOTIFY" {
		e.Reply(m, 200)
	}
	return m
}

// idle waits until the workers have told everything so far: a lane takes what is
// behind only when it is done with what was before.
func (s *server) idle() {
	for i := range s.s.lanes {
		l := &s.s.lanes[i]
		l.mu.Lock()
		l.order = append(l.order, "end")
		l.pending["end"] = &change{user: "end", seen: true}
		l.mu.Unlock()
		select {
		case l.ready <- struct{}{}:
		default:
		}
		sipagent.Await(s.t, "empty lanes", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.pending["end"] == nil })
	}
}

// quiet makes sure that nothing was sent to the endpoint that it has not read.
func (e *endpoint) quiet() {
	e.t.Helper()
	e.idle()
	res := e.ask("SERVICE", e.user, "q", "<bad", "Content-Type: "+presdoc.TypePublish)
	sipagent.Status(e.t, res, 400)
	for _, m := range e.side {
		e.t.Errorf("%s %s was told: %s", e.user, e.epid, m.Body)
	}
	e.side = nil
}

var lync = []string{"Supported: com.microsoft.autoextend", "Supported: ms-benotify", "Proxy-Require: ms-benotify", "Supported: ms-piggyback-first-notify"}

func with(a []string, b ...string) []string { return append(slices.Clone(a), b...) }

// self subscribes to the own presence.
func (e *endpoint) self() presdoc.Roaming {
	e.t.Helper()
	res := sipagent.Status(e.t, e.ask("SUBSCRIBE", e.user, "self"+e.epid, "", with(lync, "Event: "+eventSelf)...), 200)
	return roamingOf(e.t, res)
}

func roamingOf(t testing.TB, m *sip.Message) presdoc.Roaming {
	t.Helper()
	doc, err := presdoc.ParseRoaming(m.Body)
	if err != nil || m.ContentType() != typeSelf {
		t.Fatalf("%v in %s", err, m)
	}
	return doc
}

// batch subscribes to many.
func (e *endpoint) batch(call string, people ...uc.UserURI) *sip.Message {
	e.t.Helper()
	sub := presdoc.BatchSub{URI: string(e.user), Actions: []presdoc.BatchAction{{ID: "1", Categories: []string{"calendarData", "contactCard", "note", "state"}}}}
	for _, p := range people {
		sub.Actions[0].Resources = append(sub.Actions[0].Resources, presdoc.BatchResource{URI: string(p)})
	}
	return e.subscribe(call, sub)
}

func (e *endpoint) subscribe(call string, sub presdoc.BatchSub, headers ...string) *sip.Message {
	e.t.Helper()
	return e.ask("SUBSCRIBE", e.user, call, string(sub.Append(nil)), with(lync, append(headers, "Event: presence", "Require: adhoclist, categoryList", "Content-Type: "+presdoc.TypeBatchSub)...)...)
}

func categoriesOf(t testing.TB, m *sip.Message) presdoc.Categories {
	t.Helper()
	if m.ContentType() != presdoc.TypeCategories {
		t.Fatalf("no categories: %s", m)
	}
	return parseCategories(t, m.Body)
}

func parseCategories(t testing.TB, b []byte) presdoc.Categories {
	t.Helper()
	doc, err := presdoc.ParseCategories(b)
	if err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return doc
}

// find returns the bodies of a category.
func find(doc presdoc.Categories, name string) (bodies []string) {
	for _, c := range doc.List {
		if c.Name == name {
			bodies = append(bodies, c.Body)
		}
	}
	return bodies
}

// availability is that of the state in a document, -1 when there is none.
func availability(t testing.TB, doc presdoc.Categories) int {
	t.Helper()
	list := find(doc, "state")
	if len(list) == 0 {
		return -1
	}
	in, err := aggregate.ParseState([]byte(list[len(list)-1]))
	if err != nil {
		t.Fatal(err)
	}
	return in.Availability
}

func (e *endpoint) publish(items ...presdoc.Publication) *sip.Message {
	e.t.Helper()
	doc := presdoc.Publish{URI: string(e.user), Publications: items}
	return e.ask("SERVICE", e.user, "pub", string(doc.Append(nil)), "Content-Type: "+presdoc.TypePublish)
}

// userState is the pair of publications of a chosen status.
func userState(n int, version uint32) []presdoc.Publication {
	body := `<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" manual="true" xsi:type="userState"><availability>` + strconv.Itoa(n) + `</availability></state>`
	two := presdoc.Publication{Category: "state", Instance: 0x20000000, Container: 2, Version: version, Body: body}
	three := two
	three.Container = 3
	return []presdoc.Publication{two, three}
}

func noteIn(container, version uint32, text string) presdoc.Publication {
	return presdoc.Publication{Category: "note", Container: container, Version: version,
		Body: `<note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal" uri="">` + text + `</body></note>`}
}

func (e *endpoint) setContainers(list ...presdoc.Container) *sip.Message {
	e.t.Helper()
	return e.ask("SERVICE", e.user, "con", string(presdoc.AppendSetContainers(nil, list)), "Content-Type: "+presdoc.TypeSetContainers)
}
