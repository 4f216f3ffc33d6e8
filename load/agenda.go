package load

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// todo is something that is to happen at a time.
type todo struct {
	at   time.Duration // after the beginning of the run
	what step
	who  int32 // a user or an endpoint
	ref  uint32
}

// step says what a todo is; steps has what is done.
type step uint8

const (
	arrive       step = iota // a user's next arrival
	signIn                   // an endpoint begins its session
	signOut                  // an endpoint ends it
	talkOn                   // the next line of an IM session
	talkLate                 // a line that waited for the session
	endShort                 // a short subscription ends
	pollAgain                // the results of a search are looked at again
	alive                    // a keep-alive is due
	renew                    // a registration is to be renewed
	resub                    // subscriptions are to be renewed
	joinMeeting              // an endpoint joins a conference
	sayMeeting               // it says something there
	leaveMeeting             // it leaves
	endMeeting               // a conference is forgotten
	sweep                    // unanswered requests are counted
)

// agenda holds what is to come, soonest first. Safe for concurrent use.
type agenda struct {
	mu    sync.Mutex // guards items
	items todos
	fresh chan struct{} // one place: something sooner came
}

func newAgenda() *agenda { return &agenda{fresh: make(chan struct{}, 1)} }

func (a *agenda) add(t todo) {
	a.mu.Lock()
	heap.Push(&a.items, t)
	first := a.items[0] == t
	a.mu.Unlock()
	if first {
		select {
		case a.fresh <- struct{}{}:
		default:
		}
	}
}

// due takes the first item if its time has come; else it says how long to wait.
func (a *agenda) due(now time.Duration) (t todo, wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.items) == 0 {
		return t, time.Second, false
	}
	if wait = a.items[0].at - now; wait > 0 {
		return t, wait, false
	}
	return heap.Pop(&a.items).(todo), 0, true
}

// follow does what is due until ctx ends.
func (a *agenda) follow(ctx context.Context, now func() time.Duration, do func(todo)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		t, wait, ok := a.due(now())
		if ok {
			do(t)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-a.fresh:
		case <-timer.C:
		}
	}
}

// todos is a container/heap.
type todos []todo

func (h todos) Len() int           { return len(h) }
func (h todos) Less(i, j int) bool { return h[i].at < h[j].at }
func (h todos) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *todos) Push(x any)        { *h = append(*h, x.(todo)) }
func (h *todos) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
