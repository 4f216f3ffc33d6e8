package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"trivet/uc"
)

// groupLog is a group's part of the store as raft sees it: the newest entries in
// memory up to a bound, older ones read from pebble. It changes only after the
// change is in the store.
type groupLog struct {
	s     *store
	group uc.GroupID
	limit uint64 // bytes of the cache

	mu        sync.Mutex // guards the fields below
	start     uint64     // index before the first entry kept
	startTerm uint64
	last      uint64
	tail      []*raftpb.Entry // newest entries, ending with last
	tailBytes uint64
	hard      *raftpb.HardState
	conf      *raftpb.ConfState        // as of what is applied
	needed    uint64                   // snapshots before this entry are of no use: the membership was another, or they are damaged
	fresh     bool                     // neither membership nor start are in the store yet
	snap      *raftpb.SnapshotMetadata // newest snapshot, nil if none
}

var _ raft.Storage = (*groupLog)(nil)

var errFull = errors.New("as many entries as asked for")

// origin is the index and the term of the entry that no log has: every group begins
// behind it. A server that joins with nothing, and so does not know who the first
// members were, is therefore sent a snapshot, never the log from its first entry.
const origin = 1

const entryOverhead = 96 // memory of an entry beside its data, about

func entrySize(e *raftpb.Entry) uint64 { return uint64(len(e.GetData())) + entryOverhead }

// loadLog reads what the store has of the group and checks that nothing is
// missing between its first and its last entry.
func loadLog(s *store, g uc.GroupID, limit uint64, first *raftpb.ConfState) (*groupLog, error) {
	l := &groupLog{s: s, group: g, limit: limit}
	start, err := s.values(key(keyStart, g))
	if err != nil {
		return nil, err
	}
	if len(start) == 2 {
		l.start, l.startTerm = start[0], start[1]
	}
	l.last = l.start
	if hard, err := s.values(key(keyHard, g)); err != nil {
		return nil, err
	} else if len(hard) == 3 {
		l.hard = &raftpb.HardState{Term: new(hard[0]), Vote: new(hard[1]), Commit: new(hard[2])}
	}
	conf, err := s.values(key(keyConf, g))
	if err != nil {
		return nil, err
	}
	if l.conf, err = confOf(conf); err != nil {
		return nil, err
	}
	if l.fresh = len(conf) == 0; l.fresh {
		l.conf = first
		if len(first.GetVoters()) > 0 && l.hard == nil {
			l.start, l.startTerm, l.last = origin, origin, origin
		}
	}
	return l, s.scan(entryKey(g, l.start+1), key(keyEntry, g+1), l.load)
}

func (l *groupLog) load(k, v []byte) error {
	index := binary.BigEndian.Uint64(k[5:])
	if index != l.last+1 {
		return fmt.Errorf("the log of group %d in %s has entry %d after entry %d", l.group, l.s.dir, index, l.last)
	}
	e, err := decodeEntry(index, v)
	if err != nil {
		return fmt.Errorf("entry %d of group %d in %s: %w", index, l.group, l.s.dir, err)
	}
	l.push(e)
	return nil
}

func (l *groupLog) push(e *raftpb.Entry) {
	l.last = e.GetIndex()
	l.tail = append(l.tail, e)
	l.tailBytes += entrySize(e)
	l.trim()
}

// trim drops the oldest entries from memory above the bound. The array is made
// anew now and then so that what was dropped can be collected.
func (l *groupLog) trim() {
	n := 0
	for l.tailBytes > l.limit && n < len(l.tail)-1 {
		l.tailBytes -= entrySize(l.tail[n])
		l.tail[n] = nil
		n++
	}
	l.tail = l.tail[n:]
}

// write puts entries into the batch, and takes out those they replace.
func (l *groupLog) write(b Batch, ents []*raftpb.Entry, buf []byte) ([]byte, error) {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	for _, e := range ents {
		buf = appendEntry(buf[:0], e)
		if err := b.Set(entryKey(l.group, e.GetIndex()), buf, nil); err != nil {
			return buf, err
		}
	}
	if end := ents[len(ents)-1].GetIndex(); end < last {
		return buf, b.DeleteRange(entryKey(l.group, end+1), entryKey(l.group, last+1), nil)
	}
	return buf, nil
}

// appended makes entries visible that are in the store now.
func (l *groupLog) appended(ents []*raftpb.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := ents[0].GetIndex()
	if keep := first - (l.last + 1 - uint64(len(l.tail))); first <= l.last { // replaces a tail
		if first < l.last+1-uint64(len(l.tail)) {
			keep = 0
		}
		// A new array: raft may still hold slices of the old one.
		l.tail = append([]*raftpb.Entry(nil), l.tail[:keep]...)
		l.tailBytes = 0
		for _, e := range l.tail {
			l.tailBytes += entrySize(e)
		}
	}
	for _, e := range ents {
		l.push(e)
	}
}

// compacted makes visible that entries up to index are gone.
func (l *groupLog) compacted(index, term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index <= l.start {
		return
	}
	l.start, l.startTerm = index, term
	for len(l.tail) > 0 && l.tail[0].GetIndex() <= index {
		l.tailBytes -= entrySize(l.tail[0])
		l.tail[0] = nil
		l.tail = l.tail[1:]
	}
}

// reset makes visible that the log begins after a snapshot from elsewhere.
func (l *groupLog) reset(m *raftpb.SnapshotMetadata) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start, l.startTerm, l.last = m.GetIndex(), m.GetTerm(), m.GetIndex()
	l.tail, l.tailBytes = nil, 0
	l.conf, l.needed, l.snap = m.GetConfState(), 0, m
}

func (l *groupLog) setSnapshot(m *raftpb.SnapshotMetadata) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.GetIndex() > l.snap.GetIndex() {
		l.snap = m
	}
}

func (l *groupLog) bounds() (first, last, snap uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start + 1, l.last, l.snap.GetIndex()
}

func (l *groupLog) membership() *raftpb.ConfState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conf
}

func (l *groupLog) setMembership(index uint64, c *raftpb.ConfState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conf, l.needed = c, max(l.needed, index)
}

// distrust says that the snapshot at index cannot be used.
func (l *groupLog) distrust(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needed = max(l.needed, index+1)
}

// outdated reports whether the snapshot at index is of no use for another server.
func (l *groupLog) outdated(index uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.needed > index
}

// InitialState implements raft.Storage.
func (l *groupLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return l.hard, l.conf, nil
}

// Entries implements raft.Storage.
func (l *groupLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	l.mu.Lock()
	if lo <= l.start {
		l.mu.Unlock()
		return nil, raft.ErrCompacted
	}
	if hi > l.last+1 {
		l.mu.Unlock()
		return nil, raft.ErrUnavailable
	}
	cached := l.last + 1 - uint64(len(l.tail)) // index of tail[0]
	tail := l.tail
	if lo < cached {
		l.mu.Unlock()
		return l.stored(lo, hi, maxSize)
	}
	out := make([]*raftpb.Entry, 0, hi-lo)
	var size uint64
	for _, e := range tail[lo-cached : hi-cached] {
		if size += uint64(proto.Size(e)); size > maxSize && len(out) > 0 {
			break
		}
		out = append(out, e)
	}
	l.mu.Unlock()
	return out, nil
}

func (l *groupLog) stored(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	var out []*raftpb.Entry
	var size uint64
	err := l.s.scan(entryKey(l.group, lo), entryKey(l.group, hi), func(k, v []byte) error {
		if binary.BigEndian.Uint64(k[5:]) != lo+uint64(len(out)) {
			return raft.ErrUnavailable
		}
		e, err := decodeEntry(lo+uint64(len(out)), v)
		if err != nil {
			return err
		}
		if size += uint64(proto.Size(e)); size > maxSize && len(out) > 0 {
			return errFull
		}
		out = append(out, e)
		return nil
	})
	if err == errFull {
		err = nil
	}
	if err == nil && len(out) == 0 {
		err = raft.ErrUnavailable
	}
	return out, err
}

// Term implements raft.Storage.
func (l *groupLog) Term(i uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cached := l.last + 1 - uint64(len(l.tail))
	switch {
	case i == l.start:
		return l.startTerm, nil
	case i < l.start:
		return 0, raft.ErrCompacted
	case i > l.last:
		return 0, raft.ErrUnavailable
	case i >= cached:
		return l.tail[i-cached].GetTerm(), nil
	}
	return l.s.term(entryKey(l.group, i))
}

// LastIndex implements raft.Storage.
func (l *groupLog) LastIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, nil
}

// FirstIndex implements raft.Storage.
func (l *groupLog) FirstIndex() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start + 1, nil
}

// Snapshot implements raft.Storage. Its data is read from the file by whoever
// sends it, away from the loop. One that does not know a server as a member would be
// refused there: until there is a newer one, none is available.
func (l *groupLog) Snapshot() (*raftpb.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.snap == nil || l.snap.GetIndex() < l.needed {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{Metadata: proto.Clone(l.snap).(*raftpb.SnapshotMetadata)}, nil
}
