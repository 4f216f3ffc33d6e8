// Package poolmanager keeps the groups of a pool where they should be: it opens the
// pool when enough servers run for the first time, gives groups new voters for servers
// that stay away, spreads them when servers come, and has each group led by the server
// that is to lead it.
//
// It runs on every server and acts on the leader of the pool group. Nothing is
// remembered but how long a server has been away: each round compares what the pool has
// decided (rule/poolstate) with what is, and takes the next steps, so a leader that is
// lost in the middle of something leaves nothing that the next one does not see.
package poolmanager

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/replica"
	"trivet/rule/placement"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// ReplaceAfter is how long a server may be away before its voters are given to others.
const ReplaceAfter = 5 * time.Minute

// Pool is the pool as the server sees it.
type Pool interface {
	// State is the pool's state; never nil.
	State() *poolstate.Pool
	// Leads reports whether this server leads the pool group.
	Leads() bool
	// Topology is what a pool that was never opened is opened with: its Groups are empty.
	Topology() poolstate.Open
	// RoutingGroups is how many it gets.
	RoutingGroups() int
	// Live reports whether a server runs and is connected to this one.
	Live(name uc.ServerFQDN) bool
	// Propose has the pool group carry out a command.
	Propose(ctx context.Context, c poolstate.Command) error
	// Membership is that of a group as known here, and the number of its leader, 0 for none.
	Membership(g uc.GroupID) (is replica.Members, leader uint64, ok bool)
	// Generation is how often a group was recovered, as known here.
	Generation(g uc.GroupID) uint64
	// Change and Handover ask the leader of a group.
	Change(ctx context.Context, g uc.GroupID, want replica.Members) error
	Handover(ctx context.Context, g uc.GroupID, to uint64) error
}

// Config of a Manager. Zero durations mean the defaults given here.
type Config struct {
	Pool  Pool
	Clock clock.Clock
	Log   *slog.Logger

	Every        time.Duration // 500 ms: between rounds
	ReplaceAfter time.Duration // ReplaceAfter
	Patience     time.Duration // 10 s: for one change of a group
	Again        time.Duration // 5 s: before the same group is handed over again
}

// Manager watches over the pool.
type Manager struct {
	cfg Config

	away   map[uint64]time.Time     // since when a server is not live
	handed map[uc.GroupID]time.Time // when a group was handed over last

	mu   sync.Mutex // guards busy
	busy map[uc.GroupID]bool
}

// New makes a Manager.
func New(cfg Config) *Manager {
	or(&cfg.Every, 500*time.Millisecond)
	or(&cfg.ReplaceAfter, ReplaceAfter)
	or(&cfg.Patience, 10*time.Second)
	or(&cfg.Again, 5*time.Second)
	return &Manager{cfg: cfg, busy: map[uc.GroupID]bool{}}
}

func or(v *time.Duration, d time.Duration) {
	if *v == 0 {
		*v = d
	}
}

// Go starts a goroutine that ends before its Manager does.
type Go func(name string, f func(ctx context.Context) error) bool

// Run works until ctx ends. It starts what takes long with start.
func (m *Manager) Run(ctx context.Context, start Go) error {
	t := m.cfg.Clock.NewTicker(m.cfg.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
			m.Round(ctx, start)
		}
	}
}

// Round takes the steps that are due now.
func (m *Manager) Round(ctx context.Context, start Go) {
	if !m.cfg.Pool.Leads() {
		m.away, m.handed = nil, nil // what is remembered is of this term of office
		return
	}
	if m.away == nil {
		m.away, m.handed = map[uint64]time.Time{}, map[uc.GroupID]time.Time{}
	}
	p := m.cfg.Pool.State()
	if !p.Open() {
		m.open(ctx)
		return
	}
	servers := m.servers(p)
	m.recovered(ctx, p)
	m.place(ctx, p, servers)
	heirs := m.heirs(p, servers)
	for _, g := range groups(p) {
		m.mend(ctx, p, g, servers, start)
		m.lead(ctx, g, heirs[g])
	}
}

// groups are all groups of a pool.
func groups(p *poolstate.Pool) []uc.GroupID {
	list := []uc.GroupID{uc.PoolGroup, uc.DirectoryGroup}
	for i := range p.Groups {
		list = append(list, uc.GroupID(i+1))
	}
	return list
}

// open begins the pool when enough servers run.
func (m *Manager) open(ctx context.Context) {
	c := m.cfg.Pool.Topology()
	live := 0
	var servers []placement.Server
	for i, member := range c.Members {
		x := placement.Server{Number: uint64(i + 1), Domain: member.Domain, Live: m.cfg.Pool.Live(member.FQDN)}
		if x.Live {
			live++
		}
		servers = append(servers, x)
	}
	if live < quorum.FirstStart(len(c.Members)) {
		return
	}
	c.Now = m.cfg.Clock.Now().UnixMilli()
	for _, at := range placement.Initial(servers, m.cfg.Pool.RoutingGroups(), c.Witness) {
		c.Groups = append(c.Groups, poolstate.Place{Voters: at.Voters, Preferred: at.Preferred})
	}
	if err := m.propose(ctx, &c); err != nil {
		m.cfg.Log.Warn("the pool could not be opened yet", "err", err)
		return
	}
	m.cfg.Log.Info("the pool is open", "servers", len(c.Members), "running", live, "routing groups", len(c.Groups))
}

// propose waits for the pool group no longer than a round may take.
func (m *Manager) propose(ctx context.Context, c poolstate.Command) error {
	limited, cancel := context.WithTimeout(ctx, m.cfg.Patience)
	defer cancel()
	return m.cfg.Pool.Propose(limited, c)
}

// servers are those of the pool as placement sees them.
func (m *Manager) servers(p *poolstate.Pool) []placement.Server {
	now := m.cfg.Clock.Now()
	known := map[uint64]bool{}
	var list []placement.Server
	for _, s := range p.Servers {
		known[s.Number] = true
		x := placement.Server{Number: s.Number, Domain: s.Domain, Draining: s.Draining, Live: m.cfg.Pool.Live(s.FQDN)}
		since, was := m.away[s.Number]
		switch {
		case x.Live:
			delete(m.away, s.Number)
		case !was || now.Before(since): // the clock was set back
			m.away[s.Number] = now
		default:
			x.Gone = now.Sub(since) >= m.cfg.ReplaceAfter
		}
		list = append(list, x)
	}
	for n := range m.away {
		if !known[n] {
			delete(m.away, n)
		}
	}
	return list
}

// recovered notes which groups go on with one copy: their places are to grow from there.
// Whoever recovered them could not note it, for want of a pool that has a quorum.
func (m *Manager) recovered(ctx context.Context, p *poolstate.Pool) {
	for _, g := range groups(p) {
		gen := m.cfg.Pool.Generation(g)
		is, leader, ok := m.cfg.Pool.Membership(g)
		if !ok || gen <= p.Generations[g] || !slices.Equal(is.Voters, []uint64{leader}) {
			continue
		}
		if err := m.propose(ctx, &poolstate.Recovered{Groups: []uc.GroupID{g}, Copies: is.Voters, Generation: gen}); err != nil {
			m.cfg.Log.Warn("the recovery of a group could not be noted yet", "group", g, "err", err)
			return
		}
		m.cfg.Log.Warn("a group goes on with the copy of one server", "group", g, "server", leader, "recovered", gen)
	}
}

// place decides where voters go next.
func (m *Manager) place(ctx context.Context, p *poolstate.Pool, servers []placement.Server) {
	for _, c := range placement.Next(servers, places(p), p.Witness) {
		id, was := uc.GroupID(c.Group+1), p.Groups[c.Group]
		if m.unsettled(p, id) && !m.hopeless(was.Voters, id, servers) {
			continue // one change of a group at a time
		}
		cmd := &poolstate.PutPlace{Group: id, Version: was.Version, Voters: c.Place.Voters, Preferred: c.Place.Preferred}
		if err := m.propose(ctx, cmd); err != nil {
			m.cfg.Log.Warn("a routing group could not be placed anew", "group", id, "err", err)
			return
		}
		m.cfg.Log.Info("a routing group is placed anew", "group", id, "from", was.Voters, "to", c.Place.Voters, "preferred", c.Place.Preferred, "because", c.Why)
	}
}

// places are those of the routing groups.
func places(p *poolstate.Pool) []placement.Place {
	list := make([]placement.Place, len(p.Groups))
	for i, g := range p.Groups {
		list[i] = placement.Place{Voters: g.Voters, Preferred: g.Preferred}
	}
	return list
}

// unsettled reports whether a group is not yet as was decided before.
func (m *Manager) unsettled(p *poolstate.Pool, g uc.GroupID) bool {
	is, _, ok := m.cfg.Pool.Membership(g)
	return !ok || !slices.Equal(sorted(is.Voters), sorted(voters(p, g)))
}

// hopeless reports whether a group waits for a voter that will not come: it was decided on
// and is gone, or lost what it had, before it could vote.
func (m *Manager) hopeless(decided []uint64, g uc.GroupID, servers []placement.Server) bool {
	is, _, ok := m.cfg.Pool.Membership(g)
	return ok && slices.ContainsFunc(decided, func(n uint64) bool {
		return n != quorum.Witness && !slices.Contains(is.Voters, n) &&
			!slices.ContainsFunc(servers, func(s placement.Server) bool { return s.Number == n && !s.Gone })
	})
}

func sorted(list []uint64) []uint64 { return slices.Sorted(slices.Values(list)) }

// voters are those that were decided on.
func voters(p *poolstate.Pool, g uc.GroupID) []uint64 {
	if g == uc.PoolGroup || g == uc.DirectoryGroup {
		return p.Voters()
	}
	return p.Groups[g-1].Voters
}

// want is the membership that was decided on: all servers that are no voters observe.
func want(p *poolstate.Pool, g uc.GroupID) replica.Members {
	w := replica.Members{Voters: voters(p, g)}
	for _, n := range p.Numbers() {
		if !slices.Contains(w.Voters, n) {
			w.Observers = append(w.Observers, n)
		}
	}
	return w
}

// step is the next change on the way from is to want: who is to vote first observes.
func step(is, want replica.Members) replica.Members {
	var strangers []uint64
	for _, n := range want.Voters {
		if n != quorum.Witness && !slices.Contains(is.Voters, n) && !slices.Contains(is.Observers, n) {
			strangers = append(strangers, n)
		}
	}
	if len(strangers) == 0 {
		return want
	}
	return replica.Members{Voters: is.Voters, Observers: append(slices.Clone(is.Observers), strangers...)}
}

// mend has the leader of a group change its membership to what was decided, unless too
// many of those who are to vote are away: the group would lose its majority with it.
func (m *Manager) mend(ctx context.Context, p *poolstate.Pool, g uc.GroupID, servers []placement.Server, start Go) {
	is, leader, ok := m.cfg.Pool.Membership(g)
	to := want(p, g)
	if !ok || leader == 0 || is.Equal(to) {
		return
	}
	next := step(is, to)
	if !slices.Equal(sorted(is.Voters), sorted(next.Voters)) && !placement.Lives(servers, next.Voters) || !m.take(g) {
		return
	}
	started := start("change of a group", func(ctx context.Context) error {
		defer m.give(g)
		limited, cancel := context.WithTimeout(ctx, m.cfg.Patience)
		defer cancel()
		err := m.cfg.Pool.Change(limited, g, next)
		switch {
		case err == nil:
			m.cfg.Log.Info("the members of a group have changed", "group", g, "voters", next.Voters, "observers", next.Observers)
		case ctx.Err() == nil && !fault.Is(err, fault.Stale):
			m.cfg.Log.Debug("the members of a group could not be changed yet", "group", g, "err", err)
		}
		return nil
	})
	if !started {
		m.give(g)
	}
}

func (m *Manager) take(g uc.GroupID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy[g] {
		return false
	}
	m.busy[g] = true
	return true
}

func (m *Manager) give(g uc.GroupID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.busy, g)
}

// lead has a group led by another server; to is 0 when nothing is to change.
func (m *Manager) lead(ctx context.Context, g uc.GroupID, to uint64) {
	is, leader, ok := m.cfg.Pool.Membership(g)
	if !ok || leader == 0 || to == 0 || to == leader || !slices.Contains(is.Voters, to) {
		return
	}
	now := m.cfg.Clock.Now()
	if last, ok := m.handed[g]; ok && !now.Before(last) && now.Sub(last) < m.cfg.Again {
		return
	}
	m.handed[g] = now
	limited, cancel := context.WithTimeout(ctx, m.cfg.Patience)
	defer cancel()
	if err := m.cfg.Pool.Handover(limited, g, to); err != nil {
		m.cfg.Log.Debug("a group could not be handed over", "group", g, "to", to, "err", err)
	}
}

// heirs are the groups that another server is to lead: the preferred one of a routing
// group, or whoever can when who leads drains; of the pool's own groups any server that
// does not drain.
func (m *Manager) heirs(p *poolstate.Pool, servers []placement.Server) map[uc.GroupID]uint64 {
	heirs := map[uc.GroupID]uint64{}
	leaders := make([]uint64, len(p.Groups))
	for i := range leaders {
		_, leaders[i], _ = m.cfg.Pool.Membership(uc.GroupID(i + 1))
	}
	for _, h := range placement.Handovers(servers, places(p), leaders) {
		heirs[uc.GroupID(h.Group+1)] = h.To
	}
	able := slices.IndexFunc(servers, func(s placement.Server) bool { return s.Live && !s.Draining && p.IsSeed(s.Number) })
	for _, g := range []uc.GroupID{uc.PoolGroup, uc.DirectoryGroup} {
		_, leader, _ := m.cfg.Pool.Membership(g)
		if s := p.ByNumber(leader); s != nil && s.Draining && able >= 0 {
			heirs[g] = servers[able].Number
		}
	}
	return heirs
}
