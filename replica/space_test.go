package replica

import (
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"trivet/fault"
)

// tight is a disk that can be made full: writes then fail as long as the reserve
// file is there (giving it up makes room), or always when nothing helps.
type tight struct {
	*errorfs.FS
	mem      *vfs.MemFS
	full     atomic.Bool
	hopeless atomic.Bool
}

func newTight() *tight {
	d := &tight{mem: vfs.NewMem()}
	d.room(1 << 30)
	d.FS = errorfs.Wrap(d.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpCreate:
		default:
			return nil
		}
		if d.hopeless.Load() {
			return syscall.ENOSPC
		}
		if d.full.Load() {
			if _, err := d.mem.Stat("data/reserve"); err == nil {
				return syscall.ENOSPC
			}
		}
		return nil
	}))
	return d
}

func (d *tight) room(free uint64) {
	d.mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40})
}

func (d *tight) reserved() bool {
	fi, err := d.mem.Stat("data/reserve")
	return err == nil && fi.Size() >= 64<<10
}

func TestFullDisk(t *testing.T) {
	d := newTight()
	h := open(t, small(d))
	g, m := start(t, h, 1)
	propose(t, g, "a")
	await(t, "the reserve", d.reserved)

	// Little space: refused, reads go on, the reserve stays.
	d.room(1000)
	await(t, "a refusal", func() bool { _, err := g.Propose(soon(t), []byte("quiet")); return fault.Is(err, fault.Unavailable) })
	before := len(lines(t, g, m))
	if !d.reserved() {
		t.Error("the reserve was given up without need")
	}
	d.room(1 << 30)
	await(t, "space", func() bool { _, err := g.Propose(soon(t), []byte("b")); return err == nil })
	if n := len(lines(t, g, m)); n != before+1 {
		t.Errorf("%d lines, want %d", n, before+1)
	}

	// A write meets the full disk: what is under way is finished with the reserve.
	d.room(0)
	d.full.Store(true)
	await(t, "a refusal", func() bool { _, err := g.Propose(soon(t), []byte("c")); return fault.Is(err, fault.Unavailable) })
	before = len(lines(t, g, m))
	closeHost(t, h)

	// A restart on the full disk works, and says so.
	h = open(t, small(d))
	g, m = start(t, h, 1)
	if n := len(lines(t, g, m)); n != before {
		t.Errorf("after the restart %d lines, want %d", n, before)
	}
	if _, err := g.Propose(soon(t), []byte("d")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after the restart a proposal gives %v", err)
	}
	d.full.Store(false)
	d.room(1 << 30)
	await(t, "space", func() bool { _, err := g.Propose(soon(t), []byte("e")); return err == nil })
	await(t, "the reserve", d.reserved)
	if h.Err() != nil {
		t.Errorf("Err: %v", h.Err())
	}
}

func TestBrokenDiskKeepsReads(t *testing.T) {
	d := newTight()
	h := open(t, small(d))
	g, m := start(t, h, 1)
	propose(t, g, "a")
	await(t, "the reserve", d.reserved)
	d.hopeless.Store(true)
	if _, err := g.Propose(soon(t), []byte("b")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Propose gives %v", err)
	}
	<-h.Broken()
	if got := lines(t, g, m); len(got) != 1 {
		t.Errorf("reads give %q", got)
	}
	if _, err := g.Propose(soon(t), []byte("c")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Propose gives %v", err)
	}
	if !fault.Is(h.Err(), fault.Unavailable) {
		t.Errorf("Err: %v", h.Err())
	}
	closeHost(t, h)
	// The host leaves a broken store alone; here it is known what broke it, so its
	// goroutines can be ended for the leak check.
	_ = h.store.db.Close()
}
