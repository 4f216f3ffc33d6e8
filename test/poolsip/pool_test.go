// Package poolsip runs several servers of a pool in one process, each with its own
// copy of the routing groups behind a log that all of them apply in the same order,
// and with real SIP/TLS connections between them. Clients connect to whichever.
package poolsip

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/link/sipauth"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/link/sippeer"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/rule/siptxn"
	"trivet/service/conference"
	"trivet/service/contacts"
	"trivet/service/im"
	"trivet/service/presence"
	"trivet/service/registrar"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

const (
	alice = uc.UserURI("sip:alice@example.test")
	bob   = uc.UserURI("sip:bob@example.test")
	carol = uc.UserURI("sip:carol@example.test")

	fe1, fe2, fe3 = uc.ServerFQDN("fe1.example.test"), uc.ServerFQDN("fe2.example.test"), uc.ServerFQDN("fe3.example.test")

	epoch = 7
)

// homes are the routing groups of the users.
var homes = map[uc.UserURI]int{alice: 0, bob: 1, carol: 2}

// pool is the replicated log: commands are applied to every server's copy under mu,
// which stands for the goroutines of the groups.
type pool struct {
	t         *testing.T
	servers   []*server
	authority *authority

	mu    sync.Mutex // guards the fields below and the states of the servers
	index uint64
	lead  [3]uc.ServerFQDN // of each group
	deaf  *server          // applies commands without telling its services
}

// server is one Front End.
type server struct {
	*sipagent.Host
	pool   *pool
	name   uc.ServerFQDN
	states [3]*groupstate.State
	life   *life.Group
	ways   map[uc.ServerFQDN]*wire // to the others
	belief map[int]uc.ServerFQDN   // who leads a group, where that differs from the truth; guarded by pool.mu

	gate      *sipauth.Authenticator
	peers     *sippeer.Peers
	proxy     *sipproxy.Proxy
	registrar *registrar.Registrar
	presence  *presence.Service
	contacts  *contacts.Service
	meetings  *conference.Service
	im        *im.Service
}

func start(t *testing.T) *pool {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	p := &pool{t: t, lead: [3]uc.ServerFQDN{fe1, fe2, fe3}}
	ca := newAuthority(t)
	p.authority = ca
	for _, name := range []uc.ServerFQDN{fe1, fe2, fe3} {
		p.servers = append(p.servers, p.server(ca, name))
	}
	for _, s := range p.servers {
		s.serve(ca)
	}
	for _, s := range p.servers {
		for _, other := range p.servers {
			if other != s {
				s.ways[other.name] = newWire(t, other.Addr["tls"])
			}
		}
	}
	for user := range homes {
		p.propose(t.Context(), user, &groupstate.EnableUser{User: user, Now: 1})
	}
	for _, s := range p.servers {
		for g := range s.states {
			if err := s.registrar.Adopt(t.Context(), group{s, g}); err != nil {
				t.Fatal(err)
			}
		}
		s.peers.Keep(fe1, fe2, fe3)
	}
	for _, s := range p.servers {
		for other := range s.ways {
			sipagent.Await(t, "the link", func() bool { _, err := s.peers.Conn(other); return err == nil })
		}
	}
	return p
}

func (p *pool) server(ca *authority, name uc.ServerFQDN) *server {
	s := &server{pool: p, name: name, life: life.New(context.Background(), slog.New(slog.DiscardHandler)), ways: map[uc.ServerFQDN]*wire{}}
	for g := range s.states {
		s.states[g] = groupstate.New()
	}
	s.Host = sipagent.NewHost(siptrans.Config{Lag: time.Minute, Timers: siptxn.Standard()})
	p.t.Cleanup(func() {
		if err := s.life.Stop(context.Background()); err != nil {
			p.t.Error(err)
		}
	})
	known := func(x uc.ServerFQDN) bool { return x == fe1 || x == fe2 || x == fe3 }
	s.gate = sipauth.New(sipauth.Config{FQDN: string(name), Server: sippeer.Identity{Roots: ca.roots, Known: known}.Server})
	s.peers = sippeer.New(sippeer.Config{
		Link: s.Layer, Life: s.life, Server: name, Epoch: epoch, Address: s.address, TLS: ca.config(p.t, string(name)), Backoff: 5 * time.Millisecond, MostPause: 20 * time.Millisecond,
	})
	s.proxy = sipproxy.New(sipproxy.Config{Layer: s.Layer, Peers: s.peers})
	s.services()
	return s
}

// address is where the listener of another server is reached.
func (s *server) address(other uc.ServerFQDN) string {
	if w := s.ways[other]; w != nil {
		return w.addr
	}
	return ""
}

func (s *server) services() {
	s.registrar = registrar.New(registrar.Config{Groups: s, Link: s.Layer, Life: s.life, FQDN: s.name, Epoch: epoch, Preferred: s.preferred,
		Describe: func(m *sip.Message) { s.Mux.Describe(m) }})
	notifier := sipnotify.New(sipnotify.Config{Link: s.Layer, Locate: s.registrar.Locate, Server: s.name, Epoch: epoch, Host: string(s.name), Gone: func(uc.UserURI, *groupstate.Subscription) {}})
	s.presence = presence.New(presence.Config{Groups: s, Directory: people{}, Notifier: notifier, Life: s.life, Clock: wall{}, Log: slog.New(slog.DiscardHandler), Policies: people{}})
	s.contacts = contacts.New(contacts.Config{Groups: s, Directory: people{}, Notifier: notifier, Life: s.life})
	s.meetings = conference.New(conference.Config{Groups: s, Link: s.Layer, Life: s.life, FQDN: s.name, Epoch: epoch, Port: 5061, Locate: s.registrar.Locate, Way: s.peers.Way, Pool: s})
	s.im = im.New(im.Config{Layer: s.Layer, Proxy: s.proxy, Known: func(u uc.UserURI) bool { _, ok := homes[u]; return ok }, Way: s.peers.Way, FQDN: string(s.name), Port: 5061, Invited: s.meetings.Invited,
		Locate: func(u uc.UserURI, uri string) []groupstate.Binding {
			all := s.registrar.Locate(u)
			if b := registrar.ByGRUU(all, uri); b != nil {
				return []groupstate.Binding{*b}
			}
			return all
		}})
}

// serve opens the listeners.
func (s *server) serve(ca *authority) {
	t := s.pool.t
	routes := slices.Concat(s.registrar.Routes(), s.presence.Routes(), s.contacts.Routes(), s.meetings.Routes(), s.im.Routes())
	s.Serve(t, sipmux.Config{Routes: routes, FQDN: string(s.name), Auth: s, Peer: s.gate.Peer, Relay: s.proxy.Relay}, "tcp")
	conf := ca.config(t, string(s.name))
	conf.ClientAuth = tls.RequestClientCert
	at, err := s.Layer.Listen(t.Context(), siptrans.Listener{Network: "tls", Addr: "127.0.0.1:0", TLS: conf})
	if err != nil {
		t.Fatal(err)
	}
	s.Addr["tls"] = at.String()
}

// Authenticate knows servers by their certificates and believes everybody else.
func (s *server) Authenticate(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if s.gate.Peer(r.Conn) != "" {
		return s.gate.Authenticate(ctx, r)
	}
	return sipagent.Believing{}.Authenticate(ctx, r)
}

// preferred sends Lync clients to the leader of their group.
func (s *server) preferred(user uc.UserURI) (uc.ServerFQDN, string, bool) {
	lead, ok := s.Primary(user)
	return lead, "sip:" + string(lead) + ":5061;transport=TLS", ok && lead != s.name
}

// Primary implements conference.Pool.
func (s *server) Primary(user uc.UserURI) (uc.ServerFQDN, bool) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	lead, wrong := s.belief[homes[user]]
	if !wrong {
		lead = s.pool.lead[homes[user]]
	}
	return lead, lead != ""
}

func (s *server) Forward(r *sipmux.Request, to uc.ServerFQDN) error { return s.proxy.Elsewhere(r, to) }
func (s *server) Conn(to uc.ServerFQDN) (*siptrans.Conn, error)     { return s.peers.Conn(to) }

// Propose applies a command everywhere and returns the result of this server's copy.
func (s *server) Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error) {
	return s.pool.proposeAt(ctx, s, homes[user], cmd)
}

func (p *pool) propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) {
	if _, err := p.proposeAt(ctx, p.servers[0], homes[user], cmd); err != nil {
		p.t.Error(err)
	}
}

func (p *pool) proposeAt(ctx context.Context, at *server, g int, cmd groupstate.Command) (result any, err error) {
	p.mu.Lock()
	if p.lead[g] == "" {
		p.mu.Unlock()
		return nil, fault.New(fault.NoQuorum, "poolsip", "nobody leads the group")
	}
	p.index++
	index := p.index
	var primary *server
	var fed []any
	for _, s := range p.servers {
		r, events := s.states[g].Apply(index, groupstate.Encode(cmd))
		if s == at {
			result = r
		}
		if s.name == p.lead[g] {
			primary, fed = s, events
		}
		if s == p.deaf {
			continue
		}
		s.registrar.Observe(index, events)
		s.im.Observe(s.states[g], events)
		s.meetings.Observe(events)
		s.contacts.Observe(s.states[g], events)
		s.presence.Observe(s.states[g], events)
	}
	p.mu.Unlock()
	if primary != nil && len(fed) > 0 {
		err = primary.contacts.Feed(ctx, index, fed)
	}
	return result, err
}

func (s *server) Read(_ context.Context, user uc.UserURI, f func(*groupstate.State)) error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	f(s.states[homes[user]])
	return nil
}

func (s *server) ReadMany(_ context.Context, users []uc.UserURI, f func(uc.UserURI, *groupstate.State)) error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	for _, u := range users {
		if g, ok := homes[u]; ok {
			f(u, s.states[g])
		}
	}
	return nil
}

// group is a routing group as one server's registrar sees it.
type group struct {
	*server
	number int
}

func (g group) Primary() bool {
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	return g.pool.lead[g.number] == g.name
}

func (g group) Propose(ctx context.Context, cmd groupstate.Command) (any, error) {
	return g.pool.proposeAt(ctx, g.server, g.number, cmd)
}

func (g group) Read(_ context.Context, f func(*groupstate.State)) error {
	g.pool.mu.Lock()
	defer g.pool.mu.Unlock()
	f(g.states[g.number])
	return nil
}

// leads makes a server the leader of the user's group.
func (p *pool) leads(user uc.UserURI, s uc.ServerFQDN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lead[homes[user]] = s
}

// deafen has a server's services miss what happens, or take the states as they are by now.
func (p *pool) deafen(s *server, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if yes {
		p.deaf = s
		return
	}
	p.deaf = nil
	for _, state := range s.states {
		s.registrar.Reload(state)
		s.im.Adopt(state)
		s.presence.Adopt(state)
		s.presence.Afresh(state)
		s.contacts.Observe(state, []any{replica.Lost{}})
	}
}

// people is the directory and the policies.
type people struct{}

func (people) Person(u uc.UserURI) (presence.Card, bool) {
	return presence.Card{DisplayName: u.User()}, true
}
func (people) DisplayName(_ context.Context, u uc.UserURI) string { return u.User() }
func (people) Privacy() *policy.Privacy                           { return &policy.Privacy{} }
func (people) Presence(uc.UserURI) *policy.Presence {
	return &policy.Presence{MaxPromptedSubscriber: 200, MaxCategorySubscription: 3000}
}

// wire is a cable between two servers that can be cut.
type wire struct {
	addr, to string
	ln       net.Listener

	mu    sync.Mutex // guards the fields below
	off   bool
	ends  []net.Conn
	tasks sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: ln.Addr().String(), to: to, ln: ln}
	w.tasks.Add(1)
	go w.accept()
	t.Cleanup(func() {
		ln.Close()
		w.cut(true)
		w.tasks.Wait()
	})
	return w
}

func (w *wire) accept() {
	defer w.tasks.Done()
	for {
		c, err := w.ln.Accept()
		if err != nil {
			return
		}
		w.join(c)
	}
}

func (w *wire) join(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	far, err := net.Dial("tcp", w.to)
	if w.off || err != nil {
		c.Close()
		if err == nil {
			far.Close()
		}
		return
	}
	w.ends = append(w.ends, c, far)
	for _, d := range [][2]net.Conn{{c, far}, {far, c}} {
		w.tasks.Add(1)
		go func() {
			defer w.tasks.Done()
			io.Copy(d[0], d[1])
			d[0].Close()
		}()
	}
}

// cut ends the connections and takes no new ones, or does again.
func (w *wire) cut(off bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = off
	if off {
		for _, c := range w.ends {
			c.Close()
		}
		w.ends = nil
	}
}

// apart cuts the links between two servers.
func (p *pool) apart(a, b *server, off bool) {
	a.ways[b.name].cut(off)
	b.ways[a.name].cut(off)
	for _, x := range [][2]*server{{a, b}, {b, a}} {
		sipagent.Await(p.t, "the link", func() bool {
			_, err := x[0].peers.Conn(x[1].name)
			return (err != nil) == off
		})
	}
}

func tagOf(header string) string {
	_, tag, _ := strings.Cut(header, ";tag=")
	tag, _, _ = strings.Cut(tag, ";")
	return tag
}
