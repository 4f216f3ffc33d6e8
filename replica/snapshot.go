package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// keepNewest is how many snapshots stay whatever the feeds need, so that one may
// be damaged.
const keepNewest = 2

// snapshotIfDue freezes the state on the group's goroutine and has it written on
// another, one at a time.
func (g *Group) snapshotIfDue() {
	w := &g.work
	index := g.applied.Load()
	due := index-w.snapped >= g.h.cfg.SnapshotEntries || w.bytes >= g.h.cfg.SnapshotBytes || g.log.outdated(w.snapped)
	if index <= w.snapped || !due || joint(g.log.membership()) {
		return
	}
	if w.busy != nil {
		select {
		case <-w.busy:
		default:
			return
		}
	}
	w.snapped, w.bytes = index, 0
	h := &snapHeader{
		group: g.id, index: index, term: w.term, conf: g.log.membership(),
		positions: g.feeds.status(), sessions: w.sessions,
	}
	head, meta, state, done := h.encode(), h.meta(), g.machine.Snapshot(), make(chan struct{})
	w.busy = done
	g.h.spawn("replica.snapshot", func(ctx context.Context) error {
		defer func() {
			close(done)
			g.queue.push(applyJob{}) // the next one may be due already
		}()
		if err := g.writeSnapshot(ctx, head, meta, state); err != nil {
			g.h.cfg.Log.Warn("a snapshot could not be written; the log is kept", "group", g.id, "index", index, "err", err)
		}
		return nil
	})
}

func (g *Group) writeSnapshot(ctx context.Context, head []byte, meta *raftpb.SnapshotMetadata, state func(io.Writer) error) error {
	err := g.snaps.create(meta.GetIndex(), func(w io.Writer) error { return writeSnapshot(w, head, state) })
	if err != nil {
		return err
	}
	g.log.setSnapshot(meta)
	return g.prune(ctx)
}

// prune drops the snapshots that nobody needs, and the log before the oldest one
// that stays: the newest ones, those a feed that moves on will need, and the one
// from which the slowest feed can be given what it has not seen. As long as that takes the first entry of the log,
// or there is no second snapshot to fall back to, the log stays whole.
func (g *Group) prune(ctx context.Context) error {
	have, err := g.snaps.list()
	if err != nil || len(have) < keepNewest {
		return err
	}
	settled := g.feeds.settled()
	floor := g.feeds.floor(have[0])
	needed := slices.IndexFunc(have, func(s uint64) bool { return s <= floor })
	if needed < 0 {
		return nil
	}
	needed = max(needed, keepNewest-1)
	if err := g.compact(ctx, have[needed], settled); err != nil {
		return err
	}
	for _, s := range have[needed+1:] {
		err = errors.Join(err, g.snaps.remove(s))
	}
	return err
}

// compact drops the log up to index once the feeds' positions, which excuse it,
// are written.
func (g *Group) compact(ctx context.Context, index uint64, settled []position) error {
	if first, _, _ := g.log.bounds(); index < first {
		return nil
	}
	term, err := g.log.Term(index)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	jobs := []appendJob{{group: g, compact: &compaction{index, term}, done: done}}
	if len(settled) > 0 {
		jobs = append([]appendJob{{group: g, positions: settled}}, jobs...)
	}
	g.h.app.q.push(jobs...)
	return g.h.written(ctx, "replica.compact", done)
}

// restoreNewest gives the machine the newest snapshot that is whole and old
// enough for the slowest feed, so that the replay makes its events again. It
// returns nil when the replay begins with the first entry.
func (g *Group) restoreNewest(positions map[string]uint64) (*snapHeader, error) {
	have, err := g.snaps.list()
	if err != nil {
		return nil, damaged(g.id, g.snaps.path, err)
	}
	var newest *snapHeader
	var base, floor uint64
	broken := g.snaps.path
	for _, index := range have {
		if index < g.log.start {
			break // the log after it is gone
		}
		h, err := g.snaps.check(index)
		if err != nil {
			broken = g.snaps.file(index)
			g.setAside(index, err)
			continue
		}
		if newest == nil {
			newest = h
			if err := g.adopt(h, positions); err != nil {
				return nil, damaged(g.id, g.snaps.file(index), err)
			}
			floor = lowest(positions)
		}
		if base = index; base <= floor {
			break
		}
	}
	switch {
	case newest == nil && g.log.start > origin:
		return nil, damaged(g.id, broken, fmt.Errorf("no usable snapshot is left, and the log of group %d begins at entry %d", g.id, g.log.start+1))
	case newest == nil, base > floor && g.log.start <= origin:
		g.base = g.log.start
		return nil, nil
	}
	h, err := g.snaps.restore(base, g.machine)
	if err != nil {
		return nil, damaged(g.id, g.snaps.file(base), err)
	}
	g.base = base
	return h, nil
}

func lowest(positions map[string]uint64) uint64 {
	low := uint64(math.MaxUint64)
	for _, p := range positions {
		low = min(low, p)
	}
	return low
}

func (g *Group) setAside(index uint64, cause error) {
	file := g.snaps.file(index)
	g.h.cfg.Log.Error("a snapshot is damaged; an older one is used", "group", g.id, "file", file, "err", cause)
	if !errors.Is(cause, errDamaged) {
		return
	}
	if err := g.snaps.setAside(index); err != nil {
		g.h.cfg.Log.Warn("the damaged snapshot stays where it is", "file", file, "err", err)
	}
}

// adopt makes a snapshot the log's newest, and begins the log after it if the
// log does not reach it: a crash came between receiving it and writing so.
func (g *Group) adopt(h *snapHeader, positions map[string]uint64) error {
	g.log.snap = h.meta()
	if t, err := g.log.Term(h.index); err == nil && t == h.term {
		return nil
	}
	b := g.h.store.db.NewBatch()
	defer b.Close()
	if err := g.writeReset(b, h); err != nil {
		return err
	}
	if err := g.h.onDisk(g.h.store, func() error { return b.Commit(g.h.sync()) }); err != nil {
		return err
	}
	for name, p := range h.positions {
		positions[name] = max(positions[name], p)
	}
	g.log.reset(g.log.snap)
	return nil
}

// writeReset begins the group's log anew after a snapshot.
func (g *Group) writeReset(b Batch, h *snapHeader) error {
	var ps []position
	for name, p := range h.positions {
		ps = append(ps, position{name: name, index: p})
	}
	return errors.Join(
		b.DeleteRange(key(keyEntry, g.id), key(keyEntry, g.id+1), nil),
		b.Set(key(keyStart, g.id), numbers(h.index, h.term), nil),
		b.Set(key(keyConf, g.id), numbers(confNumbers(h.conf)...), nil),
		g.writePositions(b, ps),
	)
}

// restoreReceived has the group's goroutine take over a snapshot that is on disk,
// and waits for it: what comes next builds on it.
func (g *Group) restoreReceived(s *raftpb.Snapshot) {
	g.log.reset(s.GetMetadata())
	done := make(chan struct{})
	g.queue.push(applyJob{restore: done, index: s.GetMetadata().GetIndex()})
	_ = g.h.written(context.Background(), "replica.restore", done) // a host that has ended has no next
}

// restoreNow replaces the state by a snapshot; on the group's goroutine.
func (g *Group) restoreNow(index uint64) error {
	h, err := g.snaps.restore(index, g.machine)
	if err != nil {
		return damaged(g.id, g.snaps.file(index), err)
	}
	w := &g.work
	w.sessions, w.term, w.snapped, w.bytes = h.sessions, h.term, index, 0
	g.applied.Store(index)
	g.feeds.reset(index, h.positions)
	g.changed.announce()
	for _, p := range g.pending() {
		if result, ok := w.sessions.seen(p.id); ok {
			g.resolve(p.id, result)
		}
	}
	for _, p := range g.lostBefore(h.term) {
		g.h.loop.in.push(input{group: g, prop: p})
	}
	return nil
}
