package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/fault"
)

// taker is a feed reader that remembers what it was given.
type taker struct {
	mu    sync.Mutex
	got   []string
	index []uint64
	lost  []Lost
	fail  int           // this many calls fail first
	stop  int           // after this many events, take no more; 0 for no end
	hold  chan struct{} // when set, waited for before anything is taken
}

var errNotNow = errors.New("not now")

func (k *taker) take(ctx context.Context, index uint64, events []any) error {
	if k.hold != nil {
		select {
		case <-k.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail > 0 {
		k.fail--
		return errNotNow
	}
	if k.stop > 0 && len(k.got) >= k.stop {
		return errNotNow
	}
	for _, e := range events {
		if l, ok := e.(Lost); ok {
			k.lost = append(k.lost, l)
			continue
		}
		k.got = append(k.got, e.(string))
		k.index = append(k.index, index)
	}
	return nil
}

func (k *taker) taken() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

func attach(t testing.TB, g *Group, name string, k *taker) {
	t.Helper()
	if err := g.Feed(name, k.take); err != nil {
		t.Fatalf("Feed(%s): %v", name, err)
	}
}

func TestFeedInOrderAcrossRestarts(t *testing.T) {
	fs := vfs.NewMem()
	var all, want []string
	for round := range 4 {
		h := open(t, small(fs))
		g, _ := start(t, h, 1)
		k := &taker{fail: 1}
		if round == 2 {
			k.fail = 1 << 30 // takes nothing, so that the next round has it all
		}
		attach(t, g, "notify", k)
		for _, cmd := range series("e", len(want), len(want)+120) {
			propose(t, g, cmd)
			propose(t, g, "quiet"+cmd)
			want = append(want, cmd)
		}
		if round != 2 {
			await(t, "the feed to have all", func() bool { return len(all)+len(k.taken()) >= len(want) })
		}
		closeHost(t, h)
		all = append(all, k.taken()...)
		if !slices.IsSorted(k.index) || len(k.lost) > 0 {
			t.Errorf("round %d: order %v, lost %v", round, k.index, k.lost)
		}
	}
	if !slices.Equal(all, want) {
		t.Errorf("the feed got %d events, want %d, first difference at %d", len(all), len(want), differ(all, want))
	}
}

func differ(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestFeedHoldsTheLogUpToABound(t *testing.T) {
	fs := vfs.NewMem()
	cfg := small(fs)
	cfg.FeedBacklog = 200
	h := open(t, cfg)
	g, _ := start(t, h, 1)
	k := &taker{stop: 10}
	attach(t, g, "slow", k)
	for _, cmd := range series("e", 0, 180) {
		propose(t, g, cmd)
	}
	await(t, "a snapshot", func() bool { return g.Status().SnapshotIndex > 100 })
	if st := g.Status(); st.FirstIndex > st.Feeds["slow"]+1 {
		t.Errorf("the log begins at %d, the feed stands at %d", st.FirstIndex, st.Feeds["slow"])
	}
	end := 180 // a log goes on without the feed when snapshots come, and those with work
	for ; end < 500 || g.Status().FirstIndex <= 200; end++ {
		propose(t, g, fmt.Sprintf("e%d", end))
	}
	closeHost(t, h)

	h = open(t, cfg)
	g, _ = start(t, h, 1)
	k = &taker{}
	attach(t, g, "slow", k)
	await(t, "the feed to reach the end", func() bool { got := k.taken(); return len(got) > 0 && got[len(got)-1] == fmt.Sprintf("e%d", end-1) })
	closeHost(t, h)
	if len(k.lost) == 0 || k.lost[0].From != 13 {
		t.Fatalf("lost %v, want a mark that begins behind the ten that were taken", k.lost)
	}
	// A reader that is slower than the replay may be marked more than once. Every
	// event is either marked or taken, in order.
	if !slices.IsSorted(k.index) || !slices.IsSortedFunc(k.lost, func(a, b Lost) int { return cmp.Compare(a.From, b.From) }) {
		t.Errorf("taken at %v, lost %v", k.index, k.lost)
	}
	for i := 10; i < end; i++ {
		at := uint64(i) + 3 // behind the origin and the first entry of the term
		lost := slices.ContainsFunc(k.lost, func(l Lost) bool { return l.From <= at && at <= l.To })
		if taken := slices.Contains(k.got, fmt.Sprintf("e%d", i)); taken == lost {
			t.Errorf("e%d at %d: taken %v, lost %v", i, at, taken, lost)
		}
	}
}

func TestFeedNames(t *testing.T) {
	fs := vfs.NewMem()
	h := open(t, small(fs))
	g, _ := start(t, h, 1)
	propose(t, g, "before")
	a, b := &taker{}, &taker{hold: make(chan struct{})}
	attach(t, g, "a", a)
	attach(t, g, "b", b)
	if err := g.Feed("a", a.take); !fault.Is(err, fault.Exists) {
		t.Errorf("a second feed of the name gives %v", err)
	}
	if err := g.Feed("", a.take); !fault.Is(err, fault.Invalid) {
		t.Errorf("a feed without a name gives %v", err)
	}
	propose(t, g, "x")
	await(t, "x", func() bool { return slices.Equal(a.taken(), []string{"x"}) })
	close(b.hold)
	await(t, "x", func() bool { return slices.Equal(b.taken(), []string{"x"}) })
	if err := g.Forget("b"); err != nil {
		t.Fatal(err)
	}
	if st := g.Status(); len(st.Feeds) != 1 || st.Feeds["a"] != st.Applied {
		t.Errorf("feeds %v, applied %d", st.Feeds, st.Applied)
	}
	closeHost(t, h)
	h = open(t, small(fs))
	g, _ = start(t, h, 1)
	if st := g.Status(); len(st.Feeds) != 1 {
		t.Errorf("after a restart the feeds are %v", st.Feeds)
	}
}
