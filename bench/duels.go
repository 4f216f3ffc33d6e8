package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// connections of the relay duels: half send, half receive.
const relayConnections = 1000

// relayResult is what one server did in one relay run.
type relayResult struct {
	messages      int64
	seconds, cpu  float64
	p50, p99      time.Duration
	failures      int64
	perCPUSeconds float64
}

func (r relayResult) String() string { return r.of("messages") }

// of names what was counted.
func (r relayResult) of(what string) string {
	return fmt.Sprintf("%8d %s in %5.1f s: %6.0f/s, CPU %5.2f s per 10,000, %6.0f per CPU second, p50 %v p99 %v, %d failures",
		r.messages, what, r.seconds, float64(r.messages)/r.seconds, r.cpu/float64(r.messages)*10000, r.perCPUSeconds, r.p50, r.p99, r.failures)
}

// ratio is our work per second of processor time over a peer's. A peer that did
// nothing, or failed more often than not, was no match.
func ratio(ours, peer relayResult, name string) (float64, error) {
	if peer.perCPUSeconds == 0 || peer.failures > peer.messages {
		return 0, fmt.Errorf("%s did not do the job: %v", name, peer.of("done"))
	}
	return ours.perCPUSeconds / peer.perCPUSeconds, nil
}

// relay registers relayConnections users, then lets each of the first half send
// to its partner in the other half, one message outstanding per pair, and
// measures the server's processor time between warm-up and end.
func relay(s *server, t target, length time.Duration) (relayResult, error) {
	var received atomic.Int64
	clients, err := registered(t, relayConnections, &received)
	if err != nil {
		return relayResult{}, err
	}
	defer closeAll(clients)
	for _, c := range clients {
		go c.serve()
	}

	run := relayRun{domain: t.domain, stop: make(chan struct{})}
	half := len(clients) / 2
	for i := range half {
		run.pairs.Add(1)
		go run.pair(clients[i], clients[i+half].user)
	}
	return run.measure(s, length), nil
}

// relayRun is what the pairs of one run share.
type relayRun struct {
	domain    string
	measuring atomic.Bool
	stop      chan struct{}
	pairs     sync.WaitGroup

	count, failed atomic.Int64

	mu     sync.Mutex // guards delays
	delays []time.Duration
}

// pair has c send to peer, one message after the other, until the run stops.
func (r *relayRun) pair(c *client, peer string) {
	defer r.pairs.Done()
	var buf []byte
	var mine []time.Duration
	for !r.stopped() {
		begin := time.Now()
		var err error
		if buf, err = c.send(buf, peer, r.domain); err != nil {
			r.failed.Add(1)
			return
		}
		if !r.answered(c) {
			continue
		}
		if r.measuring.Load() {
			r.count.Add(1)
			mine = append(mine, time.Since(begin))
		}
	}
	r.keep(mine)
}

// measure lets what runs warm up, counts for so long, and ends it.
func (r *relayRun) measure(s *server, length time.Duration) relayResult {
	time.Sleep(2 * time.Second)
	cpu, begin := s.cpu(), time.Now()
	r.measuring.Store(true)
	time.Sleep(length)
	r.measuring.Store(false)
	cpu, seconds := s.cpu()-cpu, time.Since(begin).Seconds()
	close(r.stop)
	r.pairs.Wait()
	return r.result(cpu, seconds)
}

func (r *relayRun) keep(delays []time.Duration) {
	r.mu.Lock()
	r.delays = append(r.delays, delays...)
	r.mu.Unlock()
}

func (r *relayRun) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// answered waits for the answer to the message under way. One other than 200, or
// none, is a failure and does not count as a message.
func (r *relayRun) answered(c *client) bool {
	select {
	case status := <-c.replies:
		if status != 200 {
			r.failed.Add(1)
		}
		return status == 200
	case <-time.After(10 * time.Second):
		r.failed.Add(1)
		return false
	}
}

func (r *relayRun) result(cpu, seconds float64) relayResult {
	slices.Sort(r.delays)
	res := relayResult{messages: r.count.Load(), seconds: seconds, cpu: cpu, failures: r.failed.Load()}
	if n := len(r.delays); n > 0 && cpu > 0 {
		res.p50, res.p99 = r.delays[n/2], r.delays[n*99/100]
		res.perCPUSeconds = float64(res.messages) / cpu
	}
	return res
}

// registered connects and registers n users, a few at a time.
func registered(t target, n int, received *atomic.Int64) ([]*client, error) {
	clients := make([]*client, n)
	var wg sync.WaitGroup
	var first atomic.Pointer[error]
	slots := make(chan struct{}, t.atOnce)
	for i := range n {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			c, err := signIn(t, i, received)
			if err != nil {
				first.CompareAndSwap(nil, &err)
				return
			}
			clients[i] = c
		}()
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		closeAll(clients)
		return nil, *err
	}
	return clients, nil
}

// signIn connects and registers. Every server gets a few tries: kamailio 5.6 with
// OpenSSL 3 resets some TLS handshakes.
func signIn(t target, n int, received *atomic.Int64) (c *client, err error) {
	for range 5 {
		if c, err = dial(t, n, received); err == nil {
			if err = c.register(t); err == nil {
				return c, nil
			}
			c.conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, err
}

func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.conn.Close()
		}
	}
}

// idle opens n signed-in connections and measures what one costs, server memory
// and kernel memory together, after they have been quiet for a while. The
// generator's own kernel share is half of what the kernel holds, since both ends
// of each connection are on this machine.
func idle(s *server, t target, n int, quiet time.Duration) (perConnectionKB float64, report string, err error) {
	var received atomic.Int64
	rss, kernel := s.rss(), kernelKB()
	clients, err := registered(t, n, &received)
	if err != nil {
		return 0, "", err
	}
	defer closeAll(clients)
	time.Sleep(quiet)
	rss, kernel = s.rss()-rss, kernelKB()-kernel
	perConnectionKB = (float64(rss) + float64(kernel)/2) / float64(n)
	report = fmt.Sprintf("%d idle signed-in connections: server %d KiB (%.1f each), kernel %d KiB for both ends (%.1f for the server's)",
		n, rss, float64(rss)/float64(n), kernel, float64(kernel)/2/float64(n))
	return perConnectionKB, report, nil
}
