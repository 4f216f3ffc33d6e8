package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	storeServers = 3
	writtenBytes = 1024
	writtenKeys  = 4096 // values that are kept; each write replaces one
	writeRounds  = 3    // both sides take turns
	writeWarmUp  = 700 * time.Millisecond
	writeLength  = 3 * time.Second
)

// writersAtOnce are the loads: so many writers, each with one write under way.
var writersAtOnce = []int{1, 64, 256}

// replicated is three servers that keep a store alike.
type replicated struct {
	servers []*server
	addrs   []string // where each takes writes
}

func (r replicated) stop() {
	var all sync.WaitGroup
	for _, s := range r.servers {
		all.Go(s.stop)
	}
	all.Wait()
}

func (r replicated) cpu() (seconds float64) {
	for _, s := range r.servers {
		seconds += s.cpu()
	}
	return seconds
}

// contender is a side of the duel.
type contender struct {
	name  string
	start func(lab) (replicated, error)
}

var contenders = []contender{
	{"etcd", lab.startEtcd},
	{"trivet, 32 groups", func(l lab) (replicated, error) { return l.startReplicas(32) }},
	{"trivet, 1 group", func(l lab) (replicated, error) { return l.startReplicas(1) }},
}

// written is what one side did under one load.
type written struct {
	done, failed int64
	seconds, cpu float64
	flushes      int64 // of the disk, whoever asked for them
	delays       []time.Duration
	firstFailure error
}

func (w *written) add(v written) {
	w.done, w.failed, w.seconds, w.cpu, w.flushes = w.done+v.done, w.failed+v.failed, w.seconds+v.seconds, w.cpu+v.cpu, w.flushes+v.flushes
	w.delays = append(w.delays, v.delays...)
}

func (w *written) rate() float64 { return float64(w.done) / w.seconds }

func (w *written) String() string {
	slices.Sort(w.delays)
	n := max(len(w.delays), 1)
	all := append(w.delays, 0)
	return fmt.Sprintf("%8.0f writes/s, p50 %6.2f ms, p99 %7.2f ms, CPU %5.2f s per 10,000, %5.2f flushes per write, %d failures",
		w.rate(), all[n/2].Seconds()*1000, all[n*99/100].Seconds()*1000,
		w.cpu/float64(max(w.done, 1))*10000, float64(w.flushes)/float64(max(w.done, 1)), w.failed)
}

// writesDuel has both sides make 1 KiB values durable on three servers. The value is
// our rate by etcd's with 64 writers, with as many groups as a pool has.
func (l lab) writesDuel() (float64, []side, error) {
	total := map[string]map[int]*written{}
	for round := range writeRounds {
		for _, c := range contenders {
			if total[c.name] == nil {
				total[c.name] = map[int]*written{}
			}
			if err := l.writeAll(c, round, total[c.name]); err != nil {
				return 0, nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	for _, c := range contenders {
		for _, n := range writersAtOnce {
			fmt.Printf("all of  %-18s %3d writers: %v\n", c.name, n, total[c.name][n])
		}
	}
	value, sides := timesFirst(total)
	return value, sides, nil
}

// timesFirst compares the rates of all others with those of the first contender. The
// value is that of the second with 64 writers.
func timesFirst(total map[string]map[int]*written) (value float64, sides []side) {
	peer, ours := contenders[0], contenders[1]
	for _, c := range contenders[1:] {
		for _, n := range writersAtOnce {
			times := total[c.name][n].rate() / total[peer.name][n].rate()
			if c.name == ours.name && n == 64 {
				value = times
				continue
			}
			sides = append(sides, side{fmt.Sprintf("%s, %d writers, times %s", c.name, n, peer.name), times, atLeast(1)})
		}
	}
	return value, sides
}

// writeAll starts a side, puts every load on it and adds what it did to the total.
func (l lab) writeAll(c contender, round int, total map[int]*written) error {
	r, err := c.start(l)
	if err != nil {
		return err
	}
	defer r.stop()
	var links []*kv
	for _, addr := range r.addrs {
		links = append(links, newKV(addr))
	}
	defer func() {
		for _, k := range links {
			k.close()
		}
	}()
	if err := awaitWrites(links); err != nil {
		return err
	}
	for _, n := range writersAtOnce {
		w := l.write(r, links, n)
		if w.firstFailure != nil {
			fmt.Printf("%s: the first write that failed: %v\n", c.name, w.firstFailure)
		}
		if w.done == 0 || w.failed > w.done/100 {
			return fmt.Errorf("%d writes were done and %d failed", w.done, w.failed)
		}
		fmt.Printf("round %d %-18s %3d writers: %v\n", round+1, c.name, n, &w)
		if total[n] == nil {
			total[n] = &written{}
		}
		total[n].add(w)
	}
	return nil
}

// keyOf is the k-th key, of eight bytes.
func keyOf(k int) []byte { return fmt.Appendf(nil, "key%05d", k) }

// awaitWrites waits until every server takes a write for every 64th key, which on our
// side is at least one of every group.
func awaitWrites(links []*kv) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, link := range links {
		for k := 0; k < 64; {
			err := link.put(ctx, appendPut(nil, keyOf(k), make([]byte, writtenBytes)))
			switch {
			case err == nil:
				k++
			case ctx.Err() != nil:
				return fmt.Errorf("not all servers take writes after 30 s: %w", err)
			default:
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	return nil
}

// write has n writers, dealt out to the servers in turn, write one value after the
// other, and counts what is done after the warm-up. No writer knows who leads.
func (l lab) write(r replicated, links []*kv, n int) written {
	var (
		counting atomic.Bool
		out      written
		mu       sync.Mutex // guards out
		all      sync.WaitGroup
	)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for i := range n {
		all.Go(func() {
			mine := writer(ctx, links[i%len(links)], uint64(i), &counting)
			mu.Lock()
			defer mu.Unlock()
			out.add(mine)
			if out.firstFailure == nil {
				out.firstFailure = mine.firstFailure
			}
		})
	}
	time.Sleep(writeWarmUp)
	cpu, flushes, begin := r.cpu(), l.flushes(), time.Now()
	counting.Store(true)
	time.Sleep(writeLength)
	counting.Store(false)
	seconds := time.Since(begin).Seconds()
	cpu, flushes = r.cpu()-cpu, l.flushes()-flushes
	stop()
	all.Wait()
	out.seconds, out.cpu, out.flushes = seconds, cpu, flushes
	return out
}

// writer writes values under keys by chance until ctx ends. It counts writes that are
// answered while counting is set.
func writer(ctx context.Context, link *kv, seed uint64, counting *atomic.Bool) (out written) {
	chance := rand.New(rand.NewPCG(seed, 1))
	value := make([]byte, writtenBytes)
	for i := range value {
		value[i] = byte(chance.Uint32())
	}
	var framed []byte
	for ctx.Err() == nil {
		framed = appendPut(framed[:0], keyOf(chance.IntN(writtenKeys)), value)
		begin := time.Now()
		err := link.put(ctx, framed)
		switch {
		case ctx.Err() != nil || !counting.Load():
		case err != nil:
			out.failed++
			if out.firstFailure == nil {
				out.firstFailure = err
			}
		default:
			out.done++
			out.delays = append(out.delays, time.Since(begin))
		}
	}
	return out
}
