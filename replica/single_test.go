package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/fault"
	"trivet/uc"
)

func TestProposeReadRestart(t *testing.T) {
	fs := vfs.NewMem()
	var want []string
	for round := range 4 { // each round snapshots a few times and leaves a log behind
		h := open(t, small(fs))
		g, m := start(t, h, 1)
		if got := lines(t, g, m); !slices.Equal(got, want) {
			t.Fatalf("round %d: restored %d lines, want %d", round, len(got), len(want))
		}
		compacted := func() bool { return round == 0 || g.Status().FirstIndex > 2 }
		for n := 0; n < 130 || n < 20000 && !compacted(); n++ { // a slow machine may need more
			cmd := fmt.Sprint("c", len(want))
			if n := propose(t, g, cmd); n != len(want) {
				t.Fatalf("result of %s is %v, want %d", cmd, n, len(want))
			}
			want = append(want, cmd)
		}
		closeHost(t, h)
		st := g.Status()
		if st.SnapshotIndex == 0 || st.FirstIndex == 1 && round > 0 {
			t.Errorf("round %d: no snapshot or compaction: %+v", round, st)
		}
	}
}

func TestGroupsShareTheLog(t *testing.T) {
	h := open(t, small(vfs.NewMem()))
	var wg sync.WaitGroup
	var machines [8]*ledger
	var groups [8]*Group
	for i := range groups {
		groups[i], machines[i] = start(t, h, uc.GroupID(i+1))
	}
	for i := range groups {
		for range 4 {
			wg.Go(func() {
				for _, cmd := range series("x", 0, 50) {
					if _, err := groups[i].Propose(context.Background(), []byte(cmd)); err != nil {
						t.Errorf("group %d: %v", i+1, err)
					}
				}
			})
		}
	}
	wg.Wait()
	for i := range groups {
		if n := len(lines(t, groups[i], machines[i])); n != 200 {
			t.Errorf("group %d has %d lines, want 200", i+1, n)
		}
	}
	if st := h.Status(); len(st) != 8 || st[0].Group != 1 || !st[7].Primary {
		t.Errorf("Status: %+v", st)
	}
}

func TestProposeOnce(t *testing.T) {
	fs := vfs.NewMem()
	h := open(t, small(fs))
	g, m := start(t, h, 1)
	propose(t, g, "before")
	once := func(seq uint64) (any, error) { return g.ProposeOnce(soon(t), ID{7, seq}, []byte("once")) }
	for range 3 {
		if res, err := once(1); err != nil || res != 1 {
			t.Fatalf("ProposeOnce = %v, %v; want 1", res, err)
		}
	}
	closeHost(t, h)
	h = open(t, small(fs))
	g, m = start(t, h, 1)
	if res, err := once(1); err != nil || res != 1 { // the replay has the result
		t.Errorf("after a restart ProposeOnce = %v, %v; want 1", res, err)
	}
	if _, err := g.ProposeOnce(soon(t), ID{1 << 63, 1}, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("a client id of the host's own range gives %v", err)
	}
	if got := lines(t, g, m); len(got) != 2 {
		t.Errorf("applied %q", got)
	}
}

func TestObserveSeesLiveEventsBeforeTheProposer(t *testing.T) {
	fs := vfs.NewMem()
	h := open(t, small(fs))
	g, _ := start(t, h, 1)
	propose(t, g, "old")
	closeHost(t, h)
	h = open(t, small(fs))
	g, _ = start(t, h, 1)
	var seen []string
	var mu sync.Mutex
	g.Observe(func(_ uint64, events []any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, events[0].(string))
	})
	propose(t, g, "new")
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, []string{"new"}) {
		t.Errorf("observed %q, want new alone", seen)
	}
}

func TestLimits(t *testing.T) {
	cfg := small(vfs.NewMem())
	cfg.MaxCommandBytes, cfg.MaxPending = 100, 4
	h := open(t, cfg)
	g, _ := start(t, h, 1)
	if _, err := g.Propose(soon(t), make([]byte, 101)); !fault.Is(err, fault.Limit) {
		t.Errorf("an oversize command gives %v", err)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g.Observe(func(uint64, []any) { once.Do(func() { close(held) }); <-hold })
	var wg sync.WaitGroup
	var refused, done atomic.Int64
	for range 4 {
		wg.Go(func() {
			if _, err := g.Propose(context.Background(), []byte("x")); err == nil {
				done.Add(1)
			}
		})
	}
	<-held
	await(t, "four proposals waiting", func() bool { return len(g.pending()) == 4 })
	if _, err := g.Propose(soon(t), []byte("x")); fault.Is(err, fault.Overload) {
		refused.Add(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	if err := g.Read(ctx, func() { ran = true }); !fault.Is(err, fault.Timeout) || ran {
		t.Errorf("a cancelled read gives %v, ran %t", err, ran)
	}
	close(hold)
	wg.Wait()
	if refused.Load() != 1 || done.Load() != 4 {
		t.Errorf("refused %d, done %d; want 1 and 4", refused.Load(), done.Load())
	}
}

func TestUncommittedBytesAreBounded(t *testing.T) {
	cfg := small(vfs.NewMem())
	cfg.MaxUncommitted = 10_000
	h := open(t, cfg)
	g, m := start(t, h, 1)
	propose(t, g, "first")
	var wg sync.WaitGroup
	var ok, over atomic.Int64
	for range 200 {
		wg.Go(func() {
			switch _, err := g.Propose(context.Background(), make([]byte, 4000)); {
			case err == nil:
				ok.Add(1)
			case fault.Is(err, fault.Overload):
				over.Add(1)
			default:
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if n := len(lines(t, g, m)); int64(n) != ok.Load()+1 {
		t.Errorf("%d applied, %d acknowledged, %d refused", n, ok.Load(), over.Load())
	}
}

func TestFolderIsExclusive(t *testing.T) {
	fs := vfs.NewMem()
	h := open(t, small(fs))
	if _, err := Open(soon(t), small(fs)); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second host on the folder gives %v", err)
	}
	closeHost(t, h)
	cfg := small(fs)
	cfg.NodeID = 2
	if _, err := Open(soon(t), cfg); !fault.Is(err, fault.Invalid) {
		t.Errorf("another server's folder gives %v", err)
	}
	open(t, small(fs))
}

func TestAfterClose(t *testing.T) {
	h := open(t, small(vfs.NewMem()))
	g, _ := start(t, h, 1)
	propose(t, g, "x")
	closeHost(t, h)
	_, err := g.Propose(soon(t), []byte("y"))
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("Propose after Close gives %v", err)
	}
	if err := g.Read(soon(t), func() {}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Read after Close gives %v", err)
	}
	if _, err := h.Start(soon(t), 2, &ledger{}, Alone(1)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Start after Close gives %v", err)
	}
}

// panicky fails in Apply.
type panicky struct{ ledger }

func (*panicky) Apply(uint64, []byte) (any, []any) { panic("broken machine") }

func TestFailedMachineEndsTheHost(t *testing.T) {
	h, err := Open(soon(t), small(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	g, err := h.Start(soon(t), 1, &panicky{}, Alone(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Propose(soon(t), []byte("x")); !fault.Is(err, fault.Internal) {
		t.Errorf("Propose gives %v", err)
	}
	<-h.Done()
	if h.Err() == nil {
		t.Error("Err is nil")
	}
	if err := h.Close(soon(t)); err == nil {
		t.Error("Close hides the failure")
	}
}

func TestStartIsFast(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	for round := range 2 {
		begin := time.Now()
		h := open(t, cfg)
		for id := range uc.GroupID(8) {
			start(t, h, id+1)
		}
		for id := range uc.GroupID(8) {
			if err := h.Group(id + 1).Ready(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		took := time.Since(begin)
		t.Logf("round %d: 8 groups ready after %v", round, took)
		if took > 2*time.Second { // 200 ms on a quiet machine; see BenchmarkStart
			t.Errorf("start took %v", took)
		}
		closeHost(t, h)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no folder": {},
		"one tick":  {Dir: "d", ElectionTicks: 1},
		"too many":  {Dir: "d", MaxPending: window + 1},
	} {
		cfg.FS = vfs.NewMem()
		if _, err := Open(soon(t), cfg); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var e *fault.Error
	if _, err := Open(soon(t), Config{}); !errors.As(err, &e) || e.Text == "" {
		t.Errorf("no sentence: %v", err)
	}
}
