package replica

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"trivet/fault"
	"trivet/uc"
)

// Group is this server's replica of one group.
type Group struct {
	h         *Host
	id        uc.GroupID
	machine   Machine
	log       *groupLog
	snaps     snapDir
	feeds     *feedLog
	replayEnd uint64 // last entry known at the start: what comes later is live
	base      uint64 // index of the snapshot it was started from
	// incarnation is the client id of this host's own proposals. It is new with every
	// start of the group, whose numbers begin again at 1: the former ones may be remembered.
	incarnation uint64

	// What is seen from outside; written by the loop and the group's goroutine.
	leader     atomic.Uint64
	term       atomic.Uint64
	primary    atomic.Bool
	applied    atomic.Uint64
	generation atomic.Uint64 // of this copy
	superseded atomic.Bool   // the others have given this copy up
	newer      atomic.Uint64 // the generation that they go on with
	changed    *change       // leadership, or the end of the replay

	promised promise // the appender's: term and vote last written

	loop  loopState  // the loop goroutine's
	work  applyState // the group's goroutine's
	queue *queue[applyJob]
	ended chan struct{} // closed when the goroutine has ended

	observers atomic.Pointer[[]*observer]
	observeMu sync.Mutex  // serialises changes of observers
	saving    atomic.Bool // a job to save positions is queued
	receiving atomic.Bool // a snapshot comes from another server

	mu   sync.Mutex // guards the fields below
	pend map[ID]*proposal
	seq  uint64 // last sequence number of this host's own proposals
	low  uint64 // lowest of them still pending, or seq+1
}

// loadGroup reads a group from disk and restores its machine.
func loadGroup(h *Host, id uc.GroupID, m Machine, first Members) (*Group, error) {
	snaps, err := openSnapDir(h.cfg.FS, h.snaps, id)
	if err != nil {
		return nil, err
	}
	log, err := loadLog(h.store, id, h.cfg.CacheBytes, first.conf())
	if err != nil {
		return nil, damaged(id, h.store.dir, err)
	}
	positions, err := h.store.positions(id)
	if err != nil {
		return nil, damaged(id, h.store.dir, err)
	}
	incarnation, err := newIncarnation()
	if err != nil {
		return nil, err
	}
	g := &Group{
		incarnation: incarnation,
		h:           h, id: id, machine: m, log: log, snaps: snaps,
		changed: newChange(), queue: newQueue[applyJob](), ended: make(chan struct{}), pend: map[ID]*proposal{}, low: 1,
	}
	g.loop.batches = map[uint64]readBatch{}
	g.work.sessions = newSessions()
	head, err := g.restoreNewest(positions)
	if err != nil {
		return nil, err
	}
	generation, err := h.store.generation(id)
	if err != nil {
		return nil, damaged(id, h.store.dir, err)
	}
	g.generation.Store(generation)
	g.feeds = newFeedLog(h.cfg.FeedBacklog, h.cfg.FeedBacklogBytes, g.base, positions)
	if head != nil { // what is replayed may change the membership again
		g.work.sessions, g.work.term = head.sessions, head.term
		log.conf = head.conf
	}
	if log.fresh {
		if err := h.onDisk(h.store, func() error { return h.store.begin(log, h.sync()) }); err != nil {
			return nil, err
		}
	}
	g.applied.Store(g.base)
	g.work.snapped = max(g.base, log.snap.GetIndex())
	if err := g.checkHardState(); err != nil {
		return nil, err
	}
	g.replayEnd = log.last
	if !alone(log.conf, h.cfg.NodeID) { // what lies behind the commit may yet be replaced
		g.replayEnd = log.hard.GetCommit()
	}
	g.loop.node, err = raft.NewRawNode(g.raftConfig())
	return g, err
}

func newIncarnation() (uint64, error) {
	var b [8]byte
	_, err := rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1<<63, err // callers' own client ids lie below
}

func damaged(id uc.GroupID, file string, err error) error {
	return fault.Newf(fault.Internal, "replica.Start", "the data of group %d is damaged; restore the data folder from a backup", id).About(file).Because(err)
}

// checkHardState mends what a crash between a snapshot and the log may leave, and
// refuses a log that ends before what it once acknowledged.
func (g *Group) checkHardState() error {
	l := g.log
	if l.hard == nil {
		l.hard = &raftpb.HardState{Term: new(uint64(0)), Vote: new(uint64(0)), Commit: new(uint64(0))}
	}
	l.hard.Commit, l.hard.Term = new(max(l.hard.GetCommit(), l.start)), new(max(l.hard.GetTerm(), l.startTerm))
	if s := l.snap; s != nil {
		l.hard.Commit = new(max(l.hard.GetCommit(), s.GetIndex()))
		if l.hard.GetTerm() < s.GetTerm() {
			l.hard.Term, l.hard.Vote = new(s.GetTerm()), new(uint64(raft.None))
		}
	}
	if c := l.hard.GetCommit(); c > l.last {
		return damaged(g.id, g.h.store.dir, fmt.Errorf("the log ends at entry %d, before entry %d which was committed", l.last, c))
	}
	return nil
}

func (g *Group) raftConfig() *raft.Config {
	c := &g.h.cfg
	return &raft.Config{
		ID:                        c.NodeID,
		ElectionTick:              c.ElectionTicks,
		HeartbeatTick:             1,
		Storage:                   g.log,
		Applied:                   g.base,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             256 << 10,
		MaxCommittedSizePerReady:  1 << 20,
		MaxUncommittedEntriesSize: c.MaxUncommitted,
		MaxInflightMsgs:           128,
		MaxInflightBytes:          4 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		StepDownOnRemoval:         true,
		Logger:                    raftLog{c.Log.With("group", g.id)},
	}
}

// ID returns the group's number.
func (g *Group) ID() uc.GroupID { return g.id }

// Status returns the group as seen from here.
func (g *Group) Status() Status {
	first, last, snap := g.log.bounds()
	lastTerm, _ := g.log.Term(last)
	conf := g.log.membership()
	return Status{
		LastTerm: lastTerm, Generation: g.generation.Load(), Superseded: g.superseded.Load(),
		Group: g.id, Primary: g.primary.Load(), Leader: g.leader.Load(), Term: g.term.Load(),
		Applied: g.applied.Load(), SnapshotIndex: snap, FirstIndex: first, LastIndex: last,
		Members: membersOf(conf), Leaving: sorted(conf.GetVotersOutgoing()), Feeds: g.feeds.status(),
	}
}

// Leader is the number of the server that leads the group as known here, 0 for none, and
// whether this server is its primary.
func (g *Group) Leader() (node uint64, primary bool) { return g.leader.Load(), g.primary.Load() }

// Generation is how often the group was recovered, as known here.
func (g *Group) Generation() uint64 { return g.generation.Load() }

// Replayed reports whether everything is applied that this server's disk knew as committed
// when the group was started.
func (g *Group) Replayed() bool { return g.applied.Load() >= g.replayEnd }

// Ready waits until the group can be used here: this server is its primary, or
// knows the primary and has applied what was on its own disk at the start.
func (g *Group) Ready(ctx context.Context) error {
	const op = "replica.Ready"
	for {
		c := g.changed.next()
		if g.Replayed() && (g.primary.Load() || g.leader.Load() != raft.None && g.leader.Load() != g.h.cfg.NodeID) {
			return nil
		}
		select {
		case <-c:
		case <-ctx.Done():
			return fault.New(fault.Timeout, op, "the group has no primary yet").Because(context.Cause(ctx))
		case <-g.h.Done():
			return g.h.usable(op)
		}
	}
}

// Changed is closed at the next change of the group's leadership. Call it again,
// then look at Status, to follow all of them.
func (g *Group) Changed() <-chan struct{} { return g.changed.next() }

// Handover asks the group to make another voter its primary; what is proposed
// meanwhile waits. It does nothing unless this server is the primary.
func (g *Group) Handover(to uint64) {
	if to == g.h.cfg.Witness {
		return // it cannot lead
	}
	g.h.loop.in.push(input{group: g, call: func(g *Group) { g.loop.node.TransferLeader(to) }})
}

// Observe adds a function that sees the events of every entry applied from now
// on, after Apply and before Propose returns; not those replayed at the start. It
// runs on the group's goroutine and must not wait. The function returned ends it.
func (g *Group) Observe(f func(index uint64, events []any)) (end func()) {
	me := &observer{f}
	g.observe(func(all []*observer) []*observer { return append(all, me) })
	return func() {
		g.observe(func(all []*observer) []*observer {
			return slices.DeleteFunc(all, func(o *observer) bool { return o == me })
		})
	}
}

type observer struct {
	f func(index uint64, events []any)
}

// observe changes a copy of the list: the group's goroutine reads it without a lock.
func (g *Group) observe(change func([]*observer) []*observer) {
	g.observeMu.Lock()
	defer g.observeMu.Unlock()
	var all []*observer
	if old := g.observers.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = change(all)
	g.observers.Store(&all)
}

func (g *Group) notPrimary(op string, leader uint64) error {
	e := fault.Newf(fault.NotPrimary, op, "group %d is served by server %d", g.id, leader)
	e.Server = string(g.h.cfg.Servers(leader))
	return e
}
