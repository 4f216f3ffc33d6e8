// Package conference is multiparty instant messaging: the focus factory, the focus
// of each running conference and the IM MCU ([MS-CONFPRO], [MS-CONFBAS],
// [MS-CONFIM]; RFC 4579 and 4575 for standard SIP clients).
//
// In a pool the server that leads the organizer's routing group runs the conference;
// the others pass requests on to it, and its own requests to their clients.
//
// What a conference is (id, subject, access, roles, lock, expiry) is in the routing
// group of its organizer and changes by commands. Who is in it is memory of this
// process: a restart ends every session, and clients join again. Each running
// conference has one focus with one lock and one queue of output, so all
// participants see messages and roster changes in the same order. docs/design/0003
// tells who owns what.
//
// A Service is safe for concurrent use. Observe never blocks.
package conference

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// App is the application of the addresses that this service answers for.
const App = "conf"

// Event is the event package of the roster, RFC 4575.
const Event = "conference"

// Groups finds the routing group of a user.
type Groups interface {
	Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error)
	Read(ctx context.Context, user uc.UserURI, f func(*groupstate.State)) error
}

// Link is the part of siptrans.Layer that is needed.
type Link interface {
	Conn(id uint64) *siptrans.Conn
	Datagram(remote netip.AddrPort) *siptrans.Conn
	Request(c *siptrans.Conn, req *sip.Message, on func(res *sip.Message, err error)) *siptrans.ClientTx
	Send(c *siptrans.Conn, m *sip.Message) error
}

// Config sets a Service up. Zero numbers and durations mean the defaults given here.
type Config struct {
	Groups Groups
	Link   Link
	Life   *life.Group
	Clock  clock.Clock
	Log    *slog.Logger
	FQDN   uc.ServerFQDN
	Epoch  uint64
	Port   int
	// Locate returns where a user is registered. It must not block.
	Locate func(uc.UserURI) []groupstate.Binding
	// Way is how a flow is reached, also one of another server, then with a Route
	// (sippeer.Peers.Way).
	Way func(f *groupstate.Flow) (c *siptrans.Conn, route string)
	// Pool is the part of the others in a pool; nil: this server is alone.
	Pool Pool
	// DisplayName is how others see the user, "" if nothing is known.
	DisplayName func(uc.UserURI) string
	// JoinURL is the address of the web page of a conference, "" for none.
	JoinURL func(organizer uc.UserURI, id string) string

	// Policies are asked each time, so that they can change while running; nil: the
	// defaults.
	Policies Policies

	AdHoc time.Duration // 8 h: how long a conference without an expiry is kept
	Grace time.Duration // 20 s: how long a lost participant may take to come back
}

// Pool is what the service has to know of the other servers. Its methods do not wait.
type Pool interface {
	// Primary is the server that leads the routing group of the organizer and so runs
	// the conferences; ok is false while none does.
	Primary(organizer uc.UserURI) (server uc.ServerFQDN, ok bool)
	// Forward has another server serve r in the name of r.User (sipproxy.Proxy.Elsewhere).
	Forward(r *sipmux.Request, server uc.ServerFQDN) error
	// Conn is the connection to another server (sippeer.Peers.Conn).
	Conn(server uc.ServerFQDN) (*siptrans.Conn, error)
}

// Policies are what administrators decided; the values are not changed.
type Policies interface {
	Conferencing(organizer uc.UserURI) *policy.Conferencing
	UserServices() *policy.UserServices
}

// usual are the policies where nobody decided.
type usual struct{}

func (usual) Conferencing(uc.UserURI) *policy.Conferencing {
	return policy.ConferencingPolicy.Default()
}
func (usual) UserServices() *policy.UserServices { return policy.UserServicesConfiguration.Default() }

// Service makes and runs conferences.
type Service struct {
	cfg      Config
	notifier *sipnotify.Notifier
	changes  queue
	watches  atomic.Uint64 // numbers of subscriptions

	remembered atomic.Int64 // bytes of what was said, in all foci

	mu       sync.Mutex // guards the maps below; taken last
	foci     map[place]*focus
	sessions map[sessionKey]*session
	seats    map[uc.UserURI]map[*seat]struct{}
	ties     map[*siptrans.Conn]map[*seat]struct{}
}

// New makes the service and starts its worker in cfg.Life.
func New(cfg Config) *Service {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Policies == nil {
		cfg.Policies = usual{}
	}
	orDefault(&cfg.AdHoc, 8*time.Hour)
	orDefault(&cfg.Grace, 20*time.Second)
	s := &Service{cfg: cfg, foci: map[place]*focus{}, sessions: map[sessionKey]*session{}, seats: map[uc.UserURI]map[*seat]struct{}{}, ties: map[*siptrans.Conn]map[*seat]struct{}{}}
	notify := sipnotify.Config{
		Link: cfg.Link, Locate: cfg.Locate, Server: cfg.FQDN, Epoch: cfg.Epoch, Host: string(cfg.FQDN), Port: cfg.Port,
		Gone: s.watcherGone, Now: cfg.Clock.Now,
	}
	if cfg.Pool != nil {
		notify.Peer = cfg.Pool.Conn
	}
	s.notifier = sipnotify.New(notify)
	s.changes.wake = make(chan struct{}, 1)
	cfg.Life.Go("conference: changes", s.work)
	return s
}

func orDefault(v *time.Duration, d time.Duration) {
	if *v == 0 {
		*v = d
	}
}

// Routes are the requests this service answers.
func (s *Service) Routes() []sipmux.Route {
	rows := []sipmux.Route{
		{Method: "SERVICE", Type: cccp.Type, Serve: s.factory, Doc: "makes, reads, changes and deletes conferences of the user ([MS-CONFPRO])"},
		{Method: "INVITE", Serve: s.invite, Doc: "joins a conference: its focus ([MS-CONFBAS]), its instant messages, or both as a standard SIP client"},
		{Method: "INFO", Serve: s.info, Doc: "commands to a conference: roles, lock, eject, end; and typing notices ([MS-CONFBAS], [MS-CONFIM])"},
		{Method: "MESSAGE", Serve: s.message, Quick: true, Doc: "an instant message to all participants"},
		{Method: "BYE", Serve: s.bye, Quick: true, Doc: "leaves a conference, or its instant messages"},
		{Method: "OPTIONS", Serve: s.options, Doc: "what a conference can do"},
	}
	for _, method := range []string{"NOTIFY", "PRACK", "REFER", "UPDATE"} {
		rows = append(rows, sipmux.Route{Method: method, Serve: s.unknown, Quick: true, Doc: "refused: a conference does not take it"})
	}
	for i := range rows {
		rows[i].App, rows[i].Who = App, sipmux.User
	}
	rows = append(rows, sipmux.Route{Method: "SUBSCRIBE", Event: Event, Who: sipmux.User, Serve: s.subscribe, Doc: "the roster of a conference that the user is in (RFC 4575)"})
	for i := range rows {
		rows[i].Asserted, rows[i].Serve = true, s.here(rows[i].Serve)
	}
	return append(rows, sipmux.Route{Method: "ACK", App: App, Who: sipmux.Anyone, Quick: true, Serve: s.ack, Doc: "completes an INVITE"})
}

const allowed = "INVITE, ACK, BYE, CANCEL, INFO, MESSAGE, OPTIONS, SUBSCRIBE"

func (s *Service) unknown(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	res := r.Reply(405, "")
	res.Add("Allow", allowed)
	return res, nil
}

func (s *Service) ack(context.Context, *sipmux.Request) (*sip.Message, error) { return nil, nil }
