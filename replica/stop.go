package replica

import (
	"context"
	"errors"
	"maps"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

// Stop ends this server's part in a group: reads and proposals fail from now on,
// feeds and observers hear nothing more. With forget its log and its snapshots are
// deleted, which only a server may do that is no voter of the group any more, or
// whose copy was given up: what it acknowledged is lost with it. A group that is
// not started here is no failure.
func (h *Host) Stop(ctx context.Context, id uc.GroupID, forget bool) error {
	const op = "replica.Stop"
	h.mu.Lock()
	g := h.groups[id]
	delete(h.groups, id)
	h.mu.Unlock()
	newer := uint64(0) // what is begun here next is not of a generation that was given up
	if g != nil {
		newer = g.newer.Load()
		if err := g.end(ctx); err != nil {
			return fault.Wrap(op, err)
		}
	}
	if !forget {
		return nil
	}
	done := make(chan struct{})
	h.app.q.push(appendJob{forget: id, generation: newer, sync: true, done: done})
	if err := h.written(ctx, op, done); err != nil {
		return err
	}
	path := h.cfg.FS.PathJoin(h.snaps, groupFolder(id))
	return fault.Wrap(op, errors.Join(h.cfg.FS.RemoveAll(path), syncDir(h.cfg.FS, h.snaps)))
}

// end takes the group out of the loop, lets what was begun be written, and ends its
// goroutine, in this order: nothing is asked of a part that has gone.
func (g *Group) end(ctx context.Context) error {
	const op = "replica.Stop"
	out := make(chan struct{})
	g.h.loop.in.push(input{group: g, call: func(g *Group) { g.h.loop.remove(g); close(out) }})
	if err := g.h.written(ctx, op, out); err != nil {
		return err
	}
	barrier := make(chan struct{})
	g.h.app.q.push(appendJob{group: g, positions: []position{}, done: barrier})
	if err := g.h.written(ctx, op, barrier); err != nil {
		return err
	}
	g.feeds.end()
	g.queue.push(applyJob{end: true})
	if err := g.h.written(ctx, op, g.ended); err != nil {
		return err
	}
	for _, p := range g.pending() {
		g.finish(p, nil, g.stopped(op))
	}
	g.changed.announce()
	return nil
}

func (g *Group) stopped(op string) error {
	return fault.Newf(fault.Unavailable, op, "this server holds group %d no more", g.id)
}

// written waits for something that another goroutine of the host does.
func (h *Host) written(ctx context.Context, op string, done <-chan struct{}) error {
	if h.steps != nil {
		if err := h.steps.until(done); err != nil && h.store.failure() == nil {
			return err
		}
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, op, "no answer in time").Because(context.Cause(ctx))
	case <-h.store.broken:
		return storeFault(op, h.cfg.Dir, h.store.failure())
	case <-h.Done():
		return h.usable(op)
	}
}

// stepped waits on a group's goroutine for what the loop does.
func (h *Host) stepped(done <-chan struct{}) error {
	if h.steps != nil {
		return h.steps.until(done)
	}
	select {
	case <-done:
		return nil
	case <-h.Done():
		return context.Canceled
	}
}

// spawn runs something once on a goroutine of its own.
func (h *Host) spawn(name string, f func(context.Context) error) {
	if h.steps != nil {
		h.steps.tasks = append(h.steps.tasks, task{name, f})
		return
	}
	h.life.Go(name, f)
}

// remove takes a group out of the loop; what still comes for it is refused.
func (l *loop) remove(g *Group) {
	s := &g.loop
	if s.gone {
		return
	}
	s.gone = true
	l.groups = slices.DeleteFunc(l.groups, func(o *Group) bool { return o == g })
	if l.h.steps != nil {
		l.h.steps.leaving = append(l.h.steps.leaving, g)
	}
	g.primary.Store(false)
	g.leader.Store(0)
	for _, id := range slices.Sorted(maps.Keys(s.batches)) {
		s.reads = append(s.reads, s.batches[id]...)
	}
	for _, r := range s.reads {
		r.fail(g.stopped("replica.Read"))
	}
	clear(s.batches)
	s.reads, s.props, s.sent = nil, nil, nil
}

// refuse answers what comes for a group that was stopped.
func (l *loop) refuse(in *input) {
	switch {
	case in.prop != nil:
		in.group.finish(in.prop, nil, in.group.stopped("replica.Propose"))
	case in.read != nil:
		in.read.fail(in.group.stopped("replica.Read"))
	case in.call != nil: // somebody may wait for it
		in.call(in.group)
	}
}
