package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"trivet/fault"
)

// receivedSuffix ends the name of a file that comes from another server, until raft
// takes it.
const receivedSuffix = ".part"

// sendSnapshot sends the newest snapshot in place of the log to a server that is
// too far behind.
func (g *Group) sendSnapshot(ctx context.Context, m *raftpb.Message) {
	to, index, outcome := m.GetTo(), m.GetSnapshot().GetMetadata().GetIndex(), raft.SnapshotFinish
	if err := g.stream(ctx, m, index); err != nil {
		outcome = raft.SnapshotFailure
		g.h.cfg.Log.Info("a snapshot could not be sent", "group", g.id, "to", to, "index", index, "err", err)
	}
	g.h.loop.in.push(input{group: g, call: func(g *Group) { g.loop.node.ReportSnapshot(to, outcome) }})
}

func (g *Group) stream(ctx context.Context, m *raftpb.Message, index uint64) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	body, err := g.snaps.open(index)
	if errors.Is(err, errDamaged) {
		g.log.distrust(index)
		g.queue.push(applyJob{}) // a new one is due
	}
	if err != nil {
		return err
	}
	defer body.Close()
	return g.h.cfg.Transport.Snapshot(ctx, m.GetTo(), Envelope{g.id, g.generation.Load(), b}, body)
}

// Receive takes a snapshot that another server sends to this one: the message, and the
// file behind it. It is checked whole before raft hears of it; a damaged or foreign one
// gives fault.Invalid and leaves nothing. One of a group is received at a time. It
// returns once the state is the received one, or raft did not want it.
func (h *Host) Receive(ctx context.Context, from uint64, env Envelope, body io.Reader) error {
	const op = "replica.Receive"
	if err := h.writable(op); err != nil {
		return err
	}
	g := h.Group(env.Group)
	if g == nil || !g.sameGeneration(env.Generation) {
		return fault.Newf(fault.Unavailable, op, "this server does not hold group %d in that generation", env.Group)
	}
	m := &raftpb.Message{}
	if err := proto.Unmarshal(env.Data, m); err != nil {
		return fault.New(fault.Invalid, op, "the message before a snapshot cannot be decoded").Because(err)
	}
	if m.GetType() != raftpb.MsgSnap || m.GetFrom() != from || m.GetTo() != h.cfg.NodeID {
		return fault.Newf(fault.Invalid, op, "server %d may not send %s from %d to %d with a stream", from, m.GetType(), m.GetFrom(), m.GetTo())
	}
	if !g.receiving.CompareAndSwap(false, true) {
		return fault.Newf(fault.Overload, op, "another snapshot of group %d is being received", env.Group)
	}
	defer g.receiving.Store(false)
	name, err := g.snaps.receive(m.GetSnapshot().GetMetadata(), body)
	if err != nil {
		return err
	}
	m.Snapshot.Data = []byte(name)
	h.loop.in.push(input{group: g, msg: m})
	return fault.Wrap(op, errors.Join(g.flushed(ctx, op), g.snaps.dropReceived()))
}

// flushed waits until what the loop was given before is written, as far as raft wants
// it to be.
func (g *Group) flushed(ctx context.Context, op string) error {
	stepped := make(chan struct{})
	g.h.loop.in.push(input{group: g, call: func(*Group) { close(stepped) }})
	if err := g.h.written(ctx, op, stepped); err != nil {
		return err
	}
	done := make(chan struct{})
	barrier := appendJob{group: g, positions: []position{}, done: done}
	g.h.loop.in.push(input{group: g, call: func(*Group) { g.h.app.q.push(barrier) }}) // the loop has handed on what came of it
	return g.h.written(ctx, op, done)
}

// receive writes what comes to a file of its own and checks it on the way.
func (d snapDir) receive(want *raftpb.SnapshotMetadata, body io.Reader) (name string, err error) {
	const op = "replica.Receive"
	name = fmt.Sprintf("%020d-%d%s", want.GetIndex(), want.GetTerm(), receivedSuffix)
	path := d.fs.PathJoin(d.path, name)
	f, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	w := bufio.NewWriterSize(f, chunkBytes)
	head, err := checkSnapshot(io.TeeReader(body, w))
	if err == nil && (head.group != d.group || head.index != want.GetIndex() || head.term != want.GetTerm()) {
		err = errDamaged
	}
	if errors.Is(err, errDamaged) {
		err = fault.Newf(fault.Invalid, op, "the snapshot of group %d that another server sent is damaged or incomplete", d.group)
	}
	if err == nil {
		err = errors.Join(w.Flush(), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, d.fs.Remove(path))
	}
	return name, nil
}

// dropReceived deletes what came and was not wanted.
func (d snapDir) dropReceived() error {
	names, err := d.fs.List(d.path)
	for _, n := range names {
		if strings.HasSuffix(n, receivedSuffix) {
			err = errors.Join(err, d.fs.Remove(d.fs.PathJoin(d.path, n)))
		}
	}
	return err
}

// keep makes a received file the snapshot of its index.
func (d snapDir) keep(name string, index uint64) (*snapHeader, error) {
	if err := d.fs.Rename(d.fs.PathJoin(d.path, name), d.file(index)); err != nil {
		return nil, err
	}
	if err := syncDir(d.fs, d.path); err != nil {
		return nil, err
	}
	f, err := d.fs.Open(d.file(index), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, _, err := openSnapshot(bufio.NewReaderSize(f, chunkBytes))
	return head, err
}

// takeSnapshot makes a snapshot that raft has accepted the beginning of the log.
func (g *Group) takeSnapshot(b Batch, s *raftpb.Snapshot) error {
	h, err := g.snaps.keep(string(s.GetData()), s.GetMetadata().GetIndex())
	if err != nil {
		return err
	}
	return g.writeReset(b, h)
}
