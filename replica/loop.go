package replica

import (
	"context"
	"encoding/binary"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"trivet/fault"
)

// input is one thing for the loop to do for a group; one of the fields is set.
type input struct {
	group *Group
	msg   *raftpb.Message // to be stepped
	size  int64           // of msg, when it came from another server
	prop  *proposal
	read  *read
	call  func(*Group) // anything else
}

// loopState is a group's part of the loop; only the loop goroutine touches it.
type loopState struct {
	node     *raft.RawNode
	dirty    bool
	settled  uint64 // term of which an entry is known to be committed
	leader   uint64
	leadless int // tick at which the leader was lost
	props    []*proposal
	reads    readBatch
	batches  map[uint64]readBatch // by the context given to ReadIndex
	asked    uint64               // term in which they were given
}

// loop steps every group of the host, on one goroutine.
type loop struct {
	h      *Host
	in     *queue[input]
	groups []*Group
	dirty  []*Group
	spare  []input
	ticks  int
	reads  uint64 // contexts given to ReadIndex so far

	appends []appendJob
	out     outbox
}

func newLoop(h *Host) *loop {
	return &loop{h: h, in: newQueue[input](), out: outbox{}}
}

func (l *loop) run(ctx context.Context) error {
	t := l.h.cfg.Clock.NewTicker(l.h.cfg.TickInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
			l.tick()
		case <-l.in.wake:
		}
		l.drain()
	}
}

// add takes a group into the loop.
func (l *loop) add(g *Group) {
	l.groups = append(l.groups, g)
	g.loop.leadless = l.ticks
	if vs := g.log.voters(); len(vs) == 1 && vs[0] == l.h.cfg.NodeID {
		_ = g.loop.node.Campaign() // nobody else to wait for; a failure is repeated by the ticks
	}
}

func (l *loop) touch(g *Group) {
	if !g.loop.dirty {
		g.loop.dirty = true
		l.dirty = append(l.dirty, g)
	}
}

func (l *loop) tick() {
	l.ticks++
	for _, g := range l.groups {
		g.loop.node.Tick()
		l.touch(g)
		l.expire(g)
		if l.ticks%10 == 0 {
			l.announceFeeds(g)
		}
	}
}

// patience is how many ticks a request waits for a leader: long enough for an
// ordinary election.
func (l *loop) patience() int { return 3 * l.h.cfg.ElectionTicks }

// expire refuses what has waited too long for a leader.
func (l *loop) expire(g *Group) {
	s := &g.loop
	if s.leader != raft.None {
		return
	}
	noQuorum := func(op string) error {
		return fault.Newf(fault.NoQuorum, op, "group %d has no primary: too few of its servers can be reached", g.id)
	}
	if l.ticks-s.leadless > l.patience() {
		for _, p := range g.pending() {
			g.finish(p, nil, noQuorum("replica.Propose"))
		}
		s.props = s.props[:0]
	}
	for len(s.reads) > 0 && l.ticks-s.reads[0].since > l.patience() {
		s.reads[0].fail(noQuorum("replica.Read"))
		s.reads = s.reads[1:]
	}
}

// drain does everything that has come in, then hands on what came of it.
func (l *loop) drain() {
	ins := l.in.take(l.spare)
	l.spare = ins
	for i := range ins {
		l.handle(&ins[i])
	}
	for i := 0; i < len(l.dirty); i++ {
		g := l.dirty[i]
		g.loop.dirty = false
		l.settle(g)
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.h.app.q.push(l.appends...)
	clear(l.appends)
	l.appends = l.appends[:0]
	l.out.send(l.h.cfg.Transport)
}

func (l *loop) handle(in *input) {
	s := &in.group.loop
	switch {
	case in.msg != nil:
		l.h.received.Add(-in.size)
		_ = s.node.Step(in.msg) // a message that does not fit the state is dropped, as raft means it
	case in.prop != nil:
		in.prop.since = l.ticks
		s.props = append(s.props, in.prop)
	case in.read != nil:
		in.read.since = l.ticks
		s.reads = append(s.reads, in.read)
	default:
		in.call(in.group)
	}
	l.touch(in.group)
}

// settle moves a group on until there is nothing left to do for it.
func (l *loop) settle(g *Group) {
	for {
		l.propose(g)
		l.readIndex(g)
		if !g.loop.node.HasReady() {
			return
		}
		l.ready(g)
	}
}

// propose puts the waiting proposals into the log, all in one step.
func (l *loop) propose(g *Group) {
	s := &g.loop
	if len(s.props) == 0 {
		return
	}
	st := s.node.BasicStatus()
	if st.RaftState != raft.StateLeader {
		if st.Lead != raft.None && st.Lead != l.h.cfg.NodeID {
			for _, p := range s.props {
				g.finish(p, nil, g.notPrimary("replica.Propose", st.Lead))
			}
			s.props = s.props[:0]
		}
		return
	}
	if st.LeadTransferee != raft.None {
		return
	}
	ps := g.entering(s.props, st.GetTerm())
	if len(ps) > 0 && l.stepEntries(g, ps) != nil {
		for i := range ps { // too much at once: as many as fit
			if l.stepEntries(g, ps[i:i+1]) != nil {
				g.refused(ps[i])
				g.finish(ps[i], nil, fault.Newf(fault.Overload, "replica.Propose", "group %d has more uncommitted commands than it may have", g.id))
			}
		}
	}
	clear(s.props)
	s.props = s.props[:0]
}

func (l *loop) stepEntries(g *Group, ps []*proposal) error {
	ents := make([]*raftpb.Entry, len(ps))
	for i, p := range ps {
		ents[i] = &raftpb.Entry{Data: p.entry}
	}
	return g.loop.node.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(l.h.cfg.NodeID), Entries: ents})
}

// readIndex asks for one read point for all waiting reads. Before the leader has
// committed an entry of its term it cannot know what was acknowledged before.
func (l *loop) readIndex(g *Group) {
	s := &g.loop
	if len(s.reads) == 0 {
		return
	}
	st := s.node.BasicStatus()
	switch {
	case st.RaftState == raft.StateLeader && s.settled == st.GetTerm():
		l.reads++
		s.batches[l.reads], s.asked = s.reads, st.GetTerm()
		s.node.ReadIndex(binary.BigEndian.AppendUint64(nil, l.reads))
	case st.RaftState != raft.StateLeader && st.Lead != raft.None && st.Lead != l.h.cfg.NodeID:
		for _, r := range s.reads {
			r.fail(g.notPrimary("replica.Read", st.Lead))
		}
	default:
		return
	}
	s.reads = nil
}

// ready hands on what the core wants done: writes, applies, messages.
func (l *loop) ready(g *Group) {
	s := &g.loop
	rd := s.node.Ready()
	for _, rs := range rd.ReadStates {
		id := binary.BigEndian.Uint64(rs.RequestCtx)
		if b := s.batches[id]; b != nil {
			delete(s.batches, id)
			g.queue.push(applyJob{reads: b, index: rs.Index})
		}
	}
	term := s.node.BasicStatus().GetTerm()
	if n := len(rd.CommittedEntries); n > 0 && rd.CommittedEntries[n-1].GetTerm() == term {
		s.settled = term
	}
	l.publish(g)
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			l.appends = append(l.appends, appendJob{group: g, msg: m})
		case raft.LocalApplyThread:
			g.queue.push(applyJob{msg: m})
		default:
			l.post(g, m)
		}
	}
}

// publish shows the state of leadership, and sees to what a change of it means.
func (l *loop) publish(g *Group) {
	s := &g.loop
	st := s.node.BasicStatus()
	leads := st.RaftState == raft.StateLeader
	primary := leads && s.settled == st.GetTerm()
	g.term.Store(st.GetTerm())
	if len(s.batches) > 0 && (!leads || s.asked != st.GetTerm()) { // their rounds ended with the leadership
		for id, b := range s.batches {
			s.reads = append(s.reads, b...)
			delete(s.batches, id)
		}
	}
	if st.Lead == s.leader && primary == g.primary.Load() {
		return
	}
	if st.Lead == raft.None {
		s.leadless = l.ticks
	}
	s.leader = st.Lead
	g.leader.Store(st.Lead)
	g.primary.Store(primary)
	g.changed.announce()
	g.feeds.wake()
}

// post sends a message to another server.
func (l *loop) post(g *Group, m *raftpb.Message) {
	if m.GetType() == raftpb.MsgSnap {
		l.h.life.Go("replica.sendsnap", func(context.Context) error { g.sendSnapshot(m); return nil })
		return
	}
	l.out.add(g, m)
}

// announceFeeds puts the positions of the primary's feeds into the log, so that
// the next primary goes on where this one stopped.
func (l *loop) announceFeeds(g *Group) {
	if !g.primary.Load() || len(g.log.voters()) < 2 || l.h.space.full.Load() {
		return
	}
	var ents []*raftpb.Entry
	for _, p := range g.feeds.unannounced() {
		ents = append(ents, &raftpb.Entry{Data: p.encode()})
	}
	if len(ents) > 0 { // dropped ones come again with the next change
		_ = g.loop.node.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(l.h.cfg.NodeID), Entries: ents})
	}
}
