package replica

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Database is the ordered map in which the logs of all groups lie. A batch is in it whole
// or not at all, batches in their order; what was committed with pebble.Sync, and all
// before it, outlives a crash. Keys and values that are handed in belong to the caller
// again when the call returns.
type Database interface {
	// Get returns pebble.ErrNotFound where there is nothing. The value is good until the
	// closer is closed.
	Get(key []byte) (value []byte, closer io.Closer, err error)
	NewBatch() Batch
	// NewIter goes over the keys from lower up to and without upper.
	NewIter(lower, upper []byte) (Iter, error)
	// Flush makes a Checkpoint cheap.
	Flush() error
	// Checkpoint makes dir, which may not exist, a copy of what is committed.
	Checkpoint(dir string) error
	Close() error
}

// Batch is a change of a Database. Later steps of it win over earlier ones.
type Batch interface {
	Set(key, value []byte, _ *pebble.WriteOptions) error
	Delete(key []byte, _ *pebble.WriteOptions) error
	DeleteRange(start, end []byte, _ *pebble.WriteOptions) error
	Len() int
	Empty() bool
	Commit(*pebble.WriteOptions) error
	Close() error
}

// Iter goes over keys in ascending order. What it returns is good until the next call.
type Iter interface {
	First() bool
	Last() bool
	Next() bool
	Key() []byte
	ValueAndErr() ([]byte, error)
	Error() error
	Close() error
}

// onPebble is the Database on a disk.
type onPebble struct {
	db    *pebble.DB
	cache *pebble.Cache
}

var _ Database = onPebble{}

func (p onPebble) Get(key []byte) ([]byte, io.Closer, error) { return p.db.Get(key) }
func (p onPebble) NewBatch() Batch                           { return p.db.NewBatch() }
func (p onPebble) Flush() error                              { return p.db.Flush() }

func (p onPebble) NewIter(lower, upper []byte) (Iter, error) {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	return it, nil
}

func (p onPebble) Checkpoint(dir string) error {
	return p.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

func (p onPebble) Close() error {
	err := p.db.Close()
	p.cache.Unref()
	return err
}

// noKey reports that a key has no value.
func noKey(err error) bool { return errors.Is(err, pebble.ErrNotFound) }
