// Package rowlog keeps copies of a SQLite database alike on several servers,
// below the stores that use it. A write runs as an ordinary transaction on the
// copy of the server that was asked; instead of a commit, the rows that it changed
// are taken out of it, it is undone, and the rows go to a log that all servers
// share, with the version of the database that they were based on. Each server
// applies the log: rows that are based on the version the copy has are written,
// others are a conflict, and the writer runs its transaction again on what is
// there by then. Docs/design/0005-directory-group.md tells why.
//
// What a copy holds beside the rows (the index of the last entry applied, its
// version, unfinished parts of large changes) lies in the same file and changes in
// the same transactions, so that no entry is applied twice.
package rowlog

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"trivet/fault"
	"trivet/kit/sqlite"
)

// Log carries entries to every copy, in one order.
type Log interface {
	// Propose returns what Apply of this server's copy made of the entry.
	Propose(ctx context.Context, entry []byte) (any, error)
	// Sync returns when all that was acknowledged anywhere before is applied here.
	Sync(ctx context.Context) error
}

// Limits, in bytes. An entry with what a Log puts around it stays below the
// longest command of a replica, 1 MiB.
const (
	MaxPart   = 512 << 10 // rows in one entry; what is longer takes several
	MaxChange = 64 << 20  // rows of one transaction
)

// Row is a row by column. Values are nil, int64, float64, string and []byte.
type Row map[string]any

// Change is what happened to a row that was written: Old is nil for a new one, New
// for one that is gone. Both may be the same.
type Change struct {
	Table    string
	Old, New Row
}

// Spec says what a store adds to the copies of its database. All functions are
// called in the order of the log, on every server alike, never two at a time and
// never beside a function that runs in InTx.
type Spec struct {
	// Local are tables that are each server's own business, beside virtual tables
	// and their parts: what is derived from other rows, or notes about the file.
	Local []string
	// Applied brings derived tables behind changed rows, in their transaction, and
	// returns what is called after its commit. It may be nil.
	Applied func(ctx context.Context, tx *sql.Tx, list []Change) (tell func(), err error)
	// Rebuild makes all derived tables anew, in the transaction in which all rows
	// were replaced, and returns what is called after its commit. It may be nil.
	Rebuild func(ctx context.Context, tx *sql.Tx) (tell func(), err error)
}

// Copy is one server's copy. It is safe for concurrent use, except that Apply,
// Snapshot, Restore and Forget are called one after the other.
type Copy struct {
	path string
	db   *sql.DB // the one writing connection
	log  Log
	spec Spec

	mu      sync.Mutex // held while a transaction runs on db, guards what follows
	tables  map[string]*table
	state   state
	stopped error // why nothing can be applied any more
}

// state is the copy's place in the log.
type state struct {
	applied uint64 // index of the last entry that wrote anything here
	version uint64 // index of the last entry that changed rows
	chain   []byte // digest of all changes up to there
	held    int    // conflicts since, for the sake of an unfinished large change
}

const ownTables = `
CREATE TABLE IF NOT EXISTS rowlog_state (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	applied INTEGER NOT NULL,
	version INTEGER NOT NULL,
	held    INTEGER NOT NULL
) STRICT;
-- What the changes up to a version add up to: tells whether two copies are of one history.
CREATE TABLE IF NOT EXISTS rowlog_chain (
	version INTEGER PRIMARY KEY,
	digest  BLOB    NOT NULL
) STRICT;
-- Parts of changes whose last part has not come yet.
CREATE TABLE IF NOT EXISTS rowlog_parts (
	change BLOB    NOT NULL,
	seq    INTEGER NOT NULL,
	rows   BLOB    NOT NULL,
	PRIMARY KEY (change, seq)
) STRICT;`

// Open makes a copy of the database in the file path, which db has open for its
// one writing connection. A file with rows that were written without a log is
// refused: the other copies would not have them.
func Open(ctx context.Context, db *sql.DB, path string, log Log, spec Spec) (*Copy, error) {
	const op = "rowlog.Open"
	c := &Copy{path: path, db: db, log: log, spec: spec}
	err := sqlite.InTx(ctx, db, func(tx *sql.Tx) (err error) {
		if c.tables, err = readTables(ctx, tx, spec.Local); err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, ownTables); err != nil {
			return err
		}
		c.state, err = readState(ctx, tx)
		if errors.Is(err, sql.ErrNoRows) {
			return c.begin(ctx, tx)
		}
		return err
	})
	if err != nil {
		return nil, sqlite.Fault(op, "the database "+path, err)
	}
	return c, nil
}

// begin notes that nothing was applied yet to an empty file.
func (c *Copy) begin(ctx context.Context, tx *sql.Tx) error {
	for _, t := range c.tables {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+quote(t.name)+" LIMIT 1)").Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fault.Newf(fault.Invalid, "rowlog.Open", "the file %s has rows in %s that the other servers of the pool do not have; export them, put the file aside and import them", c.path, t.name)
		}
	}
	c.state = state{chain: make([]byte, digestSize)}
	return c.state.write(ctx, tx)
}

func readState(ctx context.Context, tx sqlite.Querier) (s state, err error) {
	list, err := sqlite.List(ctx, tx, func(from func(...any) error) (s state, err error) {
		return s, from(&s.applied, &s.version, &s.held, &s.chain)
	}, "SELECT s.applied, s.version, s.held, c.digest FROM rowlog_state s JOIN rowlog_chain c USING (version)")
	if err == nil && len(list) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return state{}, err
	}
	return list[0], nil
}

// write stores s. Links of the chain that no snapshot can be as old as go.
func (s state) write(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO rowlog_state (one, applied, version, held) VALUES (1, ?, ?, ?)", s.applied, s.version, s.held)
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO rowlog_chain (version, digest) VALUES (?, ?)", s.version, s.chain)
	}
	if err == nil && s.version > keepChain {
		_, err = tx.ExecContext(ctx, "DELETE FROM rowlog_chain WHERE version < ?", s.version-keepChain)
	}
	return err
}

// keepChain entries back it is known which changes a copy has had.
const keepChain = 100_000

// Position is the index of the last entry that wrote anything here and of the last
// that changed rows; err is why nothing is applied any more, nil if all is well.
func (c *Copy) Position() (applied, version uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.applied, c.state.version, c.stopped
}
