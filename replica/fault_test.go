package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trivet/fault"
)

// Every k-th write, flush, renaming and making of a file of a scripted run fails, once or
// from then on. Nothing acknowledged is lost, nothing is carried out twice, the failure
// is told, and on a disk that is well the group goes on.
//
// A store that is broken keeps goroutines that nobody can end, so each kind of failure has
// a process of its own.

// diskOps are the operations that fail, by name.
var diskOps = map[string][]errorfs.OpKind{
	"write":  {errorfs.OpFileWrite, errorfs.OpFileWriteAt},
	"flush":  {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
	"rename": {errorfs.OpRename, errorfs.OpLink, errorfs.OpReuseForWrite},
	"create": {errorfs.OpCreate, errorfs.OpMkdirAll},
}

const diskFaultEnv = "REPLICA_DISK_FAULT"

func TestEveryDiskFault(t *testing.T) {
	if kind := os.Getenv(diskFaultEnv); kind != "" {
		everyFault(t, kind)
		return
	}
	for kind := range diskOps {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEveryDiskFault$", "-test.v", "-test.timeout=5m")
			cmd.Env = append(os.Environ(), diskFaultEnv+"="+kind)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// everyFault runs the script for every k until it ends without needing the k-th.
func everyFault(t *testing.T, kind string) {
	for _, stays := range []bool{false, true} {
		k := int64(1)
		for ; faulty(t, kind, k, stays); k++ {
			if t.Failed() {
				return
			}
		}
		t.Logf("%s: %d of them failed, staying so: %v", kind, k-1, stays)
		if k < 3 {
			t.Errorf("%s: the script does too little", kind)
		}
	}
}

// faulty is one run; it reports whether the failure has come.
func faulty(t *testing.T, kind string, k int64, stays bool) bool {
	mem := vfs.NewCrashableMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41})
	var n atomic.Int64
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !slices.Contains(diskOps[kind], op.Kind) || kind == "flush" && op.Path == "data/log" {
			return nil // when its folder cannot be flushed, pebble ends the process, as it has to
		}
		if i := n.Add(1); i == k || stays && i > k {
			return syscall.EIO
		}
		return nil
	}))
	acked := script(t, fs)
	came := n.Load() >= k

	seed := uint64(k)
	after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(k%3) * 50, RNG: rand.New(rand.NewPCG(seed, 0))})
	h, err := Open(soon(t), small(after))
	if err != nil {
		t.Errorf("%s %d, staying %v: on a disk that is well: %v", kind, k, stays, err)
		return came
	}
	defer closeHost(t, h)
	m := &ledger{}
	g, err := h.Start(soon(t), 1, m, Alone(1))
	if err != nil {
		t.Errorf("%s %d, staying %v: on a disk that is well: %v", kind, k, stays, err)
		return came
	}
	propose(t, g, "after")
	got := lines(t, g, m)
	at := 0
	for _, line := range got {
		if at < len(acked) && line == acked[at] {
			at++
		}
	}
	if at < len(acked) {
		t.Errorf("%s %d, staying %v: %q was acknowledged and is lost; there are %q", kind, k, stays, acked[at], got)
	}
	if slices.Sort(got); len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("%s %d, staying %v: something was carried out twice: %q", kind, k, stays, got)
	}
	return came
}

func faultConfig(fs vfs.FS) Config {
	c := small(fs)
	c.SnapshotEntries, c.OpenLimit = 8, 500*time.Millisecond
	return c
}

// script runs a host with snapshots and a restart, as far as it gets, and returns what
// was acknowledged.
func script(t *testing.T, fs vfs.FS) (acked []string) {
	for part := range 2 {
		h, err := Open(soon(t), faultConfig(fs))
		if err != nil {
			told(t, "Open", err)
			continue
		}
		g, err := h.Start(soon(t), 1, &ledger{}, Alone(1))
		if err != nil {
			told(t, "Start", err)
		}
		for i := 0; err == nil && i < 20; i++ {
			line := fmt.Sprintf("%d-%d", part, i)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			if _, err := g.Propose(ctx, []byte(line)); err == nil {
				acked = append(acked, line)
			} else {
				told(t, "Propose", err)
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if err := h.Close(ctx); err != nil {
			told(t, "Close", err)
		}
		cancel()
		_ = h.lock.Close() // of a host that could not be closed: its process would end
	}
	return acked
}

// told wants a failure to be one that somebody can act on.
func told(t *testing.T, what string, err error) {
	if k := fault.KindOf(err); k != fault.Unavailable && k != fault.Internal && k != fault.Timeout {
		t.Errorf("%s fails with %v, which is no fault of the disk", what, err)
	}
}
