package replica

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

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
	gone     bool   // stopped: it is nobody's any more
	settled  uint64 // term of which an entry is known to be committed
	leader   uint64
	heard    int                  // tick at which another leader spoke last
	leadless int                  // tick at which the leader was lost
	props    []*proposal          // to be put into the log, or sent to the leader
	sent     []*proposal          // sent to the leader, not known to be applied
	reads    readBatch            // to be asked for
	batches  map[uint64]readBatch // by the number given to ReadIndex
	asked    question             // to whom and when they were given
}

// question says whom a read index was asked of.
type question struct {
	leader, term uint64
	tick         int
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
	if alone(g.log.membership(), l.h.cfg.NodeID) {
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
		if g.loop.leader != raft.None && l.leaderOf(g) == raft.None {
			l.publish(g)
		}
		l.expire(g)
		l.repeat(g)
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
		s.props, s.sent = s.props[:0], s.sent[:0]
	}
	for len(s.reads) > 0 && l.ticks-s.reads[0].since > l.patience() {
		s.reads[0].fail(noQuorum("replica.Read"))
		s.reads = s.reads[1:]
	}
}

// repeat sends again what a leader elsewhere has not answered for half an election
// time, since messages may be lost; the same command is carried out once however
// often it arrives. What has waited too long is given up.
func (l *loop) repeat(g *Group) {
	s := &g.loop
	again := max(l.h.cfg.ElectionTicks/2, 1)
	if len(s.batches) > 0 && l.ticks-s.asked.tick >= again {
		l.takeBack(g)
	}
	if len(s.sent) == 0 {
		return
	}
	kept := s.sent[:0]
	for _, p := range s.sent {
		switch {
		case !g.waits(p):
		case l.ticks-p.since > l.patience():
			g.finish(p, nil, fault.Newf(fault.NoQuorum, "replica.Propose", "the primary of group %d does not answer; the command may still be carried out", g.id))
		case l.ticks-p.sent >= again:
			s.props = append(s.props, p)
		default:
			kept = append(kept, p)
		}
	}
	clear(s.sent[len(kept):])
	s.sent = kept
}

// takeBack has reads ask again whose question was put to a leader that has not
// answered, or is none any more.
func (l *loop) takeBack(g *Group) {
	s := &g.loop
	for _, id := range slices.Sorted(maps.Keys(s.batches)) {
		for _, r := range s.batches[id] {
			if l.ticks-r.since > l.patience() {
				r.fail(fault.Newf(fault.NoQuorum, "replica.Read", "the primary of group %d does not answer", g.id))
				continue
			}
			s.reads = append(s.reads, r)
		}
		delete(s.batches, id)
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
		if !g.loop.gone {
			l.settle(g)
		}
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
	if in.msg != nil {
		l.h.received.Add(-in.size)
	}
	if s.gone {
		l.refuse(in)
		return
	}
	switch {
	case in.msg != nil:
		if fromLeader[in.msg.GetType()] {
			s.heard = l.ticks
		}
		if forLeader[in.msg.GetType()] && s.node.BasicStatus().RaftState != raft.StateLeader {
			return // whoever sent it repeats it, to the leader it knows by then
		}
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
			l.forward(g)
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

// forward sends the waiting proposals to the leader. They are answered when they
// come back as entries of the log.
func (l *loop) forward(g *Group) {
	s := &g.loop
	kept := s.props[:0]
	for _, p := range s.props {
		if g.waits(p) {
			kept = append(kept, p)
		}
	}
	for len(kept) > 0 {
		n, size := 0, 0
		for n < len(kept) && (n == 0 || size+len(kept[n].entry) <= forwardBytes) {
			size += len(kept[n].entry)
			n++
		}
		_ = l.stepEntries(g, kept[:n]) // what the core drops is repeated
		for _, p := range kept[:n] {
			p.sent = l.ticks
		}
		s.sent = append(s.sent, kept[:n]...)
		kept = kept[n:]
	}
	clear(s.props)
	s.props = s.props[:0]
}

// forwardBytes bounds one message with proposals for the leader.
const forwardBytes = 256 << 10

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
	leads := st.RaftState == raft.StateLeader
	if leads && s.settled != st.GetTerm() || !leads && (st.Lead == raft.None || st.Lead == l.h.cfg.NodeID) {
		return
	}
	l.reads++
	s.batches[l.reads], s.asked = s.reads, question{st.Lead, st.GetTerm(), l.ticks}
	s.reads = nil
	// The leader tells questions of different servers apart by their context.
	s.node.ReadIndex(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, l.reads), l.h.cfg.NodeID))
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

// leaderOf is the leader the core knows, if it has spoken lately. The core of an
// observer never doubts one, since it cannot stand for election itself.
func (l *loop) leaderOf(g *Group) uint64 {
	st := g.loop.node.BasicStatus()
	if st.RaftState != raft.StateLeader && l.ticks-g.loop.heard > 2*l.h.cfg.ElectionTicks {
		return raft.None
	}
	return st.Lead
}

// fromLeader lists the messages that only a leader sends.
var fromLeader = map[raftpb.MessageType]bool{raftpb.MsgApp: true, raftpb.MsgHeartbeat: true, raftpb.MsgSnap: true}

// forLeader lists what a leader is sent that others must not send on: they would do so in
// the name of the sender.
var forLeader = map[raftpb.MessageType]bool{raftpb.MsgProp: true, raftpb.MsgReadIndex: true}

// publish shows the state of leadership, and sees to what a change of it means.
func (l *loop) publish(g *Group) {
	s := &g.loop
	st := s.node.BasicStatus()
	leads := st.RaftState == raft.StateLeader
	primary := leads && s.settled == st.GetTerm()
	lead := l.leaderOf(g)
	g.term.Store(st.GetTerm())
	if len(s.batches) > 0 && (s.asked.leader != st.Lead || s.asked.term != st.GetTerm()) { // their rounds ended with the leadership
		l.takeBack(g)
	}
	if lead == s.leader && primary == g.primary.Load() {
		return
	}
	if lead == raft.None {
		s.leadless = l.ticks
	}
	if lead != s.leader { // what the former leader was sent is for the new one
		s.props = append(s.props, s.sent...)
		clear(s.sent)
		s.sent = s.sent[:0]
		l.touch(g)
	}
	s.leader = lead
	g.leader.Store(lead)
	g.primary.Store(primary)
	g.changed.announce()
	g.feeds.wake()
}

// post sends a message to another server.
func (l *loop) post(g *Group, m *raftpb.Message) {
	if l.h.toWitness(g, m) {
		return
	}
	if m.GetType() == raftpb.MsgSnap {
		l.h.spawn("replica.sendsnap", func(ctx context.Context) error { g.sendSnapshot(ctx, m); return nil })
		return
	}
	l.out.add(g, m)
}

// announceFeeds puts the positions of the primary's feeds into the log, so that
// the next primary goes on where this one stopped.
func (l *loop) announceFeeds(g *Group) {
	if !g.primary.Load() || alone(g.log.membership(), l.h.cfg.NodeID) || l.h.space.full.Load() {
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
