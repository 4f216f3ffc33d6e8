package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"trivet/fault"
	"trivet/uc"
)

// wire is a transport in memory between the servers of a test.
type wire struct {
	mu    sync.RWMutex // guards the fields below
	hosts map[uint64]*Host
	cut   map[uint64]bool // servers nobody hears and that hear nobody
	loss  int             // percent of batches dropped
}

// end is one server's side of it.
type end struct {
	w    *wire
	from uint64
}

func (e end) Send(to uint64, batch []Envelope) {
	e.w.mu.RLock()
	h := e.w.hosts[to]
	gone := e.w.cut[to] || e.w.cut[e.from] || e.w.loss > 0 && rand.IntN(100) < e.w.loss
	e.w.mu.RUnlock()
	if h != nil && !gone {
		_ = h.Step(e.from, batch) // a host that is stopping refuses
	}
}

func (e end) Snapshot(ctx context.Context, to uint64, env Envelope, body io.Reader) error {
	e.w.mu.RLock()
	h := e.w.hosts[to]
	gone := e.w.cut[to] || e.w.cut[e.from] || e.w.loss > 0 && rand.IntN(100) < e.w.loss
	e.w.mu.RUnlock()
	if h == nil || gone {
		return errors.New("the server cannot be reached")
	}
	return h.Receive(ctx, e.from, env, body)
}

func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// trio is a pool of three servers holding two groups.
type trio struct {
	t    *testing.T
	w    *wire
	fs   [4]*vfs.MemFS // by server number, from 1
	host [4]*Host
	m    [4][3]*ledger // by server and group number
	feed [4]*taker     // of group 1
	fed  []string      // by servers that were stopped
	cfg  func(*Config)
}

const trioGroups = 2

func newTrio(t *testing.T) *trio {
	c := &trio{t: t, w: &wire{hosts: map[uint64]*Host{}, cut: map[uint64]bool{}}, cfg: func(*Config) {}}
	for n := uint64(1); n <= 3; n++ {
		c.fs[n] = vfs.NewCrashableMem()
	}
	return c
}

func (c *trio) start(n uint64) {
	cfg := small(c.fs[n])
	cfg.NodeID, cfg.Transport = n, end{c.w, n}
	cfg.Servers = func(n uint64) uc.ServerFQDN { return uc.ServerFQDN(fmt.Sprintf("fe%d", n)) }
	c.cfg(&cfg)
	h := open(c.t, cfg)
	c.host[n], c.feed[n] = h, &taker{}
	for id := 1; id <= trioGroups; id++ {
		var g *Group
		g, c.m[n][id] = join(c.t, h, uc.GroupID(id), Members{Voters: []uint64{1, 2, 3}})
		if id == 1 {
			attach(c.t, g, "feed", c.feed[n])
		}
	}
	c.w.set(func() { c.w.hosts[n] = h; delete(c.w.cut, n) })
}

// crash stops a server: nothing leaves it any more, what it had not flushed is gone.
func (c *trio) crash(n uint64, percent int, seed uint64) {
	c.w.set(func() { delete(c.w.hosts, n); c.w.cut[n] = true })
	after := c.fs[n].CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))})
	c.stop(n)
	c.fs[n] = after
}

func (c *trio) stop(n uint64) {
	c.w.set(func() { delete(c.w.hosts, n) })
	closeHost(c.t, c.host[n])
	if c.feed[n] != nil {
		c.fed = append(c.fed, c.feed[n].taken()...)
	}
	c.host[n] = nil
}

// primary waits for the group to have one among the servers that are up.
func (c *trio) primary(id uc.GroupID, not uint64) (n uint64) {
	c.t.Helper()
	await(c.t, "a primary", func() bool {
		for k := uint64(1); k <= 3; k++ {
			if k != not && c.host[k] != nil && c.host[k].Group(id).Status().Primary {
				n = k
				return true
			}
		}
		return false
	})
	return n
}

// do carries out one command somewhere, repeating it under its ID until it is
// known to be done or stop is set.
func (c *trio) do(id uc.GroupID, p ID, cmd string, stop *atomic.Bool) bool {
	for k := uint64(0); !stop.Load(); k++ {
		c.w.mu.RLock()
		h := c.w.hosts[k%3+1]
		c.w.mu.RUnlock()
		if h == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		_, err := h.Group(id).ProposeOnce(ctx, p, []byte(cmd))
		cancel()
		c.w.mu.RLock()
		up := c.w.hosts[k%3+1] == h // an answer after the crash would not have left the machine
		c.w.mu.RUnlock()
		if up && (err == nil || fault.Is(err, fault.Gone)) {
			return true
		}
	}
	return false
}

// truth reads the group on its primary, whoever that is by then.
func (c *trio) truth(id uc.GroupID) (want []string, applied uint64) {
	c.t.Helper()
	await(c.t, "a linearizable read", func() bool {
		p := c.primary(id, 0)
		g := c.host[p].Group(id)
		return g.Read(soon(c.t), func() { want, applied = slices.Clone(c.m[p][id].lines), g.Status().Applied }) == nil
	})
	return want, applied
}

// checkAlike waits until all replicas have applied the same and compares them.
func (c *trio) checkAlike(acked []string) {
	c.t.Helper()
	for id := 1; id <= trioGroups; id++ {
		want, last := c.truth(uc.GroupID(id))
		for n := uint64(1); n <= 3; n++ {
			g := c.host[n].Group(uc.GroupID(id))
			await(c.t, "a replica to catch up", func() bool { return g.Status().Applied >= last })
			if got := c.peek(g, c.m[n][id]); !slices.Equal(got[:min(len(got), len(want))], want) {
				c.t.Errorf("group %d differs on server %d at line %d", id, n, differ(got, want))
			}
		}
		count := map[string]int{}
		for _, s := range want {
			if count[s]++; count[s] > 1 {
				c.t.Errorf("group %d: %s was carried out twice", id, s)
			}
		}
		for _, s := range acked {
			if s[0] == byte('0'+id) && count[s] == 0 {
				c.t.Errorf("group %d: %s was acknowledged and is lost", id, s)
			}
		}
	}
}

// peek looks at a machine on its goroutine, without asking the primary.
func (c *trio) peek(g *Group, m *ledger) (out []string) {
	r := &read{f: func() { out = slices.Clone(m.lines) }, done: make(chan struct{})}
	g.queue.push(applyJob{reads: readBatch{r}})
	<-r.done
	return out
}

func TestThreeServers(t *testing.T) {
	c := newTrio(t)
	for n := uint64(1); n <= 3; n++ {
		c.start(n)
	}
	p := c.primary(1, 0)
	g := c.host[p].Group(1)
	for _, cmd := range series("a", 0, 20) {
		propose(t, g, cmd)
	}
	other := p%3 + 1
	og := c.host[other].Group(1)
	if err := og.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	propose(t, og, "elsewhere")
	if got := lines(t, g, c.m[p][1]); !slices.Contains(got, "elsewhere") {
		t.Error("what another server proposed is not there")
	}
	propose(t, g, "here")
	if got := lines(t, og, c.m[other][1]); got[len(got)-1] != "here" {
		t.Errorf("a read on another server ends with %q, before what was acknowledged", got[len(got)-1])
	}
	var e *fault.Error
	if err := og.Change(soon(t), Alone(other)); !errors.As(err, &e) || e.Kind != fault.NotPrimary || e.Server != fmt.Sprintf("fe%d", p) {
		t.Errorf("a change of membership on another server gives %v", err)
	}

	g.Handover(other)
	await(t, "the handover", func() bool { return og.Status().Primary })
	propose(t, og, "b")
	if got := lines(t, og, c.m[other][1]); len(got) != 23 {
		t.Errorf("the new primary has %d lines", len(got))
	}

	// A primary that is cut off refuses reads and proposals; the others go on.
	c.w.set(func() { c.w.cut[other] = true })
	next := c.primary(1, other)
	propose(t, c.host[next].Group(1), "c")
	if err := og.Read(soon(t), func() {}); !fault.Is(err, fault.NoQuorum) {
		t.Errorf("a read on a server cut off gives %v", err)
	}
	if _, err := og.Propose(soon(t), []byte("never")); !fault.Is(err, fault.NoQuorum) {
		t.Errorf("a proposal on a server cut off gives %v", err)
	}
	c.w.set(func() { delete(c.w.cut, other) })
	c.checkAlike(nil)

	// Two of three gone.
	c.stop(next)
	c.stop(next%3 + 1)
	left := c.host[(next+1)%3+1].Group(1)
	if _, err := left.Propose(soon(t), []byte("x")); !fault.Is(err, fault.NoQuorum) {
		t.Errorf("without a quorum a proposal gives %v", err)
	}
}

func TestFollowerCatchesUpBySnapshot(t *testing.T) {
	c := newTrio(t)
	c.start(1)
	c.start(2)
	p := c.primary(1, 0)
	g := c.host[p].Group(1)
	for _, cmd := range series("1a", 0, 300) {
		propose(t, g, cmd)
	}
	await(t, "compaction", func() bool { return g.Status().FirstIndex > 100 })
	c.start(3)
	g3 := c.host[3].Group(1)
	await(t, "server 3 to catch up", func() bool { return g3.Status().Applied >= g.Status().Applied })
	propose(t, g, "1z")
	c.checkAlike([]string{"1z"})
	if st := g3.Status(); st.SnapshotIndex == 0 || st.FirstIndex == 1 {
		t.Errorf("server 3 got no snapshot: %+v", st)
	}
	c.crash(3, 0, 1)
	c.start(3)
	c.checkAlike([]string{"1z"})
}

func TestFeedGoesOnAtTheNextPrimary(t *testing.T) {
	c := newTrio(t)
	for n := uint64(1); n <= 3; n++ {
		c.start(n)
	}
	p := c.primary(1, 0)
	for _, cmd := range series("a", 0, 30) {
		propose(t, c.host[p].Group(1), cmd)
	}
	await(t, "the feed", func() bool { return len(c.feed[p].taken()) == 30 })
	next := p%3 + 1
	await(t, "the position to be known elsewhere", func() bool {
		return c.host[next].Group(1).feeds.known("feed") >= c.feed[p].last()
	})
	c.host[p].Group(1).Handover(next)
	await(t, "the handover", func() bool { return c.host[next].Group(1).Status().Primary })
	propose(t, c.host[next].Group(1), "b")
	await(t, "b", func() bool { return slices.Contains(c.feed[next].taken(), "b") })
	if got := c.feed[next].taken(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("the next primary fed %q, want b alone", got)
	}
}

func (k *taker) last() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.index[len(k.index)-1]
}

func (l *feedLog) known(name string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.get(name).pos
}

func TestForeignMessagesAreRefused(t *testing.T) {
	c := newTrio(t)
	c.start(1)
	for name, env := range map[string]Envelope{
		"garbage":      {1, 0, []byte{0xff, 0xff}},
		"another name": {1, 0, []byte("\x08\x03\x10\x01\x18\x03")}, // MsgApp to 1 from 3
		"local":        {1, 0, []byte("\x08\x00\x10\x01\x18\x02")}, // MsgHup
	} {
		if err := c.host[1].Step(2, []Envelope{env}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.host[1].Step(2, []Envelope{{99, 0, nil}}); err != nil {
		t.Errorf("a group that is not here: %v", err)
	}
}

// chaos crashes, cuts and moves while writers write; a majority is always up.
func TestThreeServersInTrouble(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if t.Failed() {
			rt.Fatalf("see above") // what failed depends on the schedule: nothing to shrink
		}
		c := newTrio(t)
		c.cfg = func(cfg *Config) { cfg.SnapshotEntries = 20 }
		c.w.loss = rapid.SampledFrom([]int{0, 0, 5}).Draw(rt, "loss")
		for n := uint64(1); n <= 3; n++ {
			c.start(n)
		}
		var stop atomic.Bool
		var mu sync.Mutex
		var acked []string
		count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
		var writers sync.WaitGroup
		for w := range uint64(4) {
			writers.Go(func() {
				id := uc.GroupID(w%trioGroups + 1)
				for seq := uint64(1); !stop.Load(); seq++ {
					cmd := fmt.Sprintf("%d.%d.%d", id, w, seq)
					if c.do(id, ID{w, seq}, cmd, &stop) {
						mu.Lock()
						acked = append(acked, cmd)
						mu.Unlock()
					}
				}
			})
		}
		for range rapid.IntRange(1, 4).Draw(rt, "steps") {
			n := uint64(rapid.IntRange(1, 3).Draw(rt, "server"))
			more := count() + rapid.IntRange(1, 60).Draw(rt, "commands")
			switch rapid.SampledFrom([]string{"crash", "cut", "handover", "restart"}).Draw(rt, "step") {
			case "crash":
				c.crash(n, rapid.SampledFrom([]int{0, 50, 100}).Draw(rt, "percent"), rapid.Uint64().Draw(rt, "seed"))
				await(t, "the others to go on", func() bool { return count() >= more })
				c.start(n)
			case "restart":
				c.stop(n)
				await(t, "the others to go on", func() bool { return count() >= more })
				c.start(n)
			case "cut":
				c.w.set(func() { c.w.cut[n] = true })
				await(t, "the others to go on", func() bool { return count() >= more })
				c.w.set(func() { delete(c.w.cut, n) })
			case "handover":
				for id := uc.GroupID(1); id <= trioGroups; id++ {
					c.host[c.primary(id, 0)].Group(id).Handover(n)
				}
				await(t, "more commands", func() bool { return count() >= more })
			}
		}
		stop.Store(true)
		writers.Wait()
		c.w.set(func() { c.w.loss = 0 })
		c.checkAlike(acked)
		c.checkFed()
		for n := uint64(1); n <= 3; n++ {
			c.stop(n)
		}
		if t.Failed() {
			rt.Fatalf("see above")
		}
	})
}

// wasLost reports whether the reader was told to start afresh: a server that came
// back by a snapshot and became the primary cannot give what it has skipped.
func (k *taker) wasLost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.lost) > 0
}

// checkFed waits until every command of group 1 was fed by some server.
func (c *trio) checkFed() {
	want, _ := c.truth(1)
	await(c.t, "the feeds", func() bool {
		had := map[string]bool{}
		for _, s := range c.fed {
			had[s] = true
		}
		for n := 1; n <= 3; n++ {
			for _, s := range c.feed[n].taken() {
				had[s] = true
			}
		}
		i := slices.IndexFunc(want, func(s string) bool { return !had[s] })
		return i < 0 || slices.ContainsFunc(c.feed[1:], (*taker).wasLost)
	})
}
