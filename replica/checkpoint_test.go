package replica

import (
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/fault"
	"trivet/uc"
)

// TestCheckpointsUnderLoad makes checkpoints while all groups write, snapshots are
// taken and logs cut off. A host on each of them finds in every group what was
// acknowledged before, nothing that was not proposed, and no gap; and goes on.
func TestCheckpointsUnderLoad(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) { checkpoints(t, fs) })
	}
}

func checkpoints(t *testing.T, fs vfs.FS) {
	const groups, many = 4, 6
	root := "x"
	if fs == vfs.Default {
		root = t.TempDir()
	}
	cfg := small(fs)
	cfg.Dir = filepath.Join(root, "data")
	h := open(t, cfg)
	var acked, sent [groups]atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range groups {
		g, _ := start(t, h, uc.GroupID(i+1))
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				sent[i].Store(int64(n + 1))
				if _, err := g.Propose(t.Context(), []byte(series("c", n, n+1)[0])); err != nil {
					t.Errorf("group %d: %v", g.ID(), err)
					return
				}
				acked[i].Store(int64(n + 1))
			}
		})
	}
	for k := range many {
		await(t, "more entries", func() bool { return acked[0].Load() > int64(120*(k+1)) })
		var before, after [groups]int64
		for i := range acked {
			before[i] = acked[i].Load()
		}
		dir := filepath.Join(root, "copies", series("n", k, k+1)[0])
		marks, err := h.Checkpoint(soon(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		for i := range sent {
			after[i] = sent[i].Load()
		}
		copied := small(fs)
		copied.Dir = dir
		again := open(t, copied)
		for i := range groups {
			g, m := start(t, again, uc.GroupID(i+1))
			got := lines(t, g, m)
			if n := int64(len(got)); n < before[i] || n > after[i] || !slices.Equal(got, series("c", 0, len(got))) {
				t.Errorf("checkpoint %d, group %d: %d entries, %d were acknowledged before and %d sent at the end", k, i+1, n, before[i], after[i])
			}
			if marks[i].Group != g.ID() || g.Status().Applied < marks[i].Index {
				t.Errorf("checkpoint %d: %+v, %+v", k, marks[i], g.Status())
			}
			propose(t, g, "goes on")
		}
		closeHost(t, again)
	}
	stop.Store(true)
	wg.Wait()
	if st := h.Group(1).Status(); st.FirstIndex == 1 {
		t.Errorf("no log was cut off: %+v", st)
	}
}

func TestCheckpointOfAHostWithoutGroups(t *testing.T) {
	fs := vfs.NewMem()
	h := open(t, small(fs))
	g, _ := start(t, h, 3)
	for _, cmd := range series("c", 0, 130) {
		propose(t, g, cmd)
	}
	closeHost(t, h)
	h = open(t, small(fs))
	marks, err := h.Checkpoint(soon(t), "copy")
	if err != nil || len(marks) != 1 || marks[0].Group != 3 || marks[0].Index < 130 {
		t.Fatalf("%v %v", marks, err)
	}
	copied := small(fs)
	copied.Dir = "copy"
	g, m := start(t, open(t, copied), 3)
	if got := lines(t, g, m); !slices.Equal(got, series("c", 0, 130)) {
		t.Errorf("%d lines", len(got))
	}
	if _, err := h.Checkpoint(soon(t), "copy"); err == nil {
		t.Error("a checkpoint went into a folder with another")
	}
	propose(t, func() *Group { g, _ := start(t, h, 3); return g }(), "still writes")
	closeHost(t, h)
	if _, err := h.Checkpoint(soon(t), "late"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Close: %v", err)
	}
}
