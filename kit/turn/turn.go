// Package turn bounds costly work: so many at once, so many who wait for their
// turn, the rest turned away at once. Those who wait are served fairly: sources in
// turn, however many wait of each, and those that are known to be good three times
// before others once. So whoever asks for much, from however many places, does not
// keep out those who were there before. A Queue is safe for concurrent use.
package turn

import (
	"context"
	"sync"
	"time"

	"trivet/fault"
)

const (
	perSource  = 64   // who wait of one source
	maxWaiting = 1024 // who wait in all
	maxWait    = 15 * time.Second
	retryAfter = 5 * time.Second
	preference = 3 // known ones served before an unknown one that waits
)

// Queue has places for work.
type Queue struct {
	busy *fault.Error

	mu     sync.Mutex // guards the fields below
	free   int
	served int // known ones since the last unknown one
	known  ring
	other  ring
}

// ring has those who wait, by source.
type ring struct {
	order []string // sources with somebody waiting, in the order of their turns
	of    map[string][]chan error
	n     int
}

// who is what the context says of who asks.
type who struct {
	source string
	known  bool
}

type whoKey struct{}

// As says for Enter who asks: the source is what shares a turn, known says that it
// has proved to be good before. Those of whom nothing is said are one source.
func As(ctx context.Context, source string, known bool) context.Context {
	return context.WithValue(ctx, whoKey{}, who{source, known})
}

// New makes a queue with so many places. Op and text are those of the
// fault.Overload that Enter returns.
func New(places int, op, text string) *Queue {
	busy := fault.New(fault.Overload, op, text)
	busy.RetryAfter = retryAfter
	return &Queue{busy: busy, free: places, known: ring{of: map[string][]chan error{}}, other: ring{of: map[string][]chan error{}}}
}

// Enter waits for a place, which Leave gives back. It fails with fault.Overload
// when too many wait already, when the wait takes too long, or when ctx ends.
func (q *Queue) Enter(ctx context.Context) error {
	w, _ := ctx.Value(whoKey{}).(who)
	if ctx.Err() != nil {
		return q.overload()
	}
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return nil
	}
	r := &q.other
	if w.known {
		r = &q.known
	}
	if len(r.of[w.source]) >= perSource || r.n >= maxWaiting && !q.displace(r, w.source) {
		q.mu.Unlock()
		return q.overload()
	}
	turn := make(chan error, 1)
	r.add(w.source, turn)
	q.mu.Unlock()
	return q.await(ctx, r, w.source, turn)
}

func (q *Queue) await(ctx context.Context, r *ring, source string, turn chan error) error {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	select {
	case err := <-turn:
		return err
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.remove(source, turn) {
		return q.overload()
	}
	return <-turn // it came at this moment
}

// overload is a fault of its own: whoever gets it may add to it.
func (q *Queue) overload() error {
	busy := *q.busy
	return &busy
}

// Leave gives back a place that Enter has given.
func (q *Queue) Leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := &q.known
	if r.n == 0 || q.served >= preference && q.other.n > 0 {
		r, q.served = &q.other, 0
	} else {
		q.served++
	}
	if r.n == 0 {
		q.free++
		return
	}
	r.next() <- nil
}

// displace sends away the last one of the source that has most waiting, if the
// source has fewer. mu is held.
func (q *Queue) displace(r *ring, source string) bool {
	most := ""
	for s, list := range r.of {
		if most == "" || len(list) > len(r.of[most]) {
			most = s
		}
	}
	list := r.of[most]
	if len(list) <= len(r.of[source])+1 {
		return false
	}
	last := list[len(list)-1]
	r.remove(most, last)
	last <- q.overload()
	return true
}

func (r *ring) add(source string, turn chan error) {
	if len(r.of[source]) == 0 {
		r.order = append(r.order, source)
	}
	r.of[source] = append(r.of[source], turn)
	r.n++
}

// next takes off who has waited longest of the source whose turn it is.
func (r *ring) next() chan error {
	source := r.order[0]
	r.order = r.order[1:]
	list := r.of[source]
	turn := list[0]
	r.n--
	if len(list) == 1 {
		delete(r.of, source)
		return turn
	}
	r.of[source] = list[1:]
	r.order = append(r.order, source)
	return turn
}

// remove takes off one who waits; false: it is not there any more.
func (r *ring) remove(source string, turn chan error) bool {
	list := r.of[source]
	for i := range list {
		if list[i] != turn {
			continue
		}
		r.n--
		if list = append(list[:i:i], list[i+1:]...); len(list) > 0 {
			r.of[source] = list
			return true
		}
		delete(r.of, source)
		for i := range r.order {
			if r.order[i] == source {
				r.order = append(r.order[:i:i], r.order[i+1:]...)
				break
			}
		}
		return true
	}
	return false
}
