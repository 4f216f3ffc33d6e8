// Package registrar is where endpoints sign in: REGISTER as Lync clients
// ([MS-SIPREGE]) and as standard SIP user agents speak it (RFC 3261 10, GRUUs of
// RFC 5627, flows of RFC 5626, Path of RFC 3327); the index that says where a
// user can be reached; the end of registrations by lost connections, by time and
// by force.
//
// All methods of Registrar are safe for concurrent use. Observe runs on the
// goroutine of a routing group and never blocks.
package registrar

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/uc"
	"trivet/wire/sip"
)

// Groups finds the routing group of a user.
type Groups interface {
	Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error)
	Read(ctx context.Context, user uc.UserURI, f func(*groupstate.State)) error
}

// Group is one routing group that this server takes part in.
type Group interface {
	Propose(ctx context.Context, cmd groupstate.Command) (any, error)
	Read(ctx context.Context, f func(*groupstate.State)) error
	// Primary reports whether this server leads the group just now: only that one does
	// what must be done once.
	Primary() bool
}

// Link is the part of siptrans.Layer that is needed.
type Link interface {
	Conn(id uint64) *siptrans.Conn
	Request(c *siptrans.Conn, req *sip.Message, on func(res *sip.Message, err error)) *siptrans.ClientTx
}

// Config sets a Registrar up. Zero durations and numbers mean the defaults given
// here.
type Config struct {
	Groups   Groups
	Link     Link
	Life     *life.Group
	Clock    clock.Clock
	Log      *slog.Logger
	FQDN     uc.ServerFQDN          // of this server
	Epoch    uint64                 // of this run, higher than in all runs before
	Describe func(res *sip.Message) // adds Allow and the like to answers to OPTIONS; nil adds nothing

	// Policy has the limits of registrations; it is asked for every REGISTER, so that
	// they can change while running. nil: the defaults.
	Policy func() *policy.Registrar

	// Preferred is the server that leads the routing group of the user, with the URI at
	// which it takes Lync clients; ok is false when that is this server, when it is not
	// known to live, or when none leads. Nobody is sent there in a circle as long as
	// servers agree. nil: everybody stays.
	Preferred func(user uc.UserURI) (server uc.ServerFQDN, contact string, ok bool)

	// Draining reports whether this server is being left: who is signed in stays until it
	// stops, and nobody else signs in. nil: it is not.
	Draining func() bool

	// Contact is the URI at which this server takes Lync clients, the second choice of
	// those who are sent elsewhere; "" for none.
	Contact string

	// Blocked reports whether callee has blocked caller, who then sees somebody who is
	// not signed in; nil: nobody has.
	Blocked func(callee, caller uc.UserURI) bool

	Grace      time.Duration // 20 s: how long a lost endpoint may take to come back
	Farewell   time.Duration // 5 s: between a forced sign-out and the end of the connection
	SweepEvery time.Duration // 1 s
}

func orDefault(v *time.Duration, d time.Duration) {
	if *v == 0 {
		*v = d
	}
}

// Registrar answers REGISTER and knows who is where.
type Registrar struct {
	cfg   Config
	index index
	lost  queue
	tying sync.Mutex // guards the making of ties

	mu     sync.Mutex // guards groups
	groups []Group    // adopted
}

// New makes a Registrar and starts its workers in cfg.Life.
func New(cfg Config) *Registrar {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Policy == nil {
		cfg.Policy = policy.RegistrarConfiguration.Default
	}
	orDefault(&cfg.Grace, 20*time.Second)
	orDefault(&cfg.Farewell, 5*time.Second)
	orDefault(&cfg.SweepEvery, time.Second)
	r := &Registrar{cfg: cfg}
	r.index.init()
	r.lost.init()
	for range lostWorkers {
		cfg.Life.Go("registrar: lost connections", r.work)
	}
	return r
}

// Routes are the rows of the registrar.
func (r *Registrar) Routes() []sipmux.Route {
	return []sipmux.Route{
		{Method: "REGISTER", Who: sipmux.User, Doc: "signs an endpoint in, refreshes it or signs it out", Serve: r.register},
		{Method: "OPTIONS", Who: sipmux.Anyone, Doc: "what this server, or a user, can do", Serve: r.options},
	}
}

// Observe takes the live events of a routing group, in log order; register it
// with the group before Adopt.
func (r *Registrar) Observe(_ uint64, events []any) {
	for _, e := range events {
		switch e := e.(type) {
		case groupstate.Bound:
			before := r.index.get(e.User)
			r.index.set(e.User, e.Bindings)
			r.bound(&e, before)
		case groupstate.Detached:
			r.index.set(e.User, e.Bindings)
		case groupstate.Unbound:
			r.index.set(e.User, e.Bindings)
			r.release(e.User, &e.Ended)
			if e.Reason == groupstate.AttributesChanged && e.Ended.Flow.Server == r.cfg.FQDN && !e.Ended.Detached {
				r.lost.add(job{farewell: farewellOf(e, events)})
			}
		}
	}
}

// Adopt takes a routing group on: fills the index from its state, detaches what this
// server had in former runs, and from now on sweeps the group whenever this server
// leads it.
func (r *Registrar) Adopt(ctx context.Context, g Group) error {
	if err := g.Read(ctx, r.Reload); err != nil {
		return err
	}
	if err := r.restarted(ctx, g, r.cfg.FQDN, r.cfg.Epoch); err != nil {
		return err
	}
	r.mu.Lock()
	r.groups = append(r.groups, g)
	r.mu.Unlock()
	r.cfg.Life.Go("registrar: sweep", func(ctx context.Context) error { return r.sweep(ctx, g) })
	return nil
}

// Reload takes the state of a group as a whole: at the start, and when it came as a
// snapshot in place of events. Call it on the group's goroutine.
func (r *Registrar) Reload(state *groupstate.State) {
	for u := range state.Users() {
		before, bindings := r.index.get(u.URI()), u.Bindings()
		r.index.set(u.URI(), bindings)
		for i := range bindings {
			r.bound(&groupstate.Bound{User: u.URI(), Endpoint: bindings[i].Endpoint, Bindings: bindings}, before)
		}
		for i := range before {
			if u.Binding(before[i].Endpoint) == nil {
				r.release(u.URI(), &before[i])
			}
		}
	}
}

func (r *Registrar) now() int64 { return r.cfg.Clock.Now().UnixMilli() }

// result gives the outcome of a proposal its type; a refusal by the state is the
// error that it is.
func result[R any](v any, err error) (R, error) {
	var none R
	if err == nil {
		err = groupstate.Refused(v)
	}
	if err != nil {
		return none, err
	}
	return v.(R), nil
}

// Endpoints lists the registered endpoints of a user as the group has them now.
func (r *Registrar) Endpoints(ctx context.Context, user uc.UserURI) (bindings []groupstate.Binding, err error) {
	err = r.cfg.Groups.Read(ctx, user, func(s *groupstate.State) {
		if u := s.User(user); u != nil {
			bindings = u.Bindings()
		}
	})
	return bindings, err
}

// Locate returns where the user is registered as this server has seen it last,
// detached endpoints among them (Binding.Detached: not reachable just now). The
// slice is shared and must not be changed. It neither waits nor allocates.
func (r *Registrar) Locate(user uc.UserURI) []groupstate.Binding { return r.index.get(user) }

// Count returns how many users and endpoints are registered.
func (r *Registrar) Count() (users, endpoints int) { return r.index.count() }
