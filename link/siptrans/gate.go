package siptrans

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// gate is where those who come to sign in wait while the processors are busy. It
// stands in front of the first request of each connection, before anything is done
// for it. Who has passed it is not stopped again: half a sign-in is work for
// nothing. Those who wait go in by the order of their arrival, as many per tick as
// keep about gateQueue goroutines waiting for each processor: so there is always
// something to do, however much of the machine is ours, and never much that waits.
// Who has signed in never comes here, so messages and presence go first.
//
// How many wait is bounded by the budget of strangers' requests.
type gate struct {
	shut  atomic.Bool  // whether anybody waits here
	doors atomic.Int64 // connections that may be taken in until the next tick, while shut
	delay atomic.Int64 // ns, smoothed: how long nine of ten goroutines at most waited for a processor
	sched schedule

	mu    sync.Mutex // guards the fields below
	queue []chan bool
	over  bool // the layer is closing
}

const (
	gateQueue = 40
	gateWait  = 12 * time.Second // then 503
	gateLeast = 2                // let in per tick, however busy the processors are
)

// enter waits until t may go in; false: it may not.
func (g *gate) enter(t *ServerTx) bool {
	if !g.shut.Load() {
		return true
	}
	t.Uncork()
	turn := make(chan bool, 1)
	g.mu.Lock()
	if g.over {
		g.mu.Unlock()
		return false
	}
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	limit := time.NewTimer(gateWait)
	defer limit.Stop()
	select {
	case ok := <-turn:
		return ok
	case <-limit.C:
		return g.leave(turn)
	}
}

// door waits, while the gate is shut, until another connection may be taken in: a
// handshake for somebody who cannot be served soon is work for nothing, and the
// kernel keeps the order of arrival.
func (g *gate) door(ctx context.Context) {
	for g.shut.Load() && g.doors.Add(-1) < 0 && ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
	}
}

// leave ends waiting; true when the turn came at this very moment.
func (g *gate) leave(turn chan bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, q := range g.queue {
		if q == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			return false
		}
	}
	return <-turn
}

// tick looks how busy the processors are and lets in as many as they bear.
func (g *gate) tick() {
	late, waiting := g.sched.read()
	g.delay.Store((3*g.delay.Load() + int64(late)) / 4)
	room := gateQueue*runtime.GOMAXPROCS(0) - waiting
	g.doors.Store(int64(max(room, 2*gateLeast)))
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(max(room/2, gateLeast), len(g.queue))
	for _, turn := range g.queue[:n] {
		turn <- true
	}
	g.queue = append(g.queue[:0], g.queue[n:]...)
	g.shut.Store(room <= 0 || len(g.queue) > 0)
}

// close sends away everybody who waits.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	for _, turn := range g.queue {
		turn <- false
	}
	g.queue = nil
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}

// schedule reads how long goroutines wait for a processor, and how many, as the
// runtime measures it.
type schedule struct {
	sample [2]metrics.Sample
	before []uint64
}

// read returns how long nine of ten goroutines waited at most since the last call,
// and how many wait now.
func (s *schedule) read() (late time.Duration, waiting int) {
	s.sample[0].Name, s.sample[1].Name = "/sched/latencies:seconds", "/sched/goroutines/runnable:goroutines"
	metrics.Read(s.sample[:])
	if s.sample[1].Value.Kind() == metrics.KindUint64 {
		waiting = int(s.sample[1].Value.Uint64())
	}
	if s.sample[0].Value.Kind() == metrics.KindFloat64Histogram {
		late = s.late(s.sample[0].Value.Float64Histogram())
	}
	return late, waiting
}

func (s *schedule) late(h *metrics.Float64Histogram) time.Duration {
	if len(s.before) != len(h.Counts) {
		s.before = append(s.before[:0], h.Counts...)
		return 0
	}
	total := uint64(0)
	for i, n := range h.Counts {
		total += n - s.before[i]
	}
	late, above := 0.0, total/10
	for i := len(h.Counts) - 1; i >= 0 && total > 0; i-- {
		if n := h.Counts[i] - s.before[i]; n <= above {
			above -= n
			continue
		}
		late = h.Buckets[i]
		break
	}
	copy(s.before, h.Counts)
	if math.IsInf(late, 0) {
		return 0
	}
	return time.Duration(late * float64(time.Second))
}
