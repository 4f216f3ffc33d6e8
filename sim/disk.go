package sim

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/replica"
)

// disk is what a server has written: the logs of its groups, and files. It outlives the
// process, and loses what was not flushed when the power goes.
type disk struct {
	files *vfs.MemFS
	now   map[string][]byte // the logs as they are read
	safe  map[string][]byte // as they will be after a loss of power
	loose [][]change        // batches that are in now and not in safe

	trap    trap
	fails   bool   // every write ends in an error
	lies    bool   // flushes are answered and not done
	free    uint64 // bytes
	trapped bool   // the power went in the middle of a write
}

// trap is where the power goes at the next flush.
type trap uint8

const (
	noTrap     trap = iota
	trapBefore      // nothing of the batch is kept
	trapAfter       // the batch is kept, and nobody hears of it
)

const plenty = 1 << 40

type change struct {
	kind       byte // 's'et, 'd'elete, 'r'ange
	key, value []byte
}

func newDisk() *disk {
	return &disk{files: vfs.NewCrashableMem(), now: map[string][]byte{}, safe: map[string][]byte{}, free: plenty}
}

// powerLoss leaves what was flushed, and so many of the batches after it.
func (d *disk) powerLoss(kept int) {
	for _, b := range d.loose[:min(kept, len(d.loose))] {
		carryOut(d.safe, b)
	}
	d.now, d.loose = maps.Clone(d.safe), nil
	d.files = d.files.CrashClone(vfs.CrashCloneCfg{})
	d.trap, d.trapped = noTrap, false
}

func carryOut(m map[string][]byte, b []change) {
	for _, c := range b {
		switch c.kind {
		case 's':
			m[string(c.key)] = c.value
		case 'd':
			delete(m, string(c.key))
		case 'r':
			for k := range m {
				if k >= string(c.key) && k < string(c.value) {
					delete(m, k)
				}
			}
		}
	}
}

var (
	errPower = errors.New("the power is gone")
	errIO    = &vfsError{syscall.EIO}
)

type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

// commit takes a batch.
func (d *disk) commit(b []change, sync bool) error {
	switch {
	case d.trapped:
		return errPower
	case d.fails:
		return errIO
	case sync && d.trap == trapBefore:
		d.trapped = true
		return errPower
	}
	carryOut(d.now, b)
	d.loose = append(d.loose, b)
	if !sync || d.lies {
		return nil
	}
	for _, l := range d.loose {
		carryOut(d.safe, l)
	}
	d.loose = nil
	if d.trap == trapAfter {
		d.trapped = true
		return errPower
	}
	return nil
}

// logs are the logs on a disk.
type logs struct{ d *disk }

var _ replica.Database = logs{}

type nothing struct{}

func (nothing) Close() error { return nil }

// Get implements replica.Database.
func (l logs) Get(key []byte) ([]byte, io.Closer, error) {
	v, ok := l.d.now[string(key)]
	if !ok {
		return nil, nil, pebble.ErrNotFound
	}
	return v, nothing{}, nil
}

// NewBatch implements replica.Database.
func (l logs) NewBatch() replica.Batch { return &batch{d: l.d} }

// NewIter implements replica.Database.
func (l logs) NewIter(lower, upper []byte) (replica.Iter, error) {
	it := &iter{d: l.d, at: -1}
	for k := range l.d.now {
		if k >= string(lower) && k < string(upper) {
			it.keys = append(it.keys, k)
		}
	}
	slices.Sort(it.keys)
	return it, nil
}

// Flush implements replica.Database.
func (l logs) Flush() error { return nil }

// Checkpoint implements replica.Database: no run makes one.
func (l logs) Checkpoint(string) error { return errors.ErrUnsupported }

// Close implements replica.Database.
func (l logs) Close() error { return nil }

// batch implements replica.Batch.
type batch struct {
	d    *disk
	list []change
	size int
}

func (b *batch) add(kind byte, key, value []byte) error {
	b.list = append(b.list, change{kind, bytes.Clone(key), bytes.Clone(value)})
	b.size += len(key) + len(value)
	return nil
}

func (b *batch) Set(k, v []byte, _ *pebble.WriteOptions) error { return b.add('s', k, v) }
func (b *batch) Delete(k []byte, _ *pebble.WriteOptions) error { return b.add('d', k, nil) }
func (b *batch) DeleteRange(from, to []byte, _ *pebble.WriteOptions) error {
	return b.add('r', from, to)
}
func (b *batch) Len() int     { return b.size }
func (b *batch) Empty() bool  { return len(b.list) == 0 }
func (b *batch) Close() error { return nil }
func (b *batch) Commit(o *pebble.WriteOptions) error {
	return b.d.commit(b.list, o.GetSync())
}

// iter implements replica.Iter.
type iter struct {
	d    *disk
	keys []string
	at   int
}

func (i *iter) First() bool                  { i.at = 0; return len(i.keys) > 0 }
func (i *iter) Last() bool                   { i.at = len(i.keys) - 1; return i.at >= 0 }
func (i *iter) Next() bool                   { i.at++; return i.at < len(i.keys) }
func (i *iter) Key() []byte                  { return []byte(i.keys[i.at]) }
func (i *iter) ValueAndErr() ([]byte, error) { return i.d.now[i.keys[i.at]], nil }
func (i *iter) Error() error                 { return nil }
func (i *iter) Close() error                 { return nil }

// folder is the file system of a server as its process sees it.
type folder struct {
	*vfs.MemFS
	d *disk
}

// Lock is granted: a process that was killed holds none, and there is no other.
func (folder) Lock(string) (io.Closer, error) { return nothing{}, nil }

// Create fails while the disk does.
func (f folder) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.d.fails || f.d.trapped {
		return nil, errIO
	}
	return f.MemFS.Create(name, c)
}

// GetDiskUsage says how much is free.
func (f folder) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.d.free, TotalBytes: plenty}, nil
}
