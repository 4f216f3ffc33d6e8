package replica

import (
	"context"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"trivet/fault"
)

// Members are the servers that hold a group, by their numbers. Voters decide;
// observers (learners of raft) apply the same log and have no vote.
type Members struct{ Voters, Observers []uint64 }

// Alone is the membership of a group that one server holds.
func Alone(node uint64) Members { return Members{Voters: []uint64{node}} }

// Equal reports whether both name the same servers, in any order.
func (m Members) Equal(o Members) bool {
	return slices.Equal(sorted(m.Voters), sorted(o.Voters)) && slices.Equal(sorted(m.Observers), sorted(o.Observers))
}

func (m Members) conf() *raftpb.ConfState {
	return &raftpb.ConfState{Voters: sorted(m.Voters), Learners: sorted(m.Observers)}
}

func membersOf(c *raftpb.ConfState) Members {
	return Members{Voters: sorted(c.GetVoters()), Observers: sorted(append(slices.Clone(c.GetLearners()), c.GetLearnersNext()...))}
}

func sorted(vs []uint64) []uint64 {
	vs = slices.Clone(vs)
	slices.Sort(vs)
	return vs
}

func alone(c *raftpb.ConfState, node uint64) bool {
	vs := c.GetVoters()
	return len(vs) == 1 && vs[0] == node && len(c.GetVotersOutgoing()) == 0
}

// joint reports whether a change of membership has begun and not ended.
func joint(c *raftpb.ConfState) bool {
	return len(c.GetVotersOutgoing()) > 0 || len(c.GetLearnersNext()) > 0
}

// confNumbers is a membership as it is stored. Voters alone are their numbers, as
// first releases wrote them; everything else begins with a 0, which no voter has.
func confNumbers(c *raftpb.ConfState) []uint64 {
	if len(c.GetLearners()) == 0 && !joint(c) && len(c.GetVoters()) > 0 {
		return c.GetVoters()
	}
	out := []uint64{0}
	for _, list := range [][]uint64{c.GetVoters(), c.GetLearners(), c.GetVotersOutgoing(), c.GetLearnersNext()} {
		out = append(append(out, uint64(len(list))), list...)
	}
	if c.GetAutoLeave() {
		return append(out, 1)
	}
	return append(out, 0)
}

func confOf(ns []uint64) (*raftpb.ConfState, error) {
	if len(ns) == 0 || ns[0] != 0 {
		return &raftpb.ConfState{Voters: ns}, nil
	}
	ns = ns[1:]
	var lists [4][]uint64
	for i := range lists {
		if len(ns) == 0 || ns[0] > uint64(len(ns)-1) {
			return nil, errEntry
		}
		n := ns[0]
		lists[i], ns = ns[1:1+n], ns[1+n:]
	}
	if len(ns) != 1 {
		return nil, errEntry
	}
	c := &raftpb.ConfState{Voters: lists[0], Learners: lists[1], VotersOutgoing: lists[2], LearnersNext: lists[3]}
	if ns[0] == 1 {
		c.AutoLeave = new(true)
	}
	return c, nil
}

// changes are the single steps from one membership to another.
func changes(from *raftpb.ConfState, to Members) []*raftpb.ConfChangeSingle {
	var out []*raftpb.ConfChangeSingle
	add := func(t raftpb.ConfChangeType, node uint64) {
		out = append(out, &raftpb.ConfChangeSingle{Type: t.Enum(), NodeId: new(node)})
	}
	is := membersOf(from)
	for _, n := range to.Voters {
		if !slices.Contains(is.Voters, n) {
			add(raftpb.ConfChangeAddNode, n)
		}
	}
	for _, n := range to.Observers {
		if !slices.Contains(is.Observers, n) {
			add(raftpb.ConfChangeAddLearnerNode, n)
		}
	}
	for _, n := range append(is.Voters, is.Observers...) {
		if !slices.Contains(to.Voters, n) && !slices.Contains(to.Observers, n) {
			add(raftpb.ConfChangeRemoveNode, n)
		}
	}
	return out
}

// catchUp is how many entries a server may be behind that is to become a voter.
const catchUp = 1000

// Change makes want the membership of the group, in one step that needs a majority
// of the old voters and of the new ones (joint consensus), and returns when the
// group has left the old membership. Only the primary can begin it: others give
// fault.NotPrimary. fault.Stale means that a server is too far behind to become
// a voter; try again later. One change is made at a time: a second caller waits.
func (g *Group) Change(ctx context.Context, want Members) error {
	const op = "replica.Change"
	if len(want.Voters) == 0 {
		return fault.New(fault.Invalid, op, "a group needs a voter")
	}
	again := g.h.cfg.Clock.NewTicker(g.h.cfg.TickInterval * time.Duration(g.h.cfg.ElectionTicks))
	defer again.Stop()
	for proposed, doubted := false, false; ; {
		next := g.changed.next()
		if conf := g.log.membership(); membersOf(conf).Equal(want) && !joint(conf) {
			return nil
		}
		begun := make(chan error, 1)
		g.h.loop.in.push(input{group: g, call: func(g *Group) { begun <- g.beginChange(want) }})
		select {
		case err := <-begun:
			// A primary that takes itself out is none before the change is applied here.
			if err != nil && (!proposed || doubted) {
				return err
			}
			proposed, doubted = true, err != nil
		case <-g.ended:
			return g.stopped(op)
		case <-g.h.Done():
			return g.h.usable(op)
		}
		select { // the core may drop what it was asked, without a word: it is asked again
		case <-next:
		case <-again.C():
		case <-ctx.Done():
			return fault.Newf(fault.Timeout, op, "the membership of group %d has not changed in time; the change may still come", g.id).Because(context.Cause(ctx))
		case <-g.ended:
			return g.stopped(op)
		case <-g.h.Done():
			return g.h.usable(op)
		}
	}
}

// beginChange proposes a change of membership; on the loop.
func (g *Group) beginChange(want Members) error {
	const op = "replica.Change"
	st := g.loop.node.Status()
	if st.RaftState != raft.StateLeader {
		return g.notPrimary(op, st.Lead)
	}
	conf := g.log.membership()
	if joint(conf) {
		return nil // under way
	}
	last := st.Progress[st.ID].Match
	for _, n := range want.Voters {
		if n == g.h.cfg.Witness || slices.Contains(conf.GetVoters(), n) {
			continue
		}
		if p, ok := st.Progress[n]; !ok || p.Match == 0 || p.Match+catchUp < last {
			return fault.Newf(fault.Stale, op, "server %d is too far behind in group %d to become a voter", n, g.id)
		}
	}
	steps := changes(conf, want)
	if len(steps) == 0 {
		return nil
	}
	err := g.loop.node.ProposeConfChange(&raftpb.ConfChangeV2{Changes: steps})
	if err != nil {
		return fault.Newf(fault.Stale, op, "group %d cannot change its membership just now", g.id).Because(err)
	}
	return nil
}

// applyChange carries out a committed change of membership: the core first, on the
// loop, then what is kept of it.
func (g *Group) applyChange(e *raftpb.Entry) error {
	cc, err := decodeChange(e)
	if err != nil {
		return err
	}
	var conf *raftpb.ConfState
	done := make(chan struct{})
	g.h.loop.in.push(input{group: g, call: func(g *Group) { conf = g.loop.node.ApplyConfChange(cc); close(done) }})
	if err := g.h.stepped(done); err != nil {
		return err
	}
	g.log.setMembership(e.GetIndex(), conf)
	g.changed.announce()
	return nil
}

// decodeChange reads a change of membership in both of its forms. An empty one
// leaves the old membership.
func decodeChange(e *raftpb.Entry) (raftpb.ConfChangeI, error) {
	if e.GetType() == raftpb.EntryConfChange {
		cc := &raftpb.ConfChange{}
		return cc, proto.Unmarshal(e.GetData(), cc)
	}
	cc := &raftpb.ConfChangeV2{}
	return cc, proto.Unmarshal(e.GetData(), cc)
}

// Progress is how far a member of a group has come, as its primary knows it.
type Progress struct {
	Node     uint64
	Observer bool
	Match    uint64 // last entry known to be on its disk
	Lag      uint64 // entries behind the primary
	Active   bool   // has answered within the last election time
	Snapshot bool   // is being sent one
}

// Progress lists the members by number; it is empty where this server is not the
// primary.
func (g *Group) Progress(ctx context.Context) ([]Progress, error) {
	got := make(chan []Progress, 1)
	g.h.loop.in.push(input{group: g, call: func(g *Group) { got <- g.progress() }})
	select {
	case list := <-got:
		return list, nil
	case <-g.ended:
		return nil, g.stopped("replica.Progress")
	case <-ctx.Done():
		return nil, fault.New(fault.Timeout, "replica.Progress", "no answer in time").Because(context.Cause(ctx))
	case <-g.h.Done():
		return nil, g.h.usable("replica.Progress")
	}
}

func (g *Group) progress() (out []Progress) {
	last, _ := g.log.LastIndex()
	g.loop.node.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		x := Progress{Node: id, Observer: kind == raft.ProgressTypeLearner, Match: p.Match, Active: p.RecentActive, Snapshot: p.State == tracker.StateSnapshot}
		if id == g.h.cfg.NodeID {
			x.Active, x.Match = true, max(last, p.Match)
		}
		if last > x.Match {
			x.Lag = last - x.Match
		}
		out = append(out, x)
	})
	slices.SortFunc(out, func(a, b Progress) int { return int(int64(a.Node) - int64(b.Node)) })
	return out
}
