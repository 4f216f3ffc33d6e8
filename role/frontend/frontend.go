package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"trivet/admin"
	"trivet/fault"
	"trivet/kit/conf"
	"trivet/kit/life"
	"trivet/kit/metric"
	"trivet/kit/sdnotify"
	"trivet/link/httpd"
	"trivet/link/pki"
	"trivet/link/sipauth"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/link/sippeer"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/service/addressbook"
	"trivet/service/auth"
	"trivet/service/backstore"
	"trivet/service/conference"
	"trivet/service/contacts"
	"trivet/service/dirsync"
	"trivet/service/im"
	"trivet/service/presence"
	"trivet/service/provision"
	"trivet/service/registrar"
	"trivet/uc"
	"trivet/wire/sip"
	"trivet/wire/soap"
)

// server is the services of a Front End that runs, on their ground.
type server struct {
	*ground
	life    *life.Group // of the services; that of the ground outlives it
	metrics *metric.Registry

	people   *people
	policies policies
	book     *addressbook.Service
	sync     *dirsync.Service
	auth     *auth.Service
	brake    sipauth.Brake
	keytab   *keytab.Keytab
	groups   *groups

	layer    *siptrans.Layer
	gate     *sipauth.Authenticator
	mux      handler
	peers    *sippeer.Peers
	proxy    *sipproxy.Proxy
	notifier *sipnotify.Notifier

	registrar *registrar.Registrar
	presence  *presence.Service
	contacts  *contacts.Service
	im        *im.Service
	meetings  *conference.Service
	desk      *admin.Server
	copies    *backstore.Service // in the Back End; nil without one
	backing   sync.Mutex         // held while a backup is made

	sipTLS, sipTCP, sipUDP, sipWS, sipWSS, https netip.AddrPort
}

// handler lets the transport layer exist before the route table that it serves.
type handler struct{ *sipmux.Mux }

// step is one part of the start.
type step struct {
	name string
	do   func(context.Context) error
}

// steps are the start of the services, from top to bottom; what a step needs was made above it.
// What has to be stopped is registered by the step itself, so that the stop is
// the same list backwards.
func (s *server) steps() []step {
	return []step{
		{"people", s.openPeople},
		{"policies", s.openPolicies},
		{"directory sources", s.openSources},
		{"sign-in", s.openAuth},
		{"agreement with the directory", s.reconcile},
		{"SIP layer", s.makeLayer},
		{"services", s.makeServices},
		{"route table", s.makeRoutes},
		{"adoption of groups", s.adopt},
		{"other servers", s.keepPeers},
		{"copy in the Back End", s.copyToBackEnd},
		{"cmdlets", s.makeDesk},
		{"HTTPS", s.startHTTPS},
		{"management", s.startManagement},
		{"SIP listeners", s.listen},
		{"directory synchronisation", s.startSources},
	}
}

// stopLimit is how long an orderly stop may take altogether.
const stopLimit = 30 * time.Second

// Ready is what a server that runs tells the one who started it.
type Ready struct {
	TLS, TCP, UDP, WS, WSS, HTTPS netip.AddrPort // where it listens; invalid for off
	Routes                        []sipmux.Route // the table of SIP requests
}

// Run serves until ctx ends, then stops in order. out gets what a person at the
// terminal wants to read, ending in the line that begins "ready". A service manager
// that started the process is told how it goes.
func Run(ctx context.Context, set conf.Settings, log *slog.Logger, out io.Writer) error {
	g := newGround(ctx, set, log)
	g.manager = sdnotify.Open(log)
	return g.serveAlone(ctx, out, func(Ready) {})
}

// Serve is Run that also calls ready, which may not block, once the server runs,
// and that tells no service manager.
func Serve(ctx context.Context, set conf.Settings, log *slog.Logger, out io.Writer, ready func(Ready)) error {
	return newGround(ctx, set, log).serveAlone(ctx, out, ready)
}

func newServer(ctx context.Context, g *ground) *server {
	return &server{ground: g, life: life.New(context.WithoutCancel(ctx), g.log), metrics: metric.New()}
}

// serve runs the services until ctx ends or something fails, then stops them in
// order.
func (s *server) serve(ctx context.Context, out io.Writer, ready func(Ready)) error {
	err := s.climb(ctx, s.steps())
	if err == nil && s.set.Demo {
		err = s.makeDemo(ctx, out)
	}
	if err == nil {
		s.announce(out)
		s.manager.Ready("serving " + s.set.FQDN)
		s.watch()
		ready(Ready{TLS: s.sipTLS, TCP: s.sipTCP, UDP: s.sipUDP, WS: s.sipWS, WSS: s.sipWSS, HTTPS: s.https, Routes: s.mux.Rows()})
		err = s.await(ctx)
	}
	return errors.Join(err, s.stop(ctx))
}

// stop ends the services; the ground stays.
func (s *server) stop(ctx context.Context) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return s.life.Stop(stop)
}

// await returns when the services have to stop, nil when somebody wants it.
func (s *server) await(ctx context.Context) error {
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
		return nil
	case <-s.life.Context().Done():
		return context.Cause(s.life.Context())
	case <-s.ground.life.Context().Done():
		return context.Cause(s.ground.life.Context())
	case <-s.host.Broken():
		return s.host.Err()
	}
}

// climb does steps in their order, until one fails.
func (g *ground) climb(ctx context.Context, steps []step) error {
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.manager.Status("starting: " + st.name)
		begin := time.Now()
		if err := st.do(ctx); err != nil {
			return fault.Wrap("frontend.start "+st.name, err)
		}
		g.log.Debug("started", "part", st.name, "took", time.Since(begin))
	}
	return nil
}

// nextEpoch counts the starts of the server: connections of an earlier run are
// told from those of this one by it.
func nextEpoch(path string) (uint64, error) {
	n, err := readEpoch(path)
	if err != nil {
		return 0, err
	}
	n++
	return n, fault.Wrap("frontend.nextEpoch", writeDurably(path, fmt.Appendln(nil, n)))
}

// readEpoch reads how often the server was started so far.
func readEpoch(path string) (n uint64, err error) {
	const op = "frontend.readEpoch"
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fault.Wrap(op, err)
	}
	if _, err := fmt.Sscanf(string(b), "%d", &n); err != nil {
		return 0, fault.Newf(fault.Invalid, op, "%s does not hold a number; remove the file", path)
	}
	return n, nil
}

// writeDurably replaces a file that only its owner may read: whoever reads it
// later, also after a power cut, finds the old content or the new one.
func writeDurably(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder has the disk keep the names in a folder, a renamed file among them.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openPeople reads the directory into memory and follows it.
func (s *server) openPeople(ctx context.Context) (err error) {
	s.book = addressbook.New(addressbook.Config{Rights: func(u uc.UserURI) addressbook.Rights { return s.policies.Rights(u) }, Directory: s.store, Server: s.set.FQDN, Folder: s.path("abs"), Files: s.bookFiles, Rules: s.phoneRules, Clock: s.clock, Log: s.log})
	s.people = &people{book: s.book.Changed}
	s.follows(s.changes.listen(s.people.change))
	s.follows(s.reloads.listen(func(struct{}) {
		s.life.Go("directory", func(ctx context.Context) error { return s.people.reload(ctx, s.store) })
	}))
	if err := s.people.load(ctx, s.store); err != nil {
		return err
	}
	s.groups = &groups{all: s.routing, home: s.people.Home, enabled: s.people.Enabled, clock: s.clock}
	s.follows(s.changes.listen(s.userChanged))
	return nil
}

// follows has the services listen no more when they stop.
func (s *server) follows(end func()) {
	s.life.Add("listener", time.Second, func(context.Context) error { end(); return nil })
}

func (s *server) openAuth(context.Context) error {
	if err := s.loadKeytab(); err != nil {
		return err
	}
	seal, err := s.authority.Secret("seal", 32)
	if err != nil {
		return err
	}
	ticket, err := s.authority.Secret("webticket", 32)
	if err != nil {
		return err
	}
	s.brake = sipauth.NewBrakes()
	label, _, _ := strings.Cut(s.set.Domain, ".")
	s.auth, err = auth.New(auth.Config{
		Directory: s.store, Certificates: s.authority, SealKey: seal, TicketKey: ticket, Brake: s.brake, External: s.external(),
		Server: s.set.FQDN, Domains: []string{s.set.Domain}, Logins: []string{label, s.set.Domain},
		WebHost: hostPort(s.set.FQDN, s.set.HTTPS), WebHosts: s.webHosts(),
		Inside: soap.Access{FQDN: string(s.pool), Port: port(s.set.SIP.TLS)},
		Keytab: s.webKeytab, NTLM: s.webNTLM, Clock: s.clock, Log: s.log,
	})
	return err
}

// webHosts are the names under which the web services are reached.
func (s *server) webHosts() []string {
	return []string{s.set.FQDN, string(s.pool), "localhost", "127.0.0.1", s.set.Listen, "lyncdiscover." + s.set.Domain, "lyncdiscoverinternal." + s.set.Domain, "sip." + s.set.Domain}
}

func (s *server) loadKeytab() error {
	name := s.set.Kerberos.Keytab
	if name == "" {
		return nil
	}
	if !filepath.IsAbs(name) {
		name = s.path(name)
	}
	kt, err := keytab.Load(name)
	if err != nil {
		return fault.Newf(fault.Invalid, "frontend.loadKeytab", "kerberos.keytab: %s is not a keytab that can be read", name).Because(err)
	}
	s.keytab = kt
	return nil
}

func (s *server) currentKeytab() *keytab.Keytab { return s.keytab }

func (s *server) makeLayer(context.Context) error {
	s.layer = siptrans.New(siptrans.Config{
		Handler: &s.mux, Log: s.log, First: s.set.Limits.SignInTime, Connections: s.set.Limits.Connections, PerSource: s.set.Limits.Strangers, InWork: s.set.Limits.Requests,
		StrangerWork: s.set.Limits.StrangerRequests, StrangerHold: s.set.Limits.StrangerBytes, Queue: s.set.Limits.OutputBytes, OutputHold: s.set.Limits.OutputTotal,
		Limits: sip.Limits{Head: sip.DefaultLimits.Head, Body: s.set.Limits.MessageBytes, Headers: sip.DefaultLimits.Headers},
	})
	s.life.Add("SIP", 10*time.Second, s.stopSIP)
	s.notifier = sipnotify.New(sipnotify.Config{
		Link: s.layer, Locate: func(u uc.UserURI) []groupstate.Binding { return s.registrar.Locate(u) },
		Server: s.fqdn, Epoch: s.epoch, Host: s.set.FQDN, Port: port(s.set.SIP.TLS), Gone: s.watcherGone,
	})
	if err := s.sipPeers(); err != nil {
		return err
	}
	s.proxy = sipproxy.New(sipproxy.Config{Layer: s.layer, Peers: s.peers})
	return nil
}

// stopSIP lets requests under way end, but does not wait long for a client that
// does not answer.
func (s *server) stopSIP(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := s.layer.Close(ctx); err != nil {
		s.log.Info("some SIP clients had not answered when the server stopped")
	}
	return nil
}

// watcherGone ends the subscription of a watcher that does not know it any more. It
// goes by the dialog: the number may be another subscription's by now.
func (s *server) watcherGone(user uc.UserURI, sub *groupstate.Subscription) {
	s.life.Go("end of a subscription", func(ctx context.Context) error {
		_, err := s.groups.Propose(ctx, user, &groupstate.Unsubscribe{
			User: user, Endpoint: sub.Endpoint, Now: s.groups.now(), Reason: groupstate.ClientCrashed,
			CallID: sub.Dialog.CallID, RemoteTag: sub.Dialog.RemoteTag,
		})
		if err != nil && !fault.Is(err, fault.Gone) && ctx.Err() == nil {
			s.log.Debug("a subscription could not be ended", "err", err)
		}
		return nil
	})
}

func (s *server) makeServices(context.Context) error {
	known, err := s.knownServer()
	if err != nil {
		return err
	}
	nonces, err := s.authority.Secret("nonce", 32)
	if err != nil {
		return err
	}
	var preferred func(uc.UserURI) (uc.ServerFQDN, string, bool)
	var draining func() bool
	contact := ""
	if s.fabric != nil {
		preferred, draining, contact = s.preferred, s.fabric.draining, s.fabric.contactOf(s.fqdn)
	}
	s.registrar = registrar.New(registrar.Config{
		Preferred: preferred, Draining: draining, Contact: contact,
		Groups: s.groups, Link: s.layer, Life: s.life, Clock: s.clock, Log: s.log,
		FQDN: s.fqdn, Epoch: s.epoch, Policy: s.policies.Registrar,
		Describe: func(res *sip.Message) { s.mux.Describe(res) },
		Blocked:  func(callee, caller uc.UserURI) bool { return s.im.Blocked(callee, caller) },
	})
	s.presence = presence.New(presence.Config{
		Groups: s.groups, Directory: s.people, Notifier: s.notifier, Life: s.life, Clock: s.clock, Log: s.log,
		Policies: s.policies,
	})
	s.contacts = contacts.New(contacts.Config{Groups: s.groups, Directory: s.people, Limits: s.policies, Notifier: s.notifier, Other: s.book.SOAP, Life: s.life, Log: s.log})
	s.meetings = conference.New(conference.Config{
		Groups: s.groups, Link: s.layer, Life: s.life, Clock: s.clock, Log: s.log, FQDN: s.fqdn, Epoch: s.epoch, Port: port(s.set.SIP.TLS),
		Policies:    s.policies,
		Locate:      s.registrar.Locate,
		Way:         s.peers.Way,
		Pool:        s.focusPool(),
		DisplayName: func(u uc.UserURI) string { return s.people.DisplayName(context.Background(), u) }, JoinURL: s.joinURL,
	})
	s.im = im.New(im.Config{
		Invited: s.meetings.Invited,
		Layer:   s.layer, Proxy: s.proxy, Way: s.peers.Way, FQDN: s.set.FQDN, Port: port(s.set.SIP.TLS),
		Known: func(u uc.UserURI) bool { return s.people.ByAddress(u) != nil }, Locate: s.locate,
	})
	s.gate = sipauth.New(sipauth.Config{
		Accounts: s.auth, Policy: s.signInPolicy, FQDN: s.set.FQDN, Domain: s.set.Domain, STSURI: s.stsURI,
		Server: known, NonceKey: nonces,
		Keytab: s.currentKeytab, Certificate: s.tlsdskCertificate, Brake: s.brake, Clock: s.clock, Log: s.log,
	})
	return nil
}

// locate finds the endpoint that a request URI names, or all of the user.
func (s *server) locate(user uc.UserURI, requestURI string) []groupstate.Binding {
	all := s.registrar.Locate(user)
	if b := registrar.ByGRUU(all, requestURI); b != nil {
		return []groupstate.Binding{*b}
	}
	return all
}

// stsURI names the certificate provisioning service to a client. One on this
// computer gets the address it already uses, where the certificate is good for
// it: the server's name may be in no DNS yet.
func (s *server) stsURI(local netip.Addr) string {
	at := s.https
	if !local.Is4() || !local.IsLoopback() || at.Addr() != local && !at.Addr().IsUnspecified() {
		return s.auth.STSURI()
	}
	c, err := s.authority.Source(pki.WebServicesInternal)(nil)
	if err != nil || c.Leaf == nil || c.Leaf.VerifyHostname(local.String()) != nil {
		return s.auth.STSURI()
	}
	return "https://" + netip.AddrPortFrom(local, at.Port()).String() + auth.ProvPath
}

func (s *server) tlsdskCertificate() *tls.Certificate {
	c, err := s.authority.Source(pki.TLSDSK)(nil)
	if err != nil {
		return nil
	}
	return c
}

func (s *server) makeRoutes(context.Context) error {
	var routes []sipmux.Route
	for _, of := range [][]sipmux.Route{
		s.registrar.Routes(), s.presence.Routes(), s.contacts.Routes(), s.im.Routes(), s.meetings.Routes(),
		provision.New(s.provisioning, "<sip:"+hostPort(s.set.FQDN, s.set.SIP.TLS)+";transport=tls>").Routes(),
	} {
		routes = append(routes, of...)
	}
	var err error
	s.mux.Mux, err = sipmux.New(sipmux.Config{Routes: routes, Auth: s.gate, FQDN: s.set.FQDN, Log: s.log, Peer: s.gate.Peer, Relay: s.proxy.Relay})
	return err
}

// adopt lets every service learn what the groups hold and follow what happens.
func (s *server) adopt(ctx context.Context) error {
	for _, x := range s.groups.all {
		if err := x.raft.Inspect(ctx, func() {
			s.presence.Adopt(x.state)
			s.im.Adopt(x.state)
			s.follows(x.raft.Observe(func(index uint64, events []any) { s.observe(x.state, index, events) }))
		}); err != nil {
			return err
		}
		if err := s.adoptGroup(ctx, x); err != nil {
			return err
		}
		if err := x.feedTo(s.contacts.Feed); err != nil {
			return err
		}
		s.life.Add("feed", time.Second, func(context.Context) error { return x.feedTo(nil) })
	}
	return nil
}

func (s *server) observe(state *groupstate.State, index uint64, events []any) {
	if _, lost := events[0].(replica.Lost); lost {
		s.reload(state)
	}
	s.registrar.Observe(index, events)
	s.im.Observe(state, events)
	s.meetings.Observe(events)
	s.contacts.Observe(state, events)
	s.presence.Observe(state, events)
}

// adoptGroup has the registrar take a group on. In a pool a group without a quorum keeps
// nobody from starting.
func (s *server) adoptGroup(ctx context.Context, x *group) error {
	if s.fabric != nil {
		return s.adoptSoon(ctx, x)
	}
	return s.registrar.Adopt(ctx, x)
}

// reload has every service take the state of a group that came as a whole, in place of
// the events that led to it.
func (s *server) reload(state *groupstate.State) {
	s.registrar.Reload(state)
	s.im.Adopt(state)
	s.presence.Adopt(state)
	s.presence.Afresh(state)
}

func (s *server) listen(ctx context.Context) error {
	tlsConf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.authority.GetCertificate, CipherSuites: httpd.Ciphers(), ClientAuth: s.asksForCertificates()}
	for _, l := range []struct {
		network string
		addr    conf.Address
		bound   *netip.AddrPort
	}{
		{"tls", s.set.SIP.TLS, &s.sipTLS}, {"tcp", s.set.SIP.TCP, &s.sipTCP}, {"udp", s.set.SIP.UDP, &s.sipUDP}, {"ws", s.set.SIP.WS, &s.sipWS},
		{"wss", s.set.SIP.WSS, &s.sipWSS},
	} {
		if l.addr.Off() {
			continue
		}
		at, err := s.layer.Listen(ctx, siptrans.Listener{Network: l.network, Addr: string(l.addr), TLS: tlsConf})
		if err != nil {
			return fault.Newf(fault.Unavailable, "frontend.listen", "cannot listen for SIP/%s on %s; choose another address with --sip-%s", strings.ToUpper(l.network), l.addr, l.network).Because(err)
		}
		*l.bound = at
	}
	return nil
}

func port(a conf.Address) int {
	if ap, err := netip.ParseAddrPort(string(a)); err == nil {
		return int(ap.Port())
	}
	return 0
}

func hostPort(host string, a conf.Address) string { return fmt.Sprintf("%s:%d", host, port(a)) }
