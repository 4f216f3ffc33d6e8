// Package turn bounds costly work: so many at once, so many who wait for their
// turn, the rest turned away at once. A Queue is safe for concurrent use.
package turn

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"trivet/fault"
)

const (
	maxWaiting = 64
	maxWait    = 15 * time.Second
	retryAfter = 5 * time.Second
)

// Queue has places for work.
type Queue struct {
	busy    *fault.Error
	places  *semaphore.Weighted
	waiting atomic.Int64
}

// New makes a queue with so many places. Op and text are those of the
// fault.Overload that Enter returns.
func New(places int, op, text string) *Queue {
	busy := fault.New(fault.Overload, op, text)
	busy.RetryAfter = retryAfter
	return &Queue{busy: busy, places: semaphore.NewWeighted(int64(places))}
}

// Enter waits for a place, which Leave gives back. It fails with fault.Overload
// when too many wait already, when the wait takes too long, or when ctx ends.
func (q *Queue) Enter(ctx context.Context) error {
	busy := *q.busy // whoever gets it may add to it
	if q.waiting.Add(1) > maxWaiting {
		q.waiting.Add(-1)
		return &busy
	}
	defer q.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	if q.places.Acquire(ctx, 1) != nil {
		return &busy
	}
	return nil
}

// Leave gives back a place that Enter has given.
func (q *Queue) Leave() { q.places.Release(1) }
