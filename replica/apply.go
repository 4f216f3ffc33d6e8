package replica

import (
	"context"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// applyJob is one thing for the group's goroutine: entries to apply, reads that
// wait for an index, or a snapshot from another server to restore.
type applyJob struct {
	msg     *raftpb.Message // MsgStorageApply
	reads   readBatch
	index   uint64        // of reads, or of the snapshot
	restore chan struct{} // closed when the snapshot is restored
	end     bool          // nothing comes after it
}

// applyState is the replicated state beside the machine's, and what surrounds it;
// only the group's goroutine touches it.
type applyState struct {
	sessions *sessions
	term     uint64        // of the last entry applied
	waiting  []applyJob    // reads ahead of what is applied
	snapped  uint64        // index of the last snapshot taken or tried
	bytes    uint64        // of commands applied since
	busy     chan struct{} // closed when the snapshot under way is done; nil if none was taken
	over     bool          // the group was stopped
	spare    []applyJob
}

// run is the group's goroutine.
func (g *Group) run(ctx context.Context) error {
	defer close(g.ended)
	defer g.waitSnapshot(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.queue.wake:
		}
		if err := g.doAll(ctx); err != nil || g.work.over || ctx.Err() != nil {
			return err
		}
	}
}

// doAll does what has come.
func (g *Group) doAll(ctx context.Context) error {
	jobs := g.queue.take(g.work.spare)
	g.work.spare = jobs
	for i := range jobs {
		if err := g.do(&jobs[i]); err != nil {
			return err
		}
		if ctx.Err() != nil || g.work.over {
			return nil
		}
	}
	g.snapshotIfDue()
	return nil
}

// waitSnapshot lets the snapshot under way end, so that nothing is written for a
// group that was stopped.
func (g *Group) waitSnapshot(ctx context.Context) {
	if g.work.busy == nil || !g.work.over {
		return
	}
	select {
	case <-g.work.busy:
	case <-ctx.Done():
	}
}

func (g *Group) do(j *applyJob) error {
	switch {
	case j.msg != nil:
		for _, e := range j.msg.GetEntries() {
			if err := g.apply(e); err != nil {
				return fmt.Errorf("group %d, entry %d: %w", g.id, e.GetIndex(), err)
			}
		}
		for _, m := range j.msg.GetResponses() {
			g.h.loop.in.push(input{group: g, msg: m})
		}
	case j.end:
		g.work.over = true
		return nil
	case j.restore != nil:
		if err := g.restoreNow(j.index); err != nil {
			return err
		}
		close(j.restore)
	default:
		g.work.waiting = append(g.work.waiting, *j)
	}
	g.runReads()
	return nil
}

// apply carries out one entry of the log.
func (g *Group) apply(e *raftpb.Entry) error {
	index := e.GetIndex()
	var events []any
	switch b := e.GetData(); {
	case e.GetType() != raftpb.EntryNormal:
		if err := g.applyChange(e); err != nil {
			return err
		}
	case len(b) > 0:
		var err error
		switch b[0] {
		case kindCommand:
			events, err = g.command(index, b)
		case kindPosition:
			var p position
			if p, err = decodePosition(b); err == nil {
				g.feeds.learn(p)
			}
		default:
			err = errEntry
		}
		if err != nil {
			return err
		}
	}
	g.applied.Store(index)
	g.feeds.push(index, events, uint64(len(e.GetData())))
	if index == g.replayEnd {
		g.changed.announce()
	}
	if t := e.GetTerm(); t != g.work.term {
		g.work.term = t
		for _, p := range g.lostBefore(t) {
			g.h.loop.in.push(input{group: g, prop: p})
		}
	}
	return nil
}

// command applies a command that was not applied before, and answers whoever
// waits for it.
func (g *Group) command(index uint64, b []byte) ([]any, error) {
	c, err := decodeCommand(b)
	if err != nil {
		return nil, err
	}
	g.work.bytes += uint64(len(c.body))
	result, again := g.work.sessions.seen(c.id)
	var events []any
	if !again {
		result, events = g.machine.Apply(index, c.body)
		g.work.sessions.keep(index, c, result)
		if obs := g.observers.Load(); obs != nil && len(events) > 0 && index > g.replayEnd {
			for _, o := range *obs {
				o.f(index, events)
			}
		}
	}
	g.applied.Store(index)
	g.resolve(c.id, result)
	return events, nil
}

// runReads runs the reads whose point has been reached.
func (g *Group) runReads() {
	rest := g.work.waiting[:0]
	for _, j := range g.work.waiting {
		if j.index > g.applied.Load() {
			rest = append(rest, j)
			continue
		}
		for _, r := range j.reads {
			r.run()
		}
	}
	clear(g.work.waiting[len(rest):])
	g.work.waiting = rest
}
