package conference

import "sync"

// tally joins the outcomes of several requests into one.
type tally struct {
	mu   sync.Mutex // guards the fields below
	left int
	done bool
	on   func(status int)
}

// count takes one outcome; the first success, or the last failure, is told.
func (t *tally) count(status int) {
	t.mu.Lock()
	t.left--
	tell := !t.done && (status < 300 || t.left == 0)
	t.done = t.done || tell
	t.mu.Unlock()
	if tell && t.on != nil {
		t.on(status)
	}
}
