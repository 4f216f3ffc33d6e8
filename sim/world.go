package sim

import (
	"container/heap"
	"fmt"
	"runtime/debug"
	"time"

	"trivet/rule/poolstate"
	"trivet/uc"
)

// world is everything there is in a run.
type world struct {
	opts    Options
	chance  chance
	now     time.Duration // since the beginning
	queue   eventQueue
	events  uint64 // put into the queue so far
	trace   trace
	servers []*server // in the order of the topology; with those that are not in it yet
	net     network
	base    *backEnd // nil: the pool has none
	people  []*person
	book    *book // what was promised
	judge   judge
	harm    *harm
	groups  int // routing groups

	topology []uc.ServerFQDN // the document that servers are started with
	domains  map[uc.ServerFQDN]int
	counts   Counts
	failed   error // the first violation
}

// event is something that happens at a time.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return x
}

// after has something done in a while.
func (w *world) after(d time.Duration, do func()) {
	w.events++
	heap.Push(&w.queue, event{w.now + d, w.events, do})
}

// run lets time pass until then, or until something is violated.
func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.failed == nil && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.counts.Events++
		w.trace.number(uint64(e.at))
		w.do(e)
	}
	if w.failed == nil {
		w.now = max(w.now, until)
	}
}

// do carries out an event. A panic would have ended a server for good.
func (w *world) do(e event) {
	defer func() {
		if v := recover(); v != nil {
			w.violated("host", "panic: %v\n%s", v, debug.Stack())
		}
	}()
	e.do()
}

// violated ends the run.
func (w *world) violated(invariant, format string, v ...any) {
	if w.failed == nil {
		w.failed = &Violation{Invariant: invariant, At: w.now, What: fmt.Sprintf(format, v...)}
		w.say("VIOLATION of %s: %s", invariant, w.failed.(*Violation).What)
	}
}

// say tells what happens to whoever looks on. It is part of the trace.
func (w *world) say(format string, v ...any) {
	w.trace.number(uint64(len(format)))
	if w.opts.Log == nil {
		return
	}
	fmt.Fprintf(w.opts.Log, "%9.3fs  %s\n", w.now.Seconds(), fmt.Sprintf(format, v...))
}

// trace is a hash of everything that happened, in its order (FNV-1a on words).
type trace uint64

func (t *trace) number(v uint64) { *t = (*t ^ trace(v)) * 0x100000001b3; *t ^= *t >> 29 }

func (t *trace) bytes(b []byte) {
	for len(b) >= 8 {
		t.number(uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56)
		b = b[8:]
	}
	for _, c := range b {
		t.number(uint64(c))
	}
}

// up are the servers whose process runs.
func (w *world) up() (list []*server) {
	for _, s := range w.servers {
		if s.up {
			list = append(list, s)
		}
	}
	return list
}

// named is the server of that name, nil for none.
func (w *world) named(name uc.ServerFQDN) *server {
	for _, s := range w.servers {
		if s.name == name {
			return s
		}
	}
	return nil
}

// pool is the newest state of the pool that any server shows.
func (w *world) pool() *poolstate.Pool {
	var best *server
	for _, s := range w.up() {
		if s.host != nil && s.view.Open() && (best == nil || s.poolAt() > best.poolAt()) {
			best = s
		}
	}
	if best == nil {
		return &poolstate.Pool{}
	}
	return best.view
}
