// Package life starts and ends things: every goroutine of the program is started
// by Group.Go under a name, every part is stopped in the reverse of the order in
// which it was added, each within a limit, and what fails is logged by name.
package life

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Group owns goroutines and parts. The zero Group is not usable; see New.
type Group struct {
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards the fields below
	running map[string]int
	parts   []part
	ending  bool          // Stop began
	closed  bool          // the parts have stopped, no goroutine begins any more
	idle    chan struct{} // closed when the last goroutine ends after that
	err     error         // first failure
	stopped chan struct{} // closed when Stop is done
	result  error         // of Stop
}

type part struct {
	name  string
	limit time.Duration
	stop  func(context.Context) error
}

// grace is how long a part may take beyond its limit before Stop goes on without
// it: a part that heeds its context needs a moment to return.
const grace = time.Second

// ErrStopped is the cause of the group's context after Stop.
var ErrStopped = errors.New("life: stopped")

// New makes a group whose goroutines see a context derived from ctx.
func New(ctx context.Context, log *slog.Logger) *Group {
	c, cancel := context.WithCancelCause(ctx)
	return &Group{log: log, ctx: c, cancel: cancel, running: map[string]int{}, idle: make(chan struct{}), stopped: make(chan struct{})}
}

// Context ends when the group stops or a goroutine fails.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a goroutine called name. An error (other than the context's own)
// or a panic of f fails the whole group. It reports false, and does nothing, once
// Stop has stopped the parts, which may need goroutines for that.
func (g *Group) Go(name string, f func(ctx context.Context) error) bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	g.running[name]++
	g.mu.Unlock()
	go func() {
		defer g.done(name)
		defer func() {
			if v := recover(); v != nil {
				g.log.Error("panic", "goroutine", name, "value", v, "stack", string(debug.Stack()))
				g.fail(fmt.Errorf("%s: panic: %v", name, v))
			}
		}()
		if err := f(g.ctx); err != nil && !g.own(err) {
			g.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	return true
}

// own reports whether err only says that the context has ended.
func (g *Group) own(err error) bool {
	end := g.ctx.Err()
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped) || end != nil && errors.Is(err, end)
}

func (g *Group) done(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[name]--; g.running[name] == 0 {
		delete(g.running, name)
	}
	if g.closed && len(g.running) == 0 {
		close(g.idle)
	}
}

func (g *Group) fail(err error) {
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.mu.Unlock()
	g.cancel(err)
}

// Err returns the first failure of a goroutine, nil if none.
func (g *Group) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Add registers a part to be stopped by Stop within limit. Parts stop in the
// reverse of the order in which they were added. One that is added when Stop has
// begun is stopped at once.
func (g *Group) Add(name string, limit time.Duration, stop func(context.Context) error) {
	p := part{name, limit, stop}
	g.mu.Lock()
	late := g.ending
	if !late {
		g.parts = append(g.parts, p)
	}
	g.mu.Unlock()
	if late {
		g.end(context.Background(), p)
	}
}

// Stop stops the parts backwards, then ends the context and waits for the
// goroutines until ctx ends. It returns every failure joined; a second call waits
// for the first and returns the same.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	again, parts := g.ending, g.parts
	g.ending, g.parts = true, nil
	g.mu.Unlock()
	if again {
		<-g.stopped
		return g.result
	}

	var errs []error
	for _, p := range slices.Backward(parts) {
		errs = append(errs, g.end(ctx, p))
	}
	g.cancel(ErrStopped)
	errs = append(errs, g.wait(ctx)...)
	g.result = errors.Join(append(errs, g.Err())...)
	close(g.stopped)
	return g.result
}

// end stops a part, and gives up when its limit and the grace are over.
func (g *Group) end(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				g.log.Error("panic", "part", p.name, "value", v, "stack", string(debug.Stack()))
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- p.stop(ctx)
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case err = <-done:
		case <-late.C:
			err = errors.New("it does not stop")
		}
	}
	if err == nil {
		return nil
	}
	g.log.Warn("a part did not stop cleanly", "part", p.name, "err", err)
	return fmt.Errorf("%s: %w", p.name, err)
}

// wait lets no goroutine begin any more and waits for those that run. It names
// those that still do when ctx ends.
func (g *Group) wait(ctx context.Context) (errs []error) {
	g.mu.Lock()
	g.closed = true
	if len(g.running) == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(g.running)) {
		errs = append(errs, fmt.Errorf("goroutine %s still runs", name))
	}
	return errs
}
