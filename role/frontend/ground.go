package frontend

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/conf"
	"trivet/kit/life"
	"trivet/kit/sdnotify"
	"trivet/link/pki"
	"trivet/replica"
	"trivet/rule/policy"
	"trivet/service/auth"
	"trivet/store/central"
	"trivet/store/users"
	"trivet/uc"
)

// ground is what the services of a Front End stand on: the data folder, the
// certificates, the directory, the configuration and the routing groups. In a pool
// it outlives them: services stop when the pool loses its quorum, and start again
// on the same ground.
type ground struct {
	set     conf.Settings
	log     *slog.Logger
	clock   clock.Clock
	life    *life.Group
	manager *sdnotify.Manager // nil = started by hand
	epoch   uint64
	fqdn    uc.ServerFQDN
	pool    uc.PoolFQDN
	began   time.Time

	store         *users.SQLite
	central       *central.SQLite
	given         map[*policy.Kind]policy.Values // by the settings file
	configuration *central.Policies
	authority     *pki.Authority
	host          *replica.Host
	routing       []*group // index = id-1

	changes   hub[users.Change]   // of the directory
	documents hub[central.Change] // of the configuration
	reloads   hub[struct{}]       // the directory came as a whole from another server

	fabric         *fabric        // nil on a Standard Edition server
	directoryGroup *replica.Group // the same
	backEnd        *backEnd       // nil without databases of a pool

	conferences atomic.Pointer[func() int]                                          // how many run on this server, while services do
	services    atomic.Pointer[func(ctx context.Context) ([]cmdlet.Service, error)] // the services that run on this server of a pool
}

func newGround(ctx context.Context, set conf.Settings, log *slog.Logger) *ground {
	g := &ground{set: set, log: log, clock: clock.Real{}, fqdn: uc.ServerFQDN(set.FQDN), pool: uc.PoolFQDN(set.FQDN), began: time.Now()}
	g.life = life.New(context.WithoutCancel(ctx), log)
	return g
}

// steps are the ground of a Standard Edition server, from the bottom up.
func (g *ground) steps() []step {
	return []step{
		{"data folder", g.openFolder},
		{"directory", g.openDirectory},
		{"configuration", g.openCentral},
		{"certificates", g.openCertificates},
		{"routing groups", g.openGroups},
	}
}

// serveAlone opens the ground, runs the services on it until ctx ends, and closes
// it.
func (g *ground) serveAlone(ctx context.Context, out io.Writer, ready func(Ready)) error {
	err := g.climb(ctx, g.steps())
	if err == nil {
		err = newServer(ctx, g).serve(ctx, out, ready)
	}
	g.manager.Stopping()
	return errors.Join(err, g.close(ctx))
}

func (g *ground) close(ctx context.Context) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return g.life.Stop(stop)
}

func (g *ground) path(name string) string { return filepath.Join(g.set.Data, name) }

// openFolder makes the data folder, private to its owner, and counts the start.
func (g *ground) openFolder(context.Context) error {
	if err := os.MkdirAll(g.set.Data, 0o700); err != nil {
		return fault.Newf(fault.Unavailable, "frontend.openFolder", "the data folder %s cannot be made; choose another with --data", g.set.Data).Because(err)
	}
	var err error
	if g.epoch, err = nextEpoch(g.path("epoch")); err != nil && fault.KindOf(err) == fault.Internal {
		return fault.Newf(fault.Unavailable, "frontend.openFolder", "the data folder %s cannot be written; it must belong to the user who starts the server and have space", g.set.Data).Because(err)
	}
	return err
}

func (g *ground) openDirectory(ctx context.Context) error {
	store, err := users.OpenSQLite(ctx, g.path("users.db"), users.Options{Groups: groupCount})
	if err != nil {
		return err
	}
	g.store = store
	g.life.Add("directory", 5*time.Second, func(context.Context) error { return store.Close() })
	store.OnChange(g.changes.tell)
	return nil
}

func (g *ground) openCentral(ctx context.Context) error {
	store, err := central.OpenSQLite(ctx, g.path("central.db"), g.clock)
	if err != nil {
		return err
	}
	g.central = store
	g.life.Add("configuration", 5*time.Second, func(context.Context) error { return store.Close() })
	g.given = fromSettings(g.set)
	if g.configuration, err = central.OpenPolicies(ctx, store, g.set.Site, g.given); err != nil {
		return err
	}
	store.OnChange(g.documents.tell) // behind the new book
	return nil
}

func (g *ground) openCertificates(context.Context) error {
	listen, err := netip.ParseAddr(g.set.Listen)
	if err != nil {
		return fault.Wrap("frontend.openCertificates", err)
	}
	g.authority, err = pki.Open(pki.Config{
		Dir: g.set.Data, Clock: g.clock, Log: g.log, Clients: auth.Ledger{Store: g.store},
		Names: pki.Names{Server: g.fqdn, Pool: g.pool, Domains: []string{g.set.Domain}, Addrs: []netip.Addr{listen}},
	})
	if err != nil {
		return err
	}
	g.life.Add("certificates", time.Second, func(context.Context) error { return g.authority.Close() })
	g.life.Go("certificate renewal", g.authority.Run)
	return nil
}

func (g *ground) openGroups(ctx context.Context) error {
	host, err := replica.Open(context.WithoutCancel(ctx), replica.Config{Dir: g.path("groups"), Log: g.log, Clock: g.clock})
	if err != nil {
		return err
	}
	g.host = host
	g.life.Add("routing groups", 10*time.Second, host.Close)
	if err := os.RemoveAll(g.path(copyFolder)); err != nil { // of a backup that died
		return fault.Wrap("frontend.openGroups", err)
	}
	g.routing, err = startGroups(ctx, host, groupCount)
	return err
}

// hub passes changes on to whoever listens just now, one after the other.
type hub[T any] struct {
	mu   sync.Mutex // guards next and all
	next int
	all  []listener[T]
}

type listener[T any] struct {
	id int
	f  func(T)
}

// listen has f called with every change until the returned function is called.
func (h *hub[T]) listen(f func(T)) (end func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	id := h.next
	h.all = append(h.all[:len(h.all):len(h.all)], listener[T]{id, f})
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		kept := make([]listener[T], 0, len(h.all))
		for _, l := range h.all {
			if l.id != id {
				kept = append(kept, l)
			}
		}
		h.all = kept
	}
}

func (h *hub[T]) tell(change T) {
	h.mu.Lock()
	all := h.all
	h.mu.Unlock()
	for _, l := range all {
		l.f(change)
	}
}
