package replica

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"trivet/uc"
)

// appendJob is one thing to write for a group. At most one of msg, compact and
// positions is set; with a checkpoint none, nor a group.
type appendJob struct {
	group      *Group
	msg        *raftpb.Message // MsgStorageAppend
	compact    *compaction
	positions  []position  // nil: those of the group that changed
	checkpoint *checkpoint // of all groups, after whatever is written with it
	forget     uc.GroupID  // a group of which nothing is to stay
	generation uint64      // to be noted, 0 for nothing; also of what is forgotten
	sync       bool
	done       chan struct{} // closed once it is written; may be nil
}

// compaction drops the log up to an entry.
type compaction struct{ index, term uint64 }

// maxBatch is where a batch is closed even if more waits.
const maxBatch = 4 << 20

// appender writes the logs of all groups, on one goroutine: one batch, and one
// flush, for whatever has come while the last one was written.
type appender struct {
	h     *Host
	q     *queue[appendJob]
	spare []appendJob
	buf   []byte
	in    []input
	out   outbox
}

func (a *appender) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.q.wake:
		}
		if !a.writeAll() {
			return nil
		}
	}
}

// writeAll writes what has come; false when the store has failed.
func (a *appender) writeAll() bool {
	jobs := a.q.take(a.spare)
	a.spare = jobs
	for len(jobs) > 0 {
		n, err := a.write(jobs)
		if err != nil {
			a.h.store.fail(err)
			return false
		}
		jobs = jobs[n:]
	}
	return true
}

// write commits one batch of jobs and does what depends on it. It returns how
// many jobs went into it.
func (a *appender) write(jobs []appendJob) (int, error) {
	b := a.h.store.db.NewBatch()
	defer b.Close()
	sync, n := false, 0
	for n < len(jobs) && b.Len() < maxBatch {
		j := &jobs[n]
		if err := a.put(b, j); err != nil {
			return 0, err
		}
		sync = sync || j.sync || j.msg != nil && j.group.mustFlush(j.msg)
		n++
	}
	opts := pebble.NoSync
	if sync {
		opts = a.h.sync()
	}
	if sync || !b.Empty() {
		if err := b.Commit(opts); err != nil {
			return 0, err
		}
	}
	for i := range jobs[:n] {
		a.written(&jobs[i])
	}
	a.h.loop.in.push(a.in...)
	clear(a.in)
	a.in = a.in[:0]
	a.out.send(a.h.cfg.Transport)
	return n, nil
}

// mustFlush reports whether what depends on a message may only go on once the message
// is durable: entries, a snapshot, another term or vote. The commit index alone is no
// promise to anybody, and found again after a crash: whoever has entries learns it.
func (g *Group) mustFlush(m *raftpb.Message) bool {
	had := g.promised
	if m.Term != nil && m.Vote != nil {
		g.promised = promise{m.GetTerm(), m.GetVote()}
	}
	return len(m.GetEntries()) > 0 || !raft.IsEmptySnap(m.GetSnapshot()) || g.promised != had
}

// promise is what a server may not go back on after a crash.
type promise struct{ term, vote uint64 }

// put adds what a job has to write to the batch.
func (a *appender) put(b Batch, j *appendJob) error {
	g := j.group
	switch {
	case j.checkpoint != nil:
		return nil
	case j.forget != 0:
		if err := a.h.store.forget(b, j.forget); err != nil || j.generation == 0 {
			return err
		}
		return b.Set(key(keyGeneration, j.forget), numbers(j.generation), nil)
	case j.generation != 0:
		return b.Set(key(keyGeneration, g.id), numbers(j.generation), nil)
	case j.compact != nil:
		return g.writeCompaction(b, *j.compact)
	case j.msg == nil:
		if j.positions == nil {
			g.saving.Store(false)
			j.positions = g.feeds.unsaved()
		}
		return g.writePositions(b, j.positions)
	}
	if s := j.msg.GetSnapshot(); !raft.IsEmptySnap(s) {
		if err := g.takeSnapshot(b, s); err != nil {
			return err
		}
	}
	if ents := j.msg.GetEntries(); len(ents) > 0 {
		var err error
		if a.buf, err = g.log.write(b, ents, a.buf); err != nil {
			return err
		}
	}
	if m := j.msg; m.Term != nil && m.Vote != nil {
		return b.Set(key(keyHard, g.id), numbers(m.GetTerm(), m.GetVote(), m.GetCommit()), nil)
	}
	return nil
}

// written makes a job's write visible and lets go the messages that waited for it.
func (a *appender) written(j *appendJob) {
	g := j.group
	switch {
	case j.checkpoint != nil:
		j.checkpoint.err = j.checkpoint.take(a.h)
	case j.compact != nil:
		g.log.compacted(j.compact.index, j.compact.term)
	case j.msg != nil:
		if s := j.msg.GetSnapshot(); !raft.IsEmptySnap(s) {
			g.restoreReceived(s)
		}
		if ents := j.msg.GetEntries(); len(ents) > 0 {
			g.log.appended(ents)
		}
		for _, m := range j.msg.GetResponses() {
			if m.GetTo() == a.h.cfg.NodeID {
				a.in = append(a.in, input{group: g, msg: m})
			} else if !a.h.toWitness(g, m) {
				a.out.add(g, m)
			}
		}
	}
	if j.done != nil {
		close(j.done)
	}
}

func (g *Group) writeCompaction(b Batch, c compaction) error {
	first, _ := g.log.FirstIndex()
	if c.index < first {
		return nil // a snapshot from another server has overtaken it
	}
	if err := b.DeleteRange(entryKey(g.id, first), entryKey(g.id, c.index+1), nil); err != nil {
		return err
	}
	return b.Set(key(keyStart, g.id), numbers(c.index, c.term), nil)
}

func (g *Group) writePositions(b Batch, ps []position) error {
	for _, p := range ps {
		if p.gone {
			if err := b.Delete(feedKey(g.id, p.name), nil); err != nil {
				return err
			}
			continue
		}
		if err := b.Set(feedKey(g.id, p.name), numbers(p.index), nil); err != nil {
			return err
		}
	}
	return nil
}
