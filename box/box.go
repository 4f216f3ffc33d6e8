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
	Domain    string         // "": example.test
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

	spec    Spec
	group   *life.Group
	servers []*process // in the order of the plan
	network *network
	client  *http.Client
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
	if err := b.build(); err != nil {
		b.Close(context.Background())
		return nil, fault.Wrap(op, err)
	}
	return b, nil
}

func (b *Box) build() error {
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
		b.servers = append(b.servers, p)
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
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

// Close stops all servers in order, kills those that do not stop, and ends the
// relays.
func (b *Box) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	ends := make(chan struct{}, len(b.servers))
	for _, p := range b.servers {
		if !b.group.Go("stop "+p.Name, func(context.Context) error {
			defer func() { ends <- struct{}{} }()
			if p.stop(ctx) != nil {
				p.kill()
			}
			return nil
		}) {
			ends <- struct{}{}
		}
	}
	for range b.servers {
		<-ends
	}
	return b.group.Stop(ctx)
}

// find is the process of a server by its short name or FQDN.
func (b *Box) find(name string) (*process, error) {
	var all []string
	for _, p := range b.servers {
		if strings.EqualFold(name, p.Name) || strings.EqualFold(name, string(p.FQDN)) {
			return p, nil
		}
		all = append(all, p.Name)
	}
	return nil, fault.Newf(fault.NotFound, "box.find", "there is no server %q; there are %s", name, strings.Join(all, ", "))
}

// Kill ends a server at once, as a power failure does (SIGKILL).
func (b *Box) Kill(name string) error { return b.with(name, (*process).kill) }

// Run starts a server that has ended.
func (b *Box) Run(name string) error { return b.with(name, (*process).start) }

// Pause stops a server's time (SIGSTOP): it keeps its connections and does nothing.
func (b *Box) Pause(name string) error { return b.with(name, (*process).pause) }

// Resume lets a paused server go on (SIGCONT).
func (b *Box) Resume(name string) error { return b.with(name, (*process).resume) }

// Stop stops a server in order (SIGTERM) and waits for its end.
func (b *Box) Stop(ctx context.Context, name string) error {
	return b.with(name, func(p *process) error { return p.stop(ctx) })
}

func (b *Box) with(name string, do func(*process) error) error {
	p, err := b.find(name)
	if err != nil {
		return err
	}
	return do(p)
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
	x, err := b.find(from)
	if err != nil {
		return err
	}
	y, err := b.find(to)
	if err != nil {
		return err
	}
	if x == y {
		return fault.New(fault.Invalid, "box.valve", "a server has no line to itself; name two").About(x.Name)
	}
	turn(b.network.valve(x.FQDN, y.FQDN))
	return nil
}

// healthURL is where a server says whether it is ready.
func (s Server) healthURL() string {
	return "https://" + net.JoinHostPort(s.Addr.String(), portHTTPS) + "/health/ready"
}
