// Package box is a whole deployment on the loopback addresses of one computer:
// every server a process of its own, as it is in earnest, with relays between
// them that can be cut and slowed. "trivet lab" is made of it, and tests of
// pools are.
//
// A box has a number N. Front End i listens on 127.0.N.i; the relays through
// which it reaches the others on 127.0.N.(100+i); names are answered on
// 127.0.N.53. Each server gets a topology document of its own, in which the
// others have the addresses of its relays.
//
// Everything lies in one folder: the keys of the pool, and for each server its
// data folder, topology and log. A box that is started again in the same folder
// goes on with what is there.
package box

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/pki"
)

// Spec says what deployment it is.
type Spec struct {
	Dir       string         // everything of the box; is made
	FrontEnds int            // 1 to 12
	BackEnd   bool           // with a database server; needs Debian's postgresql-15
	Mirror    bool           // and another that mirrors it
	Domain    string         // "": example.test
	Hold      bool           // servers are not started: Run does
	Number    byte           // 0: the first that is free
	Program   []string       // how a server is started, in front of its flags; nil: this program's "server"
	Log       *slog.Logger   // nil: none
	Topology  TopologyWriter // nil: Document
}

const (
	maxFrontEnds = 12
	stopTime     = 30 * time.Second // for a server to stop in order
	probeTime    = 2 * time.Second  // for the answer of /health/ready
	probeEvery   = 100 * time.Millisecond
)

// Box is a running deployment. Its methods may be called from any goroutine.
type Box struct {
	Plan Plan

	spec     Spec
	group    *life.Group
	servers  []*process // in the order of the plan
	machines []machine  // these, and the database servers before them
	network  *network
	client   *http.Client
}

// machine is what can be started and stopped: a Front End or a database server.
type machine interface {
	called(name string) bool
	start(context.Context) error // fault.Exists if it runs
	stop(context.Context) error  // nothing if it does not run
	kill(context.Context) error  // fault.Gone if it does not run, like pause and resume
	pause() error
	resume() error
	report(context.Context) Report
}

// called reports whether the server goes by that name or FQDN.
func (s Server) called(name string) bool {
	return strings.EqualFold(name, s.Name) || strings.EqualFold(name, string(s.FQDN))
}

// Start makes the folder, the keys and the topology, starts the relays, the
// answers for names and all servers, and returns without waiting for them to be
// ready: see Await. Close ends the box; when ctx ends the relays do.
func Start(ctx context.Context, spec Spec) (*Box, error) {
	const op = "box.Start"
	if spec.FrontEnds < 1 || spec.FrontEnds > maxFrontEnds {
		return nil, fault.Newf(fault.Invalid, op, "a pool has 1 to %d Front Ends, not %d", maxFrontEnds, spec.FrontEnds)
	}
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	if spec.Topology == nil {
		spec.Topology = Document
	}
	if spec.Program == nil {
		self, err := os.Executable()
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		spec.Program = []string{self, "server"}
	}
	b := &Box{spec: spec, group: life.New(ctx, spec.Log)}
	if err := b.build(ctx); err != nil {
		b.Close(context.Background())
		return nil, fault.Wrap(op, err)
	}
	return b, nil
}

func (b *Box) build(ctx context.Context) error {
	dir, err := filepath.Abs(b.spec.Dir)
	if err != nil {
		return err
	}
	names, number, err := listenNames(b.spec.Number)
	if err != nil {
		return err
	}
	b.Plan = newPlan(dir, b.spec.Domain, b.spec.FrontEnds, number)
	names.serve(b.group, b.Plan.records())
	if b.spec.BackEnd {
		b.Plan.BackEnd = b.Plan.backEnd(b.spec.Mirror)
		if err := b.backEnd(ctx); err != nil {
			return err
		}
	}
	if err := b.keys(); err != nil {
		return err
	}
	b.network = newNetwork(b.group)
	if err := b.network.connect(b.Plan); err != nil {
		return err
	}
	for _, s := range b.Plan.Servers {
		if err := os.WriteFile(s.Topology, b.spec.Topology(b.Plan, s), 0o600); err != nil {
			return err
		}
		p := newProcess(b, s)
		b.servers, b.machines = append(b.servers, p), append(b.machines, p)
		if b.spec.Hold {
			continue
		}
		if err := p.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Wipe destroys the data folder of a server that has ended, as a lost disk does, and
// gives it the keys of the pool again.
func (b *Box) Wipe(name string) error {
	const op = "box.Wipe"
	for _, p := range b.servers {
		if p.Name != name && string(p.FQDN) != name {
			continue
		}
		if p.running() {
			return fault.New(fault.Exists, op, "the server runs; kill or stop it first").About(name)
		}
		if err := os.RemoveAll(p.Data); err != nil {
			return fault.Wrap(op, err)
		}
		return pki.Share(b.Plan.Keys(), p.Data)
	}
	return fault.New(fault.NotFound, op, "there is no such Front End").About(name)
}

// keys gives every server the authority and the secrets of the pool.
func (b *Box) keys() error {
	if err := pki.NewPool(b.Plan.Keys(), b.Plan.Pool, clock.Real{}); err != nil {
		return err
	}
	for _, s := range b.Plan.Servers {
		if err := pki.Share(b.Plan.Keys(), s.Data); err != nil {
			return err
		}
	}
	roots, err := pki.ReadRoots(filepath.Join(b.Plan.Keys(), "ca.pem"))
	if err != nil {
		return err
	}
	b.client = &http.Client{Timeout: probeTime, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: string(b.Plan.Pool), MinVersion: tls.VersionTLS12},
	}}
	return nil
}

// Close stops all servers in order, kills those that do not stop, the databases
// after the others, and ends the relays.
func (b *Box) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	databases := b.machines[:len(b.machines)-len(b.servers)]
	b.closeAll(ctx, b.machines[len(databases):])
	b.closeAll(ctx, databases)
	return b.group.Stop(ctx)
}

// closeAll stops machines at the same time.
func (b *Box) closeAll(ctx context.Context, list []machine) {
	ends := make(chan struct{}, len(list))
	for _, m := range list {
		if !b.group.Go("stop", func(context.Context) error {
			defer func() { ends <- struct{}{} }()
			if m.stop(ctx) != nil {
				m.kill(context.WithoutCancel(ctx))
			}
			return nil
		}) {
			ends <- struct{}{}
		}
	}
	for range list {
		<-ends
	}
}

// find is a machine by its short name or FQDN.
func (b *Box) find(name string) (machine, error) {
	var all []string
	for _, m := range b.machines {
		if m.called(name) {
			return m, nil
		}
		switch m := m.(type) {
		case *process:
			all = append(all, m.Name)
		case *database:
			all = append(all, m.Name)
		}
	}
	return nil, fault.Newf(fault.NotFound, "box.find", "there is no server %q; there are %s", name, strings.Join(all, ", "))
}

// Kill ends a server at once, as a power failure does (SIGKILL).
func (b *Box) Kill(ctx context.Context, name string) error {
	return b.with(name, func(m machine) error { return m.kill(ctx) })
}

// Run starts a server that has ended.
func (b *Box) Run(ctx context.Context, name string) error {
	return b.with(name, func(m machine) error { return m.start(ctx) })
}

// Pause stops a server's time (SIGSTOP): it keeps its connections and does nothing.
func (b *Box) Pause(name string) error { return b.with(name, machine.pause) }

// Resume lets a paused server go on (SIGCONT).
func (b *Box) Resume(name string) error { return b.with(name, machine.resume) }

// Stop stops a server in order (SIGTERM) and waits for its end.
func (b *Box) Stop(ctx context.Context, name string) error {
	return b.with(name, func(m machine) error { return m.stop(ctx) })
}

func (b *Box) with(name string, do func(machine) error) error {
	m, err := b.find(name)
	if err != nil {
		return err
	}
	return do(m)
}

// Cut holds what goes from one server to the other, and not what comes back,
// like a line with one broken wire: connections stay open and silent.
func (b *Box) Cut(from, to string) error { return b.valve(from, to, (*valve).shut) }

// Slow delays what goes from one server to the other.
func (b *Box) Slow(from, to string, by time.Duration) error {
	return b.valve(from, to, func(v *valve) { v.delay(by) })
}

// Heal undoes Cut and Slow from one server to the other; what was held arrives.
func (b *Box) Heal(from, to string) error { return b.valve(from, to, (*valve).open) }

// HealAll undoes every Cut and Slow.
func (b *Box) HealAll() { b.network.healAll() }

func (b *Box) valve(from, to string, turn func(*valve)) error {
	var ends [2]*process
	for i, name := range []string{from, to} {
		m, err := b.find(name)
		if err != nil {
			return err
		}
		if ends[i], _ = m.(*process); ends[i] == nil {
			return fault.New(fault.Unsupported, "box.valve", "only lines between Front Ends can be cut and slowed; a database server can be paused").About(name)
		}
	}
	if ends[0] == ends[1] {
		return fault.New(fault.Invalid, "box.valve", "a server has no line to itself; name two").About(from)
	}
	turn(b.network.valve(ends[0].FQDN, ends[1].FQDN))
	return nil
}

// healthURL is where a server says whether it is ready.
func (s Server) healthURL() string {
	return "https://" + net.JoinHostPort(s.Addr.String(), portHTTPS) + "/health/ready"
}
