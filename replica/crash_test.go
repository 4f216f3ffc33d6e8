package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"trivet/uc"
)

// disks is a server of one voter whose machine may stop at any moment: whatever
// was not flushed by then is lost, or half of it.
type disks struct {
	t     *testing.T
	fs    *vfs.MemFS
	host  *Host
	life  int // how often it was started
	of    []*crashed
	burst sync.WaitGroup
	left  atomic.Int64 // writers of the burst still at work
}

// crashed is a group over all lives of its server.
type crashed struct {
	group   *Group
	machine *ledger
	feed    *taker
	fed     []string // by the feeds of former lives

	mu    sync.Mutex // guards acked
	acked []string
	next  int
}

func (d *disks) start() {
	d.life++
	cfg := small(d.fs)
	cfg.SnapshotEntries = 20
	d.host = open(d.t, cfg)
	for i, c := range d.of {
		c.group, c.machine = start(d.t, d.host, uc.GroupID(i+1))
		c.feed = &taker{}
		attach(d.t, c.group, "feed", c.feed)
	}
}

// write has four writers propose n commands each, in every group, and returns
// once some are acknowledged; the others go on.
func (d *disks) write(n int) {
	for _, c := range d.of {
		g := c.group
		for range 4 {
			c.next++
			prefix := fmt.Sprintf("%d.%d.", d.life, c.next)
			d.left.Add(1)
			d.burst.Go(func() {
				defer d.left.Add(-1)
				for _, cmd := range series(prefix, 0, n) {
					if _, err := g.Propose(context.Background(), []byte(cmd)); err != nil {
						return // the life has ended
					}
					c.mu.Lock()
					c.acked = append(c.acked, cmd)
					c.mu.Unlock()
				}
			})
		}
	}
}

// crash stops the machine at this moment: percent of what was not flushed stays.
func (d *disks) crash(percent int, seed uint64) {
	must := make([][]string, len(d.of))
	for i, c := range d.of {
		c.mu.Lock()
		must[i] = slices.Clone(c.acked)
		c.mu.Unlock()
	}
	after := d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0))})
	d.keepFed()
	d.end()
	d.fs = after
	for i, c := range d.of {
		c.acked = must[i]
	}
	d.start()
	d.check()
}

func (d *disks) restart() {
	d.burst.Wait()
	d.end()
	d.keepFed()
	d.start()
	d.check()
}

func (d *disks) end() {
	closeHost(d.t, d.host)
	d.burst.Wait()
}

// keepFed notes what the feeds of this life have taken.
func (d *disks) keepFed() {
	for _, c := range d.of {
		c.fed = append(c.fed, c.feed.taken()...)
	}
}

// check holds what came back against what was promised.
func (d *disks) check() {
	for i, c := range d.of {
		got := lines(d.t, c.group, c.machine)
		count := map[string]int{}
		for _, s := range got {
			if count[s]++; count[s] > 1 {
				d.t.Errorf("group %d: %s was carried out twice", i+1, s)
			}
		}
		for _, s := range c.acked {
			if count[s] == 0 {
				d.t.Errorf("group %d, life %d: %s was acknowledged and is lost", i+1, d.life, s)
			}
		}
	}
}

// checkFeeds waits until every event of the state was fed, and looks at the order.
func (d *disks) checkFeeds() {
	for i, c := range d.of {
		want := lines(d.t, c.group, c.machine)
		if len(want) > 0 {
			last := want[len(want)-1]
			await(d.t, "the feed to reach "+last, func() bool {
				return slices.Contains(c.feed.taken(), last) || slices.Contains(c.fed, last)
			})
		}
		if len(c.feed.lost) > 0 {
			d.t.Errorf("group %d: lost %v", i+1, c.feed.lost)
		}
		at := map[string]int{}
		for k, s := range want {
			at[s] = k
		}
		all := append(slices.Clone(c.fed), c.feed.taken()...)
		reached := -1 // the newest entry fed: a later event is the next one or a repetition
		for _, s := range all {
			k, ok := at[s]
			if !ok {
				continue // fed after the moment of the crash, by what ran on
			}
			if k > reached+1 {
				d.t.Errorf("group %d: %s was fed before %s", i+1, s, want[reached+1])
			}
			reached = max(reached, k)
		}
		if reached != len(want)-1 {
			d.t.Errorf("group %d: fed up to %d of %d", i+1, reached+1, len(want))
		}
	}
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := &disks{t: t, fs: vfs.NewCrashableMem()}
		for range rapid.IntRange(1, 3).Draw(rt, "groups") {
			d.of = append(d.of, &crashed{})
		}
		d.start()
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			d.write(rapid.IntRange(1, 30).Draw(rt, "commands"))
			switch rapid.SampledFrom([]string{"crash", "crash", "restart", "go on"}).Draw(rt, "step") {
			case "crash":
				d.awaitSome(rapid.IntRange(0, 40).Draw(rt, "acknowledged"))
				d.crash(rapid.SampledFrom([]int{0, 50, 100}).Draw(rt, "percent"), rapid.Uint64().Draw(rt, "seed"))
			case "restart":
				d.restart()
			}
		}
		d.restart()
		d.checkFeeds()
		closeHost(t, d.host)
		if t.Failed() {
			rt.Fatalf("see above")
		}
	})
}

// awaitSome waits until n commands of this burst, or all, are acknowledged.
func (d *disks) awaitSome(n int) {
	c := d.of[0]
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acked)
	}
	from := count()
	await(d.t, "acknowledgements", func() bool { return d.left.Load() == 0 || count() >= from+n })
}
