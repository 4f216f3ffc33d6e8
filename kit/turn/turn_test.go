package turn

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"trivet/fault"
)

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(2, "test.work", "too much")
		for range 2 {
			if err := q.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		answers := make(chan error, maxWaiting)
		begun := time.Now()
		for range maxWaiting {
			go func() { answers <- q.Enter(context.Background()) }()
		}
		synctest.Wait()
		err := q.Enter(t.Context())
		if e, ok := err.(*fault.Error); !ok || e.Kind != fault.Overload || e.RetryAfter != retryAfter || e.Op != "test.work" || time.Since(begun) != 0 {
			t.Errorf("one too many waits: %v after %v", err, time.Since(begun))
		}
		q.Leave()
		if err := <-answers; err != nil {
			t.Errorf("a place is free: %v", err)
		}
		for range maxWaiting - 1 {
			if err := <-answers; !fault.Is(err, fault.Overload) || time.Since(begun) != maxWait {
				t.Errorf("waited %v: %v", time.Since(begun), err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Enter(ctx); !fault.Is(err, fault.Overload) {
			t.Errorf("nobody wants the answer: %v", err)
		}
		q.Leave()
		if err := q.Enter(t.Context()); err != nil {
			t.Errorf("after all have left: %v", err)
		}
	})
}
