package replica

import (
	"context"
	"errors"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"trivet/fault"
	"trivet/uc"
)

// Recovery says how a group is made to go on with the copy of one server.
type Recovery struct {
	Term       uint64 // the highest that any copy is known to have
	Generation uint64 // higher than that of every copy: how often the group was recovered
}

// Recover makes this server the only voter of a group whose other voters are lost,
// and starts it with the state of m, which must be empty. Everything in the log
// here counts as committed, also what was not acknowledged; what only the others
// had is lost. Copies of a lower generation are recognised from now on: they can
// neither vote nor be merged, see Status.Superseded.
//
// It is unsafe by nature: nobody else may be allowed to recover the group, nor two
// of its former voters to go on with it.
func (h *Host) Recover(ctx context.Context, id uc.GroupID, m Machine, r Recovery) (*Group, error) {
	const op = "replica.Recover"
	old, err := h.store.generation(id)
	if err != nil {
		return nil, damaged(id, h.store.dir, err)
	}
	if r.Generation <= old {
		return nil, fault.Newf(fault.Stale, op, "group %d was recovered before under the number %d", id, old)
	}
	if err := h.Stop(ctx, id, false); err != nil {
		return nil, err
	}
	log, base, err := h.copyOf(id)
	if err != nil {
		return nil, damaged(id, h.store.dir, err)
	}
	if log.last == 0 {
		return nil, fault.Newf(fault.NotFound, op, "this server has no copy of group %d", id)
	}
	if err := h.onDisk(h.store, func() error { return h.writeRecovery(log, base, r) }); err != nil {
		return nil, fault.Wrap(op, err)
	}
	h.cfg.Log.Warn("a group goes on with the copy of this server alone", "group", id, "last", log.last, "generation", r.Generation)
	return h.Start(ctx, id, m, Members{})
}

// copyOf reads the log of a group that is not started, and its membership as of the
// newest snapshot.
func (h *Host) copyOf(id uc.GroupID) (*groupLog, *raftpb.ConfState, error) {
	log, err := loadLog(h.store, id, 0, &raftpb.ConfState{})
	if err != nil {
		return nil, nil, err
	}
	snaps, err := openSnapDir(h.cfg.FS, h.snaps, id)
	if err != nil {
		return nil, nil, err
	}
	have, err := snaps.list()
	if err != nil {
		return nil, nil, err
	}
	for _, index := range have {
		head, err := snaps.check(index)
		if err == nil {
			return log, head.conf, nil
		}
	}
	return log, log.conf, nil
}

// writeRecovery appends changes of membership that leave this server alone, and
// declares everything committed.
func (h *Host) writeRecovery(log *groupLog, base *raftpb.ConfState, r Recovery) error {
	lastTerm, err := log.Term(log.last)
	if err != nil {
		return err
	}
	term := max(r.Term, lastTerm, log.hard.GetTerm()) + 1
	steps, err := h.leavingAlone(log, base)
	if err != nil {
		return err
	}
	b := h.store.db.NewBatch()
	defer b.Close()
	last := log.last
	for _, cc := range steps {
		data, err := proto.Marshal(cc)
		if err != nil {
			return err
		}
		last++
		e := &raftpb.Entry{Index: new(last), Term: new(term), Type: raftpb.EntryConfChangeV2.Enum(), Data: data}
		if err := b.Set(entryKey(log.group, last), appendEntry(nil, e), nil); err != nil {
			return err
		}
	}
	return errors.Join(
		b.Set(key(keyHard, log.group), numbers(term, h.cfg.NodeID, last), nil),
		b.Set(key(keyGeneration, log.group), numbers(r.Generation), nil),
		b.Commit(h.sync()),
	)
}

// leavingAlone are the changes, one server at a time, after which this server is
// the only voter, whatever the membership is at the end of the log. All others that were
// ever members observe: so each is written to, learns that its copy counts no more, and
// can be sent the group.
func (h *Host) leavingAlone(log *groupLog, base *raftpb.ConfState) ([]*raftpb.ConfChangeV2, error) {
	self := h.cfg.NodeID
	others := map[uint64]bool{}
	for _, list := range [][]uint64{base.GetVoters(), base.GetLearners(), base.GetVotersOutgoing(), base.GetLearnersNext()} {
		for _, n := range list {
			others[n] = true
		}
	}
	within := joint(base)
	err := h.store.scan(entryKey(log.group, log.start+1), key(keyEntry, log.group+1), func(_, v []byte) error {
		e, err := decodeEntry(0, v)
		if err != nil || e.GetType() == raftpb.EntryNormal {
			return err
		}
		cc, err := decodeChange(e)
		if err != nil {
			return err
		}
		all := cc.AsV2().GetChanges()
		within = len(all) > 1
		for _, c := range all {
			others[c.GetNodeId()] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var steps []*raftpb.ConfChangeV2
	if within {
		steps = append(steps, &raftpb.ConfChangeV2{})
	}
	single := func(t raftpb.ConfChangeType, n uint64) {
		steps = append(steps, &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: t.Enum(), NodeId: new(n)}}})
	}
	single(raftpb.ConfChangeAddNode, self)
	delete(others, self)
	for _, n := range slices.Sorted(maps.Keys(others)) {
		if n == h.cfg.Witness {
			single(raftpb.ConfChangeRemoveNode, n)
		} else {
			single(raftpb.ConfChangeAddLearnerNode, n)
		}
	}
	return steps, nil
}

// generation is how often the group was recovered, as known here.
func (s *store) generation(id uc.GroupID) (uint64, error) {
	v, err := s.values(key(keyGeneration, id))
	if err != nil || len(v) == 0 {
		return 0, err
	}
	return v[0], nil
}

// sameGeneration reports whether a message is of this copy's generation. A copy
// that is still empty takes the generation of whoever writes to it first; one that
// is not, and is of a lower one, has been given up by the others.
func (g *Group) sameGeneration(theirs uint64) bool {
	ours := g.generation.Load()
	if theirs <= ours {
		return theirs == ours
	}
	if last, _ := g.log.LastIndex(); last > 0 {
		g.newer.Store(max(g.newer.Load(), theirs))
		if !g.superseded.Swap(true) {
			g.h.loop.in.push(input{group: g, call: g.h.loop.giveUp})
			g.h.cfg.Log.Warn("a group was recovered without the copy of this server, which counts no more", "group", g.id, "generation", theirs)
			g.changed.announce()
		}
		return false
	}
	if g.generation.CompareAndSwap(ours, theirs) {
		g.h.app.q.push(appendJob{group: g, generation: theirs})
	}
	return g.generation.Load() == theirs
}

// giveUp ends the part in a group of a copy that counts no more: it would go on with
// others like it, and acknowledge what is lost with them.
func (l *loop) giveUp(g *Group) {
	if g.loop.gone {
		return
	}
	l.remove(g)
	for _, p := range g.pending() {
		g.finish(p, nil, g.stopped("replica.Propose"))
	}
	g.changed.announce()
}

// Renew gives up what this server has of a group and begins it anew with this server as
// its only voter, with the state of m, which must be empty: for a group of which no copy
// is left. Copies of a lower generation that come back are recognised as with Recover.
func (h *Host) Renew(ctx context.Context, id uc.GroupID, m Machine, r Recovery) (*Group, error) {
	const op = "replica.Renew"
	old, err := h.store.generation(id)
	if err != nil {
		return nil, damaged(id, h.store.dir, err)
	}
	if r.Generation <= old {
		return nil, fault.Newf(fault.Stale, op, "group %d was recovered before under the number %d", id, old)
	}
	if err := h.Stop(ctx, id, true); err != nil {
		return nil, err
	}
	if err := h.onDisk(h.store, func() error {
		b := h.store.db.NewBatch()
		defer b.Close()
		return errors.Join(
			b.Set(key(keyStart, id), numbers(origin, r.Term+1), nil),
			b.Set(key(keyHard, id), numbers(r.Term+1, 0, origin), nil),
			b.Set(key(keyConf, id), numbers(confNumbers(Alone(h.cfg.NodeID).conf())...), nil),
			b.Set(key(keyGeneration, id), numbers(r.Generation), nil),
			b.Commit(h.sync()),
		)
	}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	h.cfg.Log.Warn("a group begins anew with nothing", "group", id, "generation", r.Generation)
	return h.Start(ctx, id, m, Members{})
}
