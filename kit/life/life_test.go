package life

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

var errBroken = errors.New("it is broken")

// group is a group with its log.
func group(t *testing.T) (*Group, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	return New(t.Context(), slog.New(slog.NewTextHandler(&log, nil))), &log
}

func TestPartsStopBackwards(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	var order []string
	for _, name := range []string{"store", "link", "service"} {
		g.Add(name, time.Minute, func(context.Context) error { order = append(order, name); return nil })
	}
	ended := make(chan struct{})
	g.Go("worker", func(ctx context.Context) error {
		defer close(ended)
		<-ctx.Done()
		return ctx.Err()
	})
	g.Add("last", time.Minute, func(context.Context) error {
		if g.Context().Err() != nil {
			t.Error("the goroutines end before the parts")
		}
		return nil
	})
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
	if got := strings.Join(order, " "); got != "service link store" {
		t.Errorf("stopped in the order %s", got)
	}
	if cause := context.Cause(g.Context()); cause != ErrStopped {
		t.Errorf("the context ended with %v", cause)
	}
	if err := g.Stop(t.Context()); err != nil { // once more does no harm
		t.Error(err)
	}
	if len(order) != 3 {
		t.Errorf("a second Stop has stopped again: %v", order)
	}
}

// TestEachPartHasItsLimit: a part that hangs takes no more than its own time, and
// those behind it get theirs.
func TestEachPartHasItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := group(t)
		begin := time.Now()
		var left time.Duration
		g.Add("first", 3*time.Second, func(ctx context.Context) error {
			end, _ := ctx.Deadline()
			left = time.Until(end)
			return nil
		})
		g.Add("slow", 5*time.Second, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		err := g.Stop(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "slow: ") || time.Since(begin) != 5*time.Second || left != 3*time.Second {
			t.Errorf("%v after %v, the next part had %v", err, time.Since(begin), left)
		}
		if !strings.Contains(log.String(), "part=slow") {
			t.Errorf("the log says %q", log)
		}
	})
}

// TestPartThatHangs: one that does not heed its context is left behind.
func TestPartThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := group(t)
		free, stopped := make(chan struct{}), false
		g.Add("store", time.Minute, func(context.Context) error { stopped = true; return nil })
		g.Add("link", time.Minute, func(context.Context) error { <-free; return nil })
		begin := time.Now()
		err := g.Stop(t.Context())
		if err == nil || err.Error() != "link: it does not stop" || !stopped || time.Since(begin) != time.Minute+grace || !strings.Contains(log.String(), "part=link") {
			t.Errorf("got %v after %v, the store has stopped: %v", err, time.Since(begin), stopped)
		}
		close(free)
	})
}

func TestPartThatComesLate(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	var order []string
	g.Add("store", time.Minute, func(context.Context) error {
		g.Add("link", time.Minute, func(context.Context) error { order = append(order, "link"); return nil })
		order = append(order, "store")
		return nil
	})
	if err := g.Stop(t.Context()); err != nil || strings.Join(order, " ") != "link store" {
		t.Errorf("%v, stopped %v", err, order)
	}
}

func TestEveryFailureIsTold(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	other := errors.New("other")
	g.Add("a", time.Minute, func(context.Context) error { return errBroken })
	g.Add("b", time.Minute, func(context.Context) error { return other })
	err := g.Stop(t.Context())
	if !errors.Is(err, errBroken) || !errors.Is(err, other) || err.Error() != "b: other\na: it is broken" {
		t.Errorf("got %v", err)
	}
}

// TestPartThatPanics: the parts behind it stop nevertheless.
func TestPartThatPanics(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, log := group(t)
	stopped := false
	g.Add("store", time.Minute, func(context.Context) error { stopped = true; return nil })
	g.Add("link", time.Minute, func(context.Context) error { panic("no link") })
	err := g.Stop(t.Context())
	if err == nil || !strings.Contains(err.Error(), "link: panic: no link") || !stopped || !strings.Contains(log.String(), "part=link") {
		t.Errorf("got %v, the store has stopped: %v, the log says %q", err, stopped, log)
	}
}

func TestFailureCancelsTheGroup(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(context.Context) error
		want string
		log  string
	}{
		{"error", func(context.Context) error { return errBroken }, "reader: it is broken", ""},
		{"panic", func(context.Context) error { panic("out of luck") }, "reader: panic: out of luck", "goroutine=reader"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			g, log := group(t)
			g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			g.Go("reader", c.f)
			<-g.Context().Done()
			if err := g.Err(); err == nil || err.Error() != c.want || context.Cause(g.Context()) != err {
				t.Errorf("failed with %v, the cause is %v", err, context.Cause(g.Context()))
			}
			if err := g.Stop(t.Context()); err == nil || err.Error() != c.want {
				t.Errorf("Stop: %v", err)
			}
			if !strings.Contains(log.String(), c.log) || c.log != "" && !strings.Contains(log.String(), "life_test.go") {
				t.Errorf("the log says %q", log)
			}
		})
	}
}

func TestFirstFailureCounts(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	g.Go("second", func(ctx context.Context) error { <-ctx.Done(); return errors.New("a consequence") })
	g.Go("first", func(context.Context) error { return errBroken })
	<-g.Context().Done()
	if err := g.Stop(t.Context()); !errors.Is(err, errBroken) || strings.Contains(err.Error(), "consequence") {
		t.Errorf("got %v", err)
	}
}

// TestEndWithoutFailure: neither a plain end nor the context's own error is one.
func TestEndWithoutFailure(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	var wg sync.WaitGroup
	wg.Add(3)
	g.Go("done", func(context.Context) error { defer wg.Done(); return nil })
	g.Go("given up", func(context.Context) error { defer wg.Done(); return context.Canceled })
	g.Go("told", func(context.Context) error { defer wg.Done(); return ErrStopped })
	wg.Wait()
	if g.Err() != nil || g.Context().Err() != nil {
		t.Errorf("failed with %v", g.Err())
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestParentEndsTheGroup(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	g := New(ctx, slog.New(slog.DiscardHandler))
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	cancel()
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestGoAfterStopIsRefused(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if g.Go("late", func(context.Context) error { t.Error("it runs"); return nil }) {
		t.Error("it is accepted")
	}
}

// TestGoWhilePartsStop: a part may need goroutines for its end.
func TestGoWhilePartsStop(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	ran := make(chan struct{})
	g.Add("link", time.Minute, func(context.Context) error {
		if !g.Go("farewell", func(context.Context) error { close(ran); return nil }) {
			t.Error("refused")
		}
		<-ran
		return nil
	})
	if err := g.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestGoroutineThatDoesNotEndIsNamed: Stop does not wait for it for ever.
func TestGoroutineThatDoesNotEndIsNamed(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	free, ended := make(chan struct{}), make(chan struct{})
	for range 2 {
		g.Go("stuck", func(context.Context) error { <-free; ended <- struct{}{}; return nil })
	}
	g.Go("obedient", func(ctx context.Context) error { <-ctx.Done(); ended <- struct{}{}; return nil })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Stop(ctx) }()
	<-ended // the obedient one
	cancel()
	err := <-done
	if err == nil || !strings.Contains(err.Error(), "goroutine stuck still runs") {
		t.Errorf("got %v", err)
	}
	close(free)
	<-ended
	<-ended
	<-g.idle
}

// TestStopTogether: two that stop at once both see the end.
func TestStopTogether(t *testing.T) {
	defer goleak.VerifyNone(t)
	g, _ := group(t)
	ended := false
	g.Go("worker", func(ctx context.Context) error { <-ctx.Done(); ended = true; return nil })
	inside, go2 := make(chan struct{}), make(chan struct{})
	g.Add("part", time.Minute, func(context.Context) error { close(inside); <-go2; return nil })
	first, second := make(chan error), make(chan error)
	go func() { first <- g.Stop(t.Context()) }()
	<-inside
	go func() { second <- g.Stop(t.Context()) }()
	close(go2)
	for _, c := range []chan error{first, second} {
		if err := <-c; err != nil || !ended {
			t.Errorf("Stop: %v, the worker has ended: %v", err, ended)
		}
	}
}
