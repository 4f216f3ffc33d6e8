// Package backstore keeps the copy of the users' data in the Back End: of every routing
// group whose primary is this server, who changed is written some seconds later, in
// batches. Recovery of a group whose replicas are all lost begins from that copy.
//
// What waits is the set of changed users, not of changes, so a Back End that is away
// costs a bounded memory; when more changed than is remembered, the whole group is copied.
// A server that becomes primary goes on from the position in the database.
//
// One goroutine writes; Observe may be called from any number of goroutines and never
// waits for a database.
package backstore

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/kit/metric"
	"trivet/rule/groupstate"
	"trivet/store/backend"
	"trivet/uc"
)

// Copies is the Back End: store/backend.
type Copies interface {
	Put(ctx context.Context, b backend.Batch) error
	Positions(ctx context.Context) (map[uc.GroupID]backend.Position, error)
	Members(ctx context.Context, group uc.GroupID) ([]uc.UserURI, error)
}

// Group is a routing group as this server has it.
type Group interface {
	ID() uc.GroupID
	// Primary returns the group's term, and whether this server is its primary.
	Primary() (term uint64, primary bool)
	// View runs f on the group's goroutine with the state, in which everything up to
	// index is applied. It fails when this server is not, or no longer, the primary.
	View(ctx context.Context, f func(index uint64, s *groupstate.State)) error
}

// Threshold is how long the Back End may be away before users are switched to
// resiliency mode: the product's BackupStoreUnavailableThreshold.
const Threshold = 30 * time.Minute

// Bounds.
const (
	interval   = time.Second      // between rounds
	idle       = 30 * time.Second // between two positions of a group in which nothing changes
	batchUsers = 500              // of one transaction
	maxChanged = 20_000           // users of a group that are remembered
)

// Config of the service. All fields are needed.
type Config struct {
	Copies  Copies
	Groups  []Group
	Clock   clock.Clock
	Metrics *metric.Registry
	Log     *slog.Logger
}

// Service copies. Make one with New.
type Service struct {
	cfg    Config
	copies map[uc.GroupID]*groupCopy

	mu        sync.Mutex // guards awaySince
	awaySince time.Time  // zero while the Back End takes what is written

	written metric.Counter
	failed  metric.Counter
}

// New makes the service and registers its metrics. Run does its work.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, copies: map[uc.GroupID]*groupCopy{}}
	for _, g := range cfg.Groups {
		s.copies[g.ID()] = &groupCopy{group: g, changed: map[uc.UserURI]uint64{}, floor: noFloor, hashes: map[uc.UserURI]uint64{}}
	}
	s.written = cfg.Metrics.Counter("backstore_users_written_total", "Users written to the copy in the Back End.")
	s.failed = cfg.Metrics.Counter("backstore_failures_total", "Batches that the Back End did not take.")
	cfg.Metrics.GaugeFunc("backstore_age_seconds", "Age of the oldest copy of a group whose primary is here.", func() float64 {
		oldest := time.Duration(0)
		for _, st := range s.Status() {
			oldest = max(oldest, st.Age)
		}
		return oldest.Seconds()
	})
	return s
}

// Start runs the service in a goroutine of g.
func (s *Service) Start(g *life.Group) { g.Go("backstore", s.run) }

func (s *Service) run(ctx context.Context) error {
	tick := s.cfg.Clock.NewTicker(interval)
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-tick.C():
		case <-ctx.Done():
			return nil
		}
	}
}

// round brings every copy forward. The first group that the Back End refuses ends it: the
// others would wait for the same.
func (s *Service) round(ctx context.Context) {
	var positions map[uc.GroupID]backend.Position
	for _, g := range s.cfg.Groups {
		c := s.copies[g.ID()]
		now := s.cfg.Clock.Now()
		if c.needsPosition(now) && positions == nil {
			all, err := s.cfg.Copies.Positions(ctx)
			if s.settle(ctx, g.ID(), err) {
				return
			}
			positions = all
		}
		if positions != nil {
			pos, known := positions[g.ID()]
			c.learn(pos, known, now)
		}
		n, err := c.forward(ctx, s.cfg.Copies, now)
		s.written.Add(float64(n))
		if s.settle(ctx, g.ID(), err) {
			return
		}
	}
}

// settle notes whether the Back End answers, and reports that it does not.
func (s *Service) settle(ctx context.Context, group uc.GroupID, err error) (away bool) {
	if ctx.Err() != nil {
		return true
	}
	away = fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Timeout)
	if err != nil {
		s.failed.Inc()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case away && s.awaySince.IsZero():
		s.awaySince = s.cfg.Clock.Now()
		s.cfg.Log.Warn("the Back End does not take the copy of the users' data; changes are gathered", "group", group, "err", err)
	case !away && !s.awaySince.IsZero():
		s.cfg.Log.Info("the Back End takes the copy of the users' data again", "away", s.cfg.Clock.Now().Sub(s.awaySince))
		s.awaySince = time.Time{}
	case err != nil && !away:
		s.cfg.Log.Warn("the copy of a group is not written", "group", group, "err", err)
	}
	return away
}

// Unavailable returns since when the Back End has not been reached; ok is false while
// it is. After Threshold users are to be served in resiliency mode.
func (s *Service) Unavailable() (since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaySince, !s.awaySince.IsZero()
}

// Status is the copy of a group whose primary is this server.
type Status struct {
	Group    uc.GroupID
	Position backend.Position // up to which it is complete
	Age      time.Duration    // since the copy had everything that the group had
	Waiting  int              // users that changed since
	Whole    bool             // the whole group has to be copied
}

// Status lists the copies of the groups whose primary is here.
func (s *Service) Status() []Status {
	var all []Status
	now := s.cfg.Clock.Now()
	for _, c := range s.copies {
		if st, ok := c.status(now); ok {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b Status) int { return int(a.Group) - int(b.Group) })
	return all
}

// Observe takes the events of an entry of a group, on every server of the pool: see
// replica.Group.Observe.
func (s *Service) Observe(group uc.GroupID, index uint64, events []any) {
	if c := s.copies[group]; c != nil {
		c.observe(index, events)
	}
}
