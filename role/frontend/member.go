package frontend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
	"trivet/kit/conf"
	"trivet/kit/sdnotify"
	"trivet/link/peer"
	"trivet/link/pki"
	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/rule/topology"
	"trivet/service/poolmanager"
	"trivet/store/central"
	"trivet/store/directory"
	"trivet/store/users"
	"trivet/uc"
)

// member is one Front End of a pool: the ground that its services stand on, which
// lives as long as the process, and the services, which run while the pool has a
// quorum.
type member struct {
	*ground
	document  []byte // the topology this server was started with
	version   string // of the program
	out       io.Writer
	directory *directory.Machine

	jobs   chan *job
	halted atomic.Bool // an administrator has stopped the services
	marked sync.Once   // word was left in the Back End that the pool exists

	mu     sync.Mutex // guards reason
	reason string     // what the server waits for, "" once it serves
}

// Place says which server of which topology a process is.
type Place struct {
	Document []byte // as it was read
	Topology *topology.Document
	Pool     *topology.Pool
	Computer *topology.Computer
	Version  string // of the program
}

// quorumGrace is how long the pool group may be without a leader before the services
// of a server stop: longer than an election takes.
const quorumGrace = 5 * time.Second

// errNoQuorum ends the services of a server.
var errNoQuorum = errors.New("the pool has too few servers: its services stop until enough of them are connected")

// RunMember serves as a Front End of a pool until ctx ends. out gets lines that begin
// "starting" with what the server waits for, and "ready" when it serves.
func RunMember(ctx context.Context, set conf.Settings, at Place, log *slog.Logger, out io.Writer) error {
	g := newGround(ctx, set, log)
	g.manager = sdnotify.Open(log)
	g.pool = at.Pool.FQDN
	g.fabric = &fabric{pool: at.Pool, self: at.Computer.FQDN, log: log, clock: g.clock, start: g.life.Go, began: g.began}
	g.fabric.view.Store(&poolstate.Pool{})
	m := &member{ground: g, document: at.Document, version: at.Version, out: out, directory: directory.New(), jobs: make(chan *job)}
	err := m.climb(ctx, []step{
		{"data folder", m.openFolder},
		{"directory", m.openDirectory},
		{"configuration", m.openCentral},
		{"certificates", m.openCertificates},
		{"Back End", m.openBackEnd},
		{"links", m.openLinks},
	})
	if err == nil {
		err = m.live(ctx)
	}
	g.manager.Stopping()
	return errors.Join(err, g.close(ctx))
}

// live joins the pool, then runs the services whenever the pool lets them.
func (m *member) live(ctx context.Context) error {
	room, err := m.openRoom(ctx)
	if err != nil {
		return err
	}
	err = m.climb(ctx, []step{
		{"place in the pool", m.join},
		{"pool group", m.openPool},
		{"opening of the pool", m.awaitOpen},
		{"groups", m.openGroups},
	})
	for err == nil {
		if err = m.awaitQuorum(ctx); err != nil {
			break
		}
		if err = room.close(ctx); err != nil {
			break
		}
		err = m.serveWhileQuorum(ctx)
		if ctx.Err() != nil || err != nil {
			return err
		}
		room, err = m.openRoom(ctx)
	}
	if room != nil {
		err = errors.Join(err, room.close(ctx))
	}
	if ctx.Err() != nil {
		return nil // somebody wants it to end
	}
	return err
}

// serveWhileQuorum runs the services until ctx ends, something fails, or the pool has
// been without a leader for too long, which is no failure.
func (m *member) serveWhileQuorum(ctx context.Context) error {
	serving, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	var work *job
	if !m.life.Go("quorum of the pool", func(context.Context) error { // ends with serving
		defer close(watched)
		work = m.watchQuorum(serving, stop)
		return nil
	}) {
		return nil // the process ends
	}
	s := newServer(serving, m.ground)
	err := s.serve(serving, m.out, func(Ready) {
		running := pool{s}.Services
		m.services.Store(&running)
		m.wait("")
	})
	m.services.Store(nil)
	lost := errors.Is(context.Cause(serving), errNoQuorum)
	stop(nil)
	<-watched
	if work != nil {
		m.carryOut(ctx, work)
		return nil
	}
	switch {
	case lost:
		m.log.Error("the services have stopped: the pool has too few servers", "connected", list(m.fabric.connected()), "missing", list(m.fabric.absent()))
		return nil
	case err != nil && (fault.Is(err, fault.NoQuorum) || fault.Is(err, fault.Timeout)) && ctx.Err() == nil:
		m.log.Warn("the services could not start; trying again", "err", err)
		return pause(ctx, m.clock, time.Second)
	}
	return err
}

// watchQuorum stops the services when the pool group has had no leader for the grace, or
// when there is something to do for which they may not run, which it returns.
func (m *member) watchQuorum(ctx context.Context, stop context.CancelCauseFunc) *job {
	t := m.clock.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	last := m.clock.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-m.jobs:
			stop(errRework)
			return j
		case <-t.C():
		}
		now := m.clock.Now()
		if m.fabric.leader(uc.PoolGroup) != "" {
			last = now
		} else if now.Sub(last) > quorumGrace {
			stop(errNoQuorum)
			return nil
		}
	}
}

// wait notes what the server waits for, and tells those who look at its output.
func (m *member) wait(reason string) {
	m.mu.Lock()
	same := m.reason == reason
	m.reason = reason
	m.mu.Unlock()
	if same || reason == "" {
		return
	}
	m.log.Info("starting", "waits for", reason)
	m.manager.Status("starting: waits for " + reason)
	fmt.Fprintf(m.out, "starting  %s waits for %s\n", m.fqdn, reason)
}

func (m *member) waits() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reason
}

func (m *member) openDirectory(ctx context.Context) error {
	store, err := users.OpenSQLite(ctx, m.path("users.db"), users.Options{Groups: m.fabric.pool.RoutingGroups, Log: m.directory.Log("users")})
	if err != nil {
		return err
	}
	m.store = store
	m.life.Add("directory", 5*time.Second, func(context.Context) error { return store.Close() })
	store.OnChange(m.changes.tell)
	store.OnReload(func() { m.reloads.tell(struct{}{}) })
	m.directory.Join("users", store.Shared())
	return nil
}

func (m *member) openCentral(ctx context.Context) error {
	store, err := central.OpenShared(ctx, m.path("central.db"), m.clock, m.directory.Log("central"))
	if err != nil {
		return err
	}
	m.central = store
	m.life.Add("configuration", 5*time.Second, func(context.Context) error { return store.Close() })
	m.given = fromSettings(m.set)
	store.OnChange(func(c central.Change) {
		if m.configuration != nil { // it follows by itself, and is told first
			m.documents.tell(c)
		}
	})
	store.OnReload(func() { m.life.Go("configuration", m.reloadPolicies) })
	m.directory.Join("central", store.Shared())
	return nil
}

// reloadPolicies reads the configuration again, which came as a whole.
func (m *member) reloadPolicies(ctx context.Context) error {
	if m.configuration == nil {
		return nil
	}
	if err := m.configuration.Reload(ctx); err != nil && ctx.Err() == nil {
		m.log.Error("the configuration that came from another server cannot be read", "err", err)
	}
	return nil
}

// openLinks begins to speak with the other servers.
func (m *member) openLinks(ctx context.Context) (err error) {
	f := m.fabric
	if f.id, err = m.readIdentity(m.pool); err != nil {
		return err
	}
	roots, err := pki.ReadRoots(m.path("ca.pem"))
	if err != nil {
		return err
	}
	f.links = peer.New(peer.Config{
		Self: m.fqdn, Servers: f.addresses, Certificate: m.authority.Source(pki.Default), Roots: roots,
		Clock: m.clock, Log: m.log, Life: m.life,
	})
	f.serveJoining()
	at := fmt.Sprintf("%s:%d", m.set.Listen, f.pool.Ports.Peer)
	if _, err := f.links.Listen(ctx, at); err != nil {
		return fault.Newf(fault.Unavailable, "frontend.openLinks", "cannot listen for the other servers of the pool on %s; the topology has another port under ports: peer", at).Because(err)
	}
	return nil
}

// openPool opens the groups' host and starts the pool group.
func (m *member) openPool(ctx context.Context) error {
	f := m.fabric
	cfg := replica.Config{
		Dir: m.path("groups"), NodeID: f.number, Log: m.log, Clock: m.clock, Servers: f.server, Transport: wire{f}, Witness: quorum.Witness,
	}
	if m.backEnd != nil {
		cfg.WitnessStore = m.backEnd.store
	}
	host, err := replica.Open(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return err
	}
	m.host, f.host = host, host
	m.life.Add("groups", 10*time.Second, host.Close)
	if err := os.RemoveAll(m.path(copyFolder)); err != nil { // of a backup that died
		return fault.Wrap("frontend.openPool", err)
	}
	group, err := host.Start(ctx, uc.PoolGroup, poolMachine{poolstate.New(), f}, m.firstMembers())
	if err != nil {
		return err
	}
	m.serveRecovery()
	f.started.Store(group)
	f.receive()
	m.startManager()
	m.startMirroring()
	m.serveHalt()
	m.serveReport()
	m.life.Go("upgrade of the pool", m.driveUpgrade)
	m.life.Go("copies of groups", m.watchCopies)
	return nil
}

// firstMembers are those of the pool group and the directory group of a pool that is
// started for the first time; none for a server that joins later.
func (m *member) firstMembers() replica.Members {
	if m.fabric.id.Late {
		return replica.Members{}
	}
	var first replica.Members
	n := len(m.fabric.pool.Computers)
	for i := range m.fabric.pool.Computers {
		if i < quorum.Seeds(n) {
			first.Voters = append(first.Voters, uint64(i+1))
		} else {
			first.Observers = append(first.Observers, uint64(i+1))
		}
	}
	if m.fabric.pool.BackEnd != nil && quorum.HasWitness(n) {
		first.Voters = append(first.Voters, quorum.Witness)
	}
	return first
}

func (m *member) startManager() {
	m.fabric.serveOrders()
	m.fabric.serveLed()
	m.life.Go("leaders of groups", m.fabric.askWhoLeads)
	m.fabric.serveProgress()
	manager := poolmanager.New(poolmanager.Config{Pool: managed{m}, Clock: m.clock, Log: m.log})
	m.life.Go("pool manager", func(ctx context.Context) error { return manager.Run(ctx, m.life.Go) })
}

// awaitOpen waits for the pool to be opened, and says what keeps it from that.
func (m *member) awaitOpen(ctx context.Context) error {
	return m.await(ctx, func() string {
		p := m.fabric.state()
		if p.Open() {
			return ""
		}
		if m.fabric.leader(uc.PoolGroup) == "" {
			return m.fabric.quorumReason()
		}
		n := len(m.fabric.pool.Computers)
		return "its first start, for which " + count(quorum.FirstStart(n), "server") + " of " + count(n, "server") + " must run; missing: " + list(m.fabric.absent())
	})
}

// awaitQuorum waits until the pool has a leader, and the directory can be read.
func (m *member) awaitQuorum(ctx context.Context) error {
	err := m.await(ctx, func() string {
		switch {
		case m.halted.Load():
			return haltReason
		case m.fabric.leader(uc.PoolGroup) == "":
			return m.fabric.quorumReason()
		case m.fabric.leader(uc.DirectoryGroup) == "":
			return "the directory group, which has no leader; connected: " + list(m.fabric.connected())
		}
		return ""
	})
	if err != nil {
		return err
	}
	return m.agree(ctx)
}

// await asks for a reason to wait until there is none.
func (m *member) await(ctx context.Context, reason func() string) error {
	t := m.clock.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		why := reason()
		if why == "" {
			return nil
		}
		m.wait(why)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case j := <-m.jobs:
			m.carryOut(ctx, j)
		case <-m.host.Broken():
			return m.host.Err()
		case <-m.life.Context().Done():
			return context.Cause(m.life.Context())
		case <-t.C():
		}
	}
}

// agree brings this server to what the pool knows: that it has started, and the
// directory as it is now.
func (m *member) agree(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	p, err := m.fabric.propose(limited, &poolstate.Claim{FQDN: m.fqdn, Instance: m.fabric.id.Instance})
	if err != nil {
		return m.later(ctx, "the pool, to know that this server has started", err)
	}
	if s := p.Server(m.fqdn); s.Number != m.fabric.number {
		return fault.Newf(fault.Invalid, "frontend.agree", "the pool knows this server under the number %d, and the data folder is that of number %d: another folder was used meanwhile; start it with an empty folder", s.Number, m.fabric.number).About(m.set.Data)
	}
	if err := m.undrain(limited, p); err != nil {
		return m.later(ctx, "the pool, to know that this server serves again", err)
	}
	m.marked.Do(func() { m.life.Go("word in the Back End", m.markOpened) })
	if err := m.directoryGroup.Read(limited, func() {}); err != nil {
		return m.later(ctx, "the directory", err)
	}
	if m.configuration == nil {
		if m.configuration, err = central.OpenPolicies(ctx, m.central, m.set.Site, m.given); err != nil {
			return m.later(ctx, "the configuration", err)
		}
	}
	return nil
}

// later goes on waiting after a failure that another attempt may not have.
func (m *member) later(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if k := fault.KindOf(err); k != fault.NoQuorum && k != fault.Timeout && k != fault.Unavailable && k != fault.NotPrimary {
		return err
	}
	m.wait(what + ": " + err.Error())
	if err := pause(ctx, m.clock, time.Second); err != nil {
		return err
	}
	return m.awaitQuorum(ctx)
}

// openGroups starts the directory group and the routing groups.
func (m *member) openGroups(ctx context.Context) error {
	f := m.fabric
	first := m.firstMembers()
	group, err := m.host.Start(ctx, uc.DirectoryGroup, m.directory, first)
	if err != nil {
		return err
	}
	m.directoryGroup = group
	m.directory.Serve(directoryGroup{group})
	m.life.Add("directory group", time.Second, func(context.Context) error { m.directory.Serve(nil); return nil })
	p := f.state()
	for id := uc.GroupID(1); int(id) <= len(p.Groups); id++ {
		var members replica.Members
		if voters, observers, ok := p.FirstMembers(id, f.number); ok {
			members = replica.Members{Voters: voters, Observers: observers}
		}
		x, err := startGroup(ctx, m.host, id, members)
		if err != nil {
			return err
		}
		m.routing = append(m.routing, x)
	}
	return nil
}

// directoryGroup is the group as the stores write to it.
type directoryGroup struct{ g *replica.Group }

var _ directory.Group = directoryGroup{}

// Propose implements directory.Group.
func (d directoryGroup) Propose(ctx context.Context, cmd []byte) (any, error) {
	return d.g.Propose(ctx, cmd)
}

// Sync implements directory.Group.
func (d directoryGroup) Sync(ctx context.Context) error { return d.g.Read(ctx, func() {}) }

func list(names []uc.ServerFQDN) string {
	if len(names) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if base, ok := strings.CutSuffix(what, "y"); ok {
		return fmt.Sprintf("%d %sies", n, base)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
