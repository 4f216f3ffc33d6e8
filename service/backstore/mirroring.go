package backstore

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/rule/mirroring"
)

// patience is how long a server, or the connection between the two, may be away before
// something is decided about it.
const patience = 10 * time.Second

// mirrorInterval is the time between two looks at the servers.
const mirrorInterval = 2 * time.Second

// Servers are the two of the Back End: store/backend.
type Servers interface {
	Look(ctx context.Context, side mirroring.Side) mirroring.Server
	Wait(ctx context.Context, principal mirroring.Side, wait bool) error
	Promote(ctx context.Context, side mirroring.Side) error
	Follow(side mirroring.Side)
}

// Witnesses are the Front Ends as witness of the pair.
type Witnesses interface {
	// Pair is what the pool remembers of the pair.
	Pair() mirroring.Pair
	// SetPair replaces it; fault.Stale when it is not from any more. It is in the pool
	// group's log when SetPair returns nil.
	SetPair(ctx context.Context, from, to mirroring.Pair) error
	// Leads reports whether this server is the leader of the pool group.
	Leads() bool
	// Survey asks the running Front Ends, this one too, for their Mirroring.Lost.
	Survey(ctx context.Context) (members, lost int)
}

// Mirroring watches over the pair. All methods are safe for concurrent use.
type Mirroring struct {
	servers Servers
	pool    Witnesses
	clock   clock.Clock
	log     *slog.Logger

	mu       sync.Mutex // guards the fields below
	unseen   time.Time  // since when the principal is not reached; zero while it is
	detached time.Time  // since when the principal is without its mirror
}

// NewMirroring makes a Mirroring. Start has it watch.
func NewMirroring(servers Servers, pool Witnesses, c clock.Clock, log *slog.Logger) *Mirroring {
	return &Mirroring{servers: servers, pool: pool, clock: c, log: log}
}

// Start runs the watch in a goroutine of g.
func (m *Mirroring) Start(g *life.Group) {
	g.Go("mirroring", func(ctx context.Context) error {
		tick := m.clock.NewTicker(mirrorInterval)
		defer tick.Stop()
		for {
			if a, err := m.Step(ctx); err != nil && ctx.Err() == nil {
				m.log.Warn("the mirroring of the Back End is not as it should be", "action", a.String(), "err", err)
			}
			select {
			case <-tick.C():
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// Lost reports whether this server has not reached the principal for a while.
func (m *Mirroring) Lost() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.unseen.IsZero() && m.clock.Now().Sub(m.unseen) >= patience
}

// Step looks at the servers and, on the leader of the pool group, does the next thing.
func (m *Mirroring) Step(ctx context.Context) (mirroring.Action, error) {
	pair := m.pool.Pair()
	at := pair.Principal()
	m.servers.Follow(at)
	principal := m.servers.Look(ctx, at)
	if ctx.Err() != nil {
		return mirroring.Nothing, nil
	}
	detached := m.note(principal)
	if !m.pool.Leads() {
		return mirroring.Nothing, nil
	}
	v := mirroring.View{Pair: pair, Principal: principal, Mirror: m.servers.Look(ctx, at.Other()), Detached: detached}
	v.Members, v.Lost = m.pool.Survey(ctx)
	a := mirroring.Next(v)
	if a != mirroring.Nothing {
		m.log.Info("mirroring of the Back End", "action", a.String(), "principal", at.String())
	}
	return a, m.do(ctx, a, pair)
}

// note keeps since when something is away, and reports whether the mirror has been for
// long enough.
func (m *Mirroring) note(principal mirroring.Server) (detached bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	since := func(t *time.Time, away bool) {
		if !away {
			*t = time.Time{}
		} else if t.IsZero() {
			*t = now
		}
	}
	since(&m.unseen, !principal.Reached)
	since(&m.detached, principal.Reached && !principal.Attached)
	return !m.detached.IsZero() && now.Sub(m.detached) >= patience
}

func (m *Mirroring) do(ctx context.Context, a mirroring.Action, pair mirroring.Pair) error {
	switch a {
	case mirroring.Nothing:
		return nil
	case mirroring.Wait, mirroring.StopWaiting:
		return m.servers.Wait(ctx, pair.Principal(), a == mirroring.Wait)
	case mirroring.Promote:
		return m.servers.Promote(ctx, pair.Principal())
	}
	next := pair.After(a)
	if err := m.pool.SetPair(ctx, pair, next); err != nil || a != mirroring.MarkFailover {
		return err
	}
	m.servers.Follow(next.Principal())
	return m.servers.Promote(ctx, next.Principal())
}

// Failover makes the other server of the pair the principal, on command. It is refused
// with fault.Unavailable while that lacks something that was acknowledged. The former
// principal has to be brought back as the mirror on its own machine.
func (m *Mirroring) Failover(ctx context.Context, to mirroring.Side) error {
	const op = "backstore.Failover"
	pair := m.pool.Pair()
	if pair.Principal() == to {
		return fault.Newf(fault.Exists, op, "%s is the principal already", to)
	}
	if !pair.Synchronized {
		return fault.Newf(fault.Unavailable, op, "%s does not have everything that was acknowledged; wait until Get-CsDatabaseMirrorState shows synchronized", to)
	}
	if st := m.servers.Look(ctx, to); !st.Reached {
		return fault.Newf(fault.Unavailable, op, "%s is not reached", to).Because(st.Why)
	}
	return m.do(ctx, mirroring.MarkFailover, pair)
}

// State asks both servers how they are.
func (m *Mirroring) State(ctx context.Context) (pair mirroring.Pair, primary, mirror mirroring.Server) {
	return m.pool.Pair(), m.servers.Look(ctx, mirroring.Primary), m.servers.Look(ctx, mirroring.Mirror)
}
