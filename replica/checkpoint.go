package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/fault"
	"trivet/uc"
)

// Mark is where the log of a group ends in a checkpoint.
type Mark struct {
	Group uc.GroupID
	Index uint64
}

// checkpoint is a copy of the data folder as an appendJob.
type checkpoint struct {
	dir   string
	marks []Mark
	err   error
}

// Checkpoint makes dir, which may not exist and has to be on the disk of the data
// folder, a copy of the folder at one instant for all groups: everything
// acknowledged before Checkpoint was called is in it, in each group the log up to
// some entry and nothing after it. A host can be opened on the copy. Most of it is
// hard links, where the disk has them; writes wait while it is made, some
// hundredths of a second. The marks are in the order of the groups. After a failure
// the caller removes what is in dir.
func (h *Host) Checkpoint(ctx context.Context, dir string) ([]Mark, error) {
	const op = "replica.Checkpoint"
	if err := h.writable(op); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fault.Wrap(op, err)
	}
	// What is in tables is linked; what is in the write-ahead log has to be copied.
	if err := h.store.db.Flush(); err != nil {
		return nil, fault.Wrap(op, err)
	}
	c, done := &checkpoint{dir: dir}, make(chan struct{})
	h.app.q.push(appendJob{checkpoint: c, done: done})
	select { // not the end of ctx: who removes dir must know that nobody writes there
	case <-done:
		return c.marks, fault.Wrap(op, c.err)
	case <-h.store.broken:
		return nil, storeFault(op, h.cfg.Dir, h.store.failure())
	case <-h.Done():
		return nil, h.usable(op)
	}
}

// take makes the copy. It runs on the appender's goroutine: nothing is appended and
// no log cut off meanwhile.
func (c *checkpoint) take(h *Host) error {
	fs := h.cfg.FS
	if err := makeDir(fs, c.dir); err != nil {
		return err
	}
	ids, err := h.known()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.group(h, id); err != nil {
			return err
		}
	}
	return h.store.db.Checkpoint(fs.PathJoin(c.dir, "log"))
}

// known lists the groups that the folder holds.
func (h *Host) known() ([]uc.GroupID, error) {
	names, err := h.cfg.FS.List(h.snaps)
	if err != nil {
		return nil, err
	}
	var ids []uc.GroupID
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			ids = append(ids, uc.GroupID(n))
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// group links the snapshots of a group from which its log can be gone on with. They
// stay: only those before the start of the log are ever removed.
func (c *checkpoint) group(h *Host, id uc.GroupID) error {
	fs := h.cfg.FS
	from, err := openSnapDir(fs, h.snaps, id)
	if err != nil {
		return err
	}
	to, err := openSnapDir(fs, fs.PathJoin(c.dir, "snapshots"), id)
	if err != nil {
		return err
	}
	start, last, err := h.store.ends(id)
	if err != nil {
		return err
	}
	c.marks = append(c.marks, Mark{id, last})
	have, err := from.indexes()
	if err != nil {
		return err
	}
	for _, index := range have {
		if index >= start {
			err = errors.Join(err, vfs.LinkOrCopy(fs, from.file(index), to.file(index)))
		}
	}
	return err
}

// ends are the index before the first entry of a group's log and that of the last.
func (s *store) ends(g uc.GroupID) (start, last uint64, err error) {
	v, err := s.values(key(keyStart, g))
	if err != nil {
		return 0, 0, err
	}
	if len(v) == 2 {
		start = v[0]
	}
	it, err := s.db.NewIter(entryKey(g, start+1), key(keyEntry, g+1))
	if err != nil {
		return 0, 0, err
	}
	defer it.Close()
	if last = start; it.Last() {
		last = binary.BigEndian.Uint64(it.Key()[5:])
	}
	return start, last, it.Error()
}
