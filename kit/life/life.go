// Package life starts and ends things: every goroutine of the program is started
// by Group.Go under a name, every part is stopped in the reverse of the order in
// which it was added, each within a limit, and what fails is logged by name.
package life

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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
	closed  bool
	parts   []part
	idle    chan struct{} // closed when the last goroutine ends after Stop began
	err     error         // first failure
}

type part struct {
	name  string
	limit time.Duration
	stop  func(context.Context) error
}

// ErrStopped is the cause of the group's context after Stop.
var ErrStopped = errors.New("life: stopped")

// New makes a group whose goroutines see a context derived from ctx.
func New(ctx context.Context, log *slog.Logger) *Group {
	c, cancel := context.WithCancelCause(ctx)
	return &Group{log: log, ctx: c, cancel: cancel, running: map[string]int{}, idle: make(chan struct{})}
}

// Context ends when the group stops or a goroutine fails.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs f in a goroutine called name. An error (other than the context's own)
// or a panic of f fails the whole group. It reports false once Stop began.
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
		if err := f(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
			g.fail(fmt.Errorf("%s: %w", name, err))
		}
	}()
	return true
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
// reverse of the order in which they were added.
func (g *Group) Add(name string, limit time.Duration, stop func(context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parts = append(g.parts, part{name, limit, stop})
}

// Stop stops the parts backwards, then ends the context and waits for the
// goroutines until ctx ends. It returns every failure joined.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	parts := g.parts
	g.parts = nil
	g.mu.Unlock()

	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		c, cancel := context.WithTimeout(ctx, p.limit)
		if err := p.stop(c); err != nil {
			g.log.Warn("a part did not stop cleanly", "part", p.name, "err", err)
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
		cancel()
	}
	g.cancel(ErrStopped)

	g.mu.Lock()
	g.closed = true
	if len(g.running) == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	select {
	case <-g.idle:
	case <-ctx.Done():
		g.mu.Lock()
		for name := range g.running {
			errs = append(errs, fmt.Errorf("goroutine %s still runs", name))
		}
		g.mu.Unlock()
	}
	return errors.Join(append(errs, g.Err())...)
}
