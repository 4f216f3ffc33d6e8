package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"trivet/fault"
	"trivet/uc"
)

// Keys of the store: one letter, the group in four bytes, then what the letter
// needs. Letters are append-only.
const (
	keyEntry = 'L' // index 8 bytes -> term, type, data
	keyHard  = 'H' // -> term, vote, commit
	keyStart = 'T' // -> index and term of the entry before the first one kept
	keyConf  = 'C' // -> members at the first entry, or at the start of the log
	keyFeed  = 'P' // name -> position
	keyNode  = 'N' // (group 0) -> format, node id

	keyGeneration = 'G' // -> how often the group was recovered
)

const storeFormat = 1

func key(letter byte, g uc.GroupID) []byte {
	return binary.BigEndian.AppendUint32([]byte{letter}, uint32(g))
}

func entryKey(g uc.GroupID, index uint64) []byte {
	return binary.BigEndian.AppendUint64(key(keyEntry, g), index)
}

func feedKey(g uc.GroupID, name string) []byte { return append(key(keyFeed, g), name...) }

func numbers(vs ...uint64) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// store is the one database of the process. Writes come from one goroutine; reads
// from any.
type store struct {
	db     Database
	dir    string
	broken chan struct{} // closed when the store can no longer be written
	log    *slog.Logger

	mu  sync.Mutex // guards err
	err error
}

func newStore(dir string, log *slog.Logger) *store {
	return &store{dir: dir, broken: make(chan struct{}), log: log}
}

// open reads what is there. Should the disk fail in the middle of it, it may not return:
// then the store is broken.
func (s *store) open(fs vfs.FS) error {
	cache := pebble.NewCache(8 << 20)
	opts := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		MemTableSize:                8 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       16,   // entries of many groups lie in every table, and most are cut off soon: merge late
		L0StopWritesThreshold:       1000, // the log must never wait for a compaction
		MaxOpenFiles:                64,
		MaxManifestFileSize:         4 << 20,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		DisableTableStats:           true,
		Logger:                      storeLog{s},
	}
	db, err := pebble.Open(s.dir, opts)
	if err != nil {
		cache.Unref()
		return err
	}
	s.db = onPebble{db, cache}
	return nil
}

// fail makes the store refuse from now on; the first cause counts.
func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.broken)
		s.log.Error("the log store can no longer be written; restart the server once the cause is mended", "dir", s.dir, "err", err)
	}
}

func (s *store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// close leaves a broken store alone: its locks may never be released.
func (s *store) close() error {
	if s.failure() != nil {
		return nil
	}
	return s.db.Close()
}

// storeLog keeps pebble quiet and turns what it calls fatal into a broken store.
type storeLog struct{ s *store }

func (l storeLog) Infof(string, ...any) {}

func (l storeLog) Errorf(format string, args ...any) {
	l.s.log.Warn("log store", "dir", l.s.dir, "err", fmt.Sprintf(format, args...))
}

// Fatalf may not return to pebble, whose state is undefined from here on. The
// goroutine ends; the process lives, so that reads go on.
func (l storeLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}

// values reads the numbers stored under a key; none when there is no such key.
func (s *store) values(k []byte) ([]uint64, error) {
	v, closer, err := s.db.Get(k)
	if noKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	var out []uint64
	r := reader{b: v}
	for len(r.b) > 0 {
		out = append(out, r.uvarint())
	}
	return out, r.err
}

// begin writes where a new group begins.
func (s *store) begin(l *groupLog, sync *pebble.WriteOptions) error {
	b := s.db.NewBatch()
	defer b.Close()
	err := b.Set(key(keyConf, l.group), numbers(confNumbers(l.conf)...), nil)
	if l.start > 0 {
		err = errors.Join(err, b.Set(key(keyStart, l.group), numbers(l.start, l.startTerm), nil))
	}
	return errors.Join(err, b.Commit(sync))
}

// forget deletes everything that is kept of a group.
func (s *store) forget(b Batch, g uc.GroupID) error {
	for _, letter := range []byte{keyEntry, keyFeed} {
		if err := b.DeleteRange(key(letter, g), key(letter, g+1), nil); err != nil {
			return err
		}
	}
	for _, letter := range []byte{keyHard, keyStart, keyConf, keyGeneration} {
		if err := b.Delete(key(letter, g), nil); err != nil {
			return err
		}
	}
	return nil
}

// term reads the term of the entry stored under a key.
func (s *store) term(k []byte) (uint64, error) {
	v, closer, err := s.db.Get(k)
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	r := reader{b: v}
	return r.uvarint(), r.err
}

// checkNode writes this server's number on first use and refuses another's log.
func (s *store) checkNode(id uint64, sync *pebble.WriteOptions) error {
	v, err := s.values(key(keyNode, 0))
	if err != nil {
		return err
	}
	switch {
	case v == nil:
		b := s.db.NewBatch()
		defer b.Close()
		return errors.Join(b.Set(key(keyNode, 0), numbers(storeFormat, id), nil), b.Commit(sync))
	case len(v) < 2 || v[0] != storeFormat:
		return fault.Newf(fault.Unsupported, "replica.Open", "%s was written by another version of the server", s.dir)
	case v[1] != id:
		return fault.Newf(fault.Invalid, "replica.Open", "%s belongs to server %d, this is server %d", s.dir, v[1], id)
	}
	return nil
}

// positions reads how far each feed of the group has come.
func (s *store) positions(g uc.GroupID) (map[string]uint64, error) {
	out := map[string]uint64{}
	err := s.scan(key(keyFeed, g), key(keyFeed, g+1), func(k, v []byte) error {
		r := reader{b: v}
		out[string(k[5:])] = r.uvarint()
		return r.err
	})
	return out, err
}

func (s *store) scan(from, to []byte, f func(k, v []byte) error) error {
	it, err := s.db.NewIter(from, to)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), v)
		}
		if err != nil {
			return err
		}
	}
	return it.Error()
}

func appendEntry(b []byte, e *raftpb.Entry) []byte {
	b = binary.AppendUvarint(b, e.GetTerm())
	b = append(b, byte(e.GetType()))
	return append(b, e.GetData()...)
}

func decodeEntry(index uint64, v []byte) (*raftpb.Entry, error) {
	r := reader{b: v}
	e := &raftpb.Entry{Index: new(index), Term: new(r.uvarint())}
	if r.err != nil || len(r.b) == 0 {
		return nil, errEntry
	}
	e.Type = raftpb.EntryType(r.b[0]).Enum()
	if len(r.b) > 1 {
		e.Data = append([]byte(nil), r.b[1:]...)
	}
	return e, nil
}
