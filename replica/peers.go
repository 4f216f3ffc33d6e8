package replica

import (
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"trivet/fault"
)

// outbox gathers messages per server, so that one batch carries all groups.
type outbox map[uint64][]Envelope

func (o outbox) add(g *Group, m *raftpb.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("replica: a message of the core cannot be encoded: %v", err))
	}
	o[m.GetTo()] = append(o[m.GetTo()], Envelope{g.id, g.generation.Load(), b})
}

func (o outbox) send(t Transport) {
	for _, to := range slices.Sorted(maps.Keys(o)) {
		t.Send(to, o[to])
		delete(o, to)
	}
}

// mayReceive lists the messages servers send one another. Everything else is
// local to a server, or comes with a stream (Host.Receive), and is refused.
var mayReceive = map[raftpb.MessageType]bool{
	raftpb.MsgApp: true, raftpb.MsgAppResp: true, raftpb.MsgVote: true, raftpb.MsgVoteResp: true,
	raftpb.MsgHeartbeat: true, raftpb.MsgHeartbeatResp: true,
	raftpb.MsgTimeoutNow: true, raftpb.MsgProp: true, raftpb.MsgReadIndex: true, raftpb.MsgReadIndexResp: true, raftpb.MsgPreVote: true, raftpb.MsgPreVoteResp: true,
}

// Step takes a batch that another server sent to this one; from is the sender as
// the transport has authenticated it. Messages of groups that are not started
// here, and what exceeds MaxReceivedBytes or is for another number than this server's, are dropped: raft repeats them. A
// batch with a malformed or foreign message gives fault.Invalid; what came before
// that message counts.
func (h *Host) Step(from uint64, batch []Envelope) error {
	const op = "replica.Step"
	if err := h.usable(op); err != nil {
		return err
	}
	for _, env := range batch {
		g := h.Group(env.Group)
		if g == nil || !g.sameGeneration(env.Generation) {
			continue
		}
		size := int64(len(env.Data))
		if h.received.Load()+size > h.cfg.MaxReceivedBytes {
			return fault.New(fault.Overload, op, "too many messages wait to be handled")
		}
		m := &raftpb.Message{}
		if err := proto.Unmarshal(env.Data, m); err != nil {
			return fault.New(fault.Invalid, op, "a message cannot be decoded").Because(err)
		}
		if m.GetTo() != h.cfg.NodeID {
			continue // for a number that this server had before it lost its data
		}
		if !mayReceive[m.GetType()] || m.GetFrom() != from {
			return fault.Newf(fault.Invalid, op, "server %d may not send %s from %d to %d", from, m.GetType(), m.GetFrom(), m.GetTo())
		}
		h.received.Add(size)
		h.loop.in.push(input{group: g, msg: m, size: size})
	}
	return nil
}

// Unreachable tells the host that messages to a server were lost, so that it
// sends carefully until an answer comes.
func (h *Host) Unreachable(node uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.groups {
		h.loop.in.push(input{group: g, call: func(g *Group) { g.loop.node.ReportUnreachable(node) }})
	}
}
