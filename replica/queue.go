package replica

import "sync"

// queue hands values from many goroutines to one, all that is there at a time.
// What goes in is bounded by its users (proposals waiting, raft's windows).
type queue[T any] struct {
	wake chan struct{}

	mu    sync.Mutex // guards items
	items []T
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) push(vs ...T) {
	if len(vs) == 0 {
		return
	}
	q.mu.Lock()
	q.items = append(q.items, vs...)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// holds reports whether there is something in the queue.
func (q *queue[T]) holds() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) > 0
}

// take returns everything in the queue and leaves spare, emptied, in its place.
func (q *queue[T]) take(spare []T) []T {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.items
	q.items = spare[:0]
	return out
}

// change is closed and made anew whenever something waited for may have come.
type change struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

func newChange() *change { return &change{ch: make(chan struct{})} }

func (c *change) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ch
}

func (c *change) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ch)
	c.ch = make(chan struct{})
}
