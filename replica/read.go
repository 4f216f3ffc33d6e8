package replica

import (
	"context"
	"sync/atomic"

	"trivet/fault"
)

// read waits for its turn on the group's goroutine.
type read struct {
	f       func()
	since   int // loop: tick at which it came
	claimed atomic.Bool
	done    chan struct{} // closed when f has run or err is set
	err     error
}

// readBatch is the reads that share one ReadIndex round.
type readBatch []*read

// Read runs f on the group's goroutine at a point at which the state has
// everything that was acknowledged before Read was called, whichever member this
// server is: the primary is asked how far the log must be applied. Without one the
// failure is fault.NoQuorum.
// When Read returns an error f has not run and will not. f must be brief.
func (g *Group) Read(ctx context.Context, f func()) error {
	const op = "replica.Read"
	if err := g.h.usable(op); err != nil {
		return err
	}
	r := &read{f: f, done: make(chan struct{})}
	g.h.loop.in.push(input{group: g, read: r})
	return g.wait(ctx, op, r)
}

// wait returns when the read has run, or will not.
func (g *Group) wait(ctx context.Context, op string, r *read) (err error) {
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		err = fault.New(fault.Timeout, op, "no answer in time").Because(context.Cause(ctx))
	case <-g.ended:
		err = g.stopped(op)
	case <-g.h.Done():
		err = g.h.usable(op)
	}
	if r.claimed.CompareAndSwap(false, true) {
		return err
	}
	select { // f is running, or has
	case <-r.done:
		return r.err
	case <-g.h.Done():
		return g.h.usable(op)
	}
}

// Inspect runs f on the group's goroutine with the state as it is here, which may be
// behind the primary's. It asks nobody.
func (g *Group) Inspect(ctx context.Context, f func()) error {
	const op = "replica.Inspect"
	if err := g.h.usable(op); err != nil {
		return err
	}
	r := &read{f: f, done: make(chan struct{})}
	g.queue.push(applyJob{reads: readBatch{r}})
	return g.wait(ctx, op, r)
}

// run calls f unless the caller has gone.
func (r *read) run() {
	if r.claimed.CompareAndSwap(false, true) {
		r.f()
		close(r.done)
	}
}

func (r *read) fail(err error) {
	if r.claimed.CompareAndSwap(false, true) {
		r.err = err
		close(r.done)
	}
}
