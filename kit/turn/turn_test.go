package turn

import (
	"context"
	"fmt"
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
		answers := make(chan error, perSource)
		begun := time.Now()
		for range perSource {
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
		for range perSource - 1 {
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

// TestTurns: many sources ask for as much as they can get. One that is known waits
// for few, one that is not for one round of all.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, "test.work", "too much")
		if err := q.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		served := make(chan string, 4*maxWaiting)
		ask := func(name string, known bool) {
			go func() {
				if q.Enter(As(context.Background(), name, known)) == nil {
					served <- name
				}
			}()
		}
		const attackers = 100
		for n := range 20 * attackers {
			ask(fmt.Sprint("attacker ", n%attackers), false)
		}
		synctest.Wait()
		if q.other.n != maxWaiting {
			t.Errorf("%d wait, want %d", q.other.n, maxWaiting)
		}
		ask("newcomer", false)
		ask("known", true)
		synctest.Wait()
		at := map[string]int{}
		for n := 1; n <= attackers+5; n++ {
			q.Leave()
			at[<-served] = n
		}
		if at["known"] != 1 || at["newcomer"] == 0 || at["newcomer"] > attackers+2 {
			t.Errorf("the known one was served as number %d, the newcomer as number %d", at["known"], at["newcomer"])
		}
		for range 10 {
			ask("known", true)
		}
		synctest.Wait()
		others := 0
		for range 12 {
			q.Leave()
			if <-served != "known" {
				others++
			}
		}
		if others < 2 || others > 4 {
			t.Errorf("%d of 12 turns were others'", others)
		}
		<-time.After(maxWait) // the rest gives up
	})
}
