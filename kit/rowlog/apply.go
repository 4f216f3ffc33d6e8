package rowlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"trivet/fault"
)

// Outcome is what an entry came to.
type Outcome uint8

// Outcomes of an entry.
const (
	Applied  Outcome = iota + 1
	Conflict         // others were faster; nothing has changed
)

const (
	digestSize = 16
	// patience is how many changes an unfinished large one holds up: without it, a
	// change of several entries would never find the database as it was when it
	// began. When its writer is gone, so many are tried in vain.
	patience = 100
)

// Apply carries out the entry at index and returns an Outcome, or an error that is
// the same on every server, about an entry that no server can carry out. An entry
// that this copy has had is passed over. When this server alone cannot go on (its
// disk fails, its release does not know a column) it stops: from then on Apply
// changes nothing, InTx and Snapshot fail, and the log is read again from the last
// snapshot after the next start.
func (c *Copy) Apply(index uint64, cmd []byte) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped != nil {
		return c.stopped
	}
	if index <= c.state.applied {
		return Applied
	}
	e, err := readEntry(cmd)
	if err != nil {
		return err
	}
	if e.base != c.state.version {
		return Conflict
	}
	result, err := c.step(context.Background(), index, &e)
	for n := 1; busy(err) && n < waits; n++ {
		result, err = c.step(context.Background(), index, &e)
	}
	if err != nil {
		c.stopped = fault.New(fault.Unavailable, "rowlog.Apply", "the database "+c.path+" cannot follow the changes of the other servers; see to the cause and start the server again").Because(err)
		return c.stopped
	}
	return result
}

// waits are how often Apply waits for somebody who holds the file, such as a
// backup; each time is that of the database's busy_timeout, some seconds.
const waits = 12

func busy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// step carries out an entry that is based on the version of the copy.
func (c *Copy) step(ctx context.Context, index uint64, e *entry) (result any, err error) {
	var tell func()
	next := c.state
	next.applied = index
	err = c.inTx(ctx, func(tx *sql.Tx) error {
		p, err := readParts(ctx, tx, e.change)
		switch {
		case err != nil:
			return err
		case uint64(p.mine) != e.seq:
			result = Conflict // what came before was dropped
		case p.others > 0 && e.seq == 0 && next.held < patience:
			result = Conflict
			next.held++
		case !e.last:
			result = Applied
			err = p.keep(ctx, tx, e)
		default:
			result, tell, err = c.finish(ctx, tx, &next, e)
		}
		if err != nil {
			return err
		}
		return next.write(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	c.state = next
	if tell != nil {
		tell()
	}
	return result, nil
}

// finish writes the rows of a change that is complete.
func (c *Copy) finish(ctx context.Context, tx *sql.Tx, next *state, e *entry) (result any, tell func(), err error) {
	rows := e.rows
	if e.seq > 0 {
		if rows, err = joinParts(ctx, tx, e); err != nil {
			return nil, nil, err
		}
	}
	list, err := c.carry(ctx, tx, rows)
	if err != nil {
		return nil, nil, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM rowlog_parts"); err != nil {
		return nil, nil, err
	}
	next.version, next.held, next.chain = next.applied, 0, link(next.chain, next.applied, rows)
	if c.spec.Applied != nil {
		tell, err = c.spec.Applied(ctx, tx, list)
	}
	return Applied, tell, err
}

// link is the digest of all changes after one more.
func link(chain []byte, index uint64, rows []byte) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(bytes.Clone(chain), index))
	h.Write(rows)
	return h.Sum(nil)[:digestSize]
}

// inTx is a transaction without foreign keys: what they remove is among the rows
// that the entry names.
func (c *Copy) inTx(ctx context.Context, f func(tx *sql.Tx) error) (err error) {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "PRAGMA foreign_keys = 0"); err != nil {
		return err
	}
	defer func() {
		_, again := conn.ExecContext(ctx, "PRAGMA foreign_keys = 1")
		err = errors.Join(err, again)
	}()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
