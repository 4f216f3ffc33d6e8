package rowlog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"trivet/fault"
	"trivet/kit/sqlite"
)

// tries are how often a transaction is run when others are faster: more often than
// an unfinished change of a writer that is gone can hold it up.
const tries = patience + 20

// InTx runs f in a transaction and returns when the rows it changed are on a
// majority of the servers and in this copy. When f fails nothing has happened. F
// runs again when other servers have changed the database meanwhile, so it begins
// anew each time and has no effect outside the transaction that is not the same
// the second time. Failures are f's, the log's, fault.Limit for a transaction of
// more than MaxChange and fault.Overload when others were faster all the time. A
// context that ends leaves open whether the change happens.
func (c *Copy) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	const op = "rowlog.InTx"
	for try := range tries {
		base, rows, err := c.run(ctx, f)
		if err != nil || rows == nil {
			if c.stale(ctx, base, err) {
				continue
			}
			return err
		}
		if len(rows) > MaxChange {
			return fault.Newf(fault.Limit, op, "a change has %d bytes and may have %d; make it in several steps", len(rows), MaxChange)
		}
		done, err := c.propose(ctx, base, rows)
		if err != nil || done {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return sqlite.Fault(op, "the database", err)
		}
	}
	return fault.New(fault.Overload, op, "other servers change the database all the time; try again")
}

// stale reports whether a transaction that failed, or changed nothing, saw less
// than was acknowledged elsewhere before.
func (c *Copy) stale(ctx context.Context, base uint64, failed error) bool {
	if fault.Is(failed, fault.Invalid) || ctx.Err() != nil || c.log.Sync(ctx) != nil {
		return false
	}
	_, version, err := c.Position()
	return err == nil && version != base
}

// run is one try of f: the version it saw and the rows it changed, encoded; nil
// for none.
func (c *Copy) run(ctx context.Context, f func(tx *sql.Tx) error) (base uint64, rows []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped != nil {
		return 0, nil, c.stopped
	}
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	seen := touched{tables: c.tables, known: map[string]bool{}}
	if err := seen.watch(conn); err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, seen.end(conn)) }()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return 0, nil, err
	}
	base = c.state.version
	if err = f(tx); err == nil {
		rows, err = seen.collect(ctx, tx)
	}
	if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
		err = errors.Join(err, undo)
	}
	return base, rows, err
}

// propose hands rows to the log, in parts that are applied with the last. Done is
// false where others have changed the database.
func (c *Copy) propose(ctx context.Context, base uint64, rows []byte) (done bool, err error) {
	e := entry{base: base}
	if _, err := rand.Read(e.change[:]); err != nil {
		return false, err
	}
	for ; ; e.seq++ {
		n := min(len(rows), MaxPart)
		e.rows, rows = rows[:n], rows[n:]
		e.last = len(rows) == 0
		result, err := c.log.Propose(ctx, e.encode())
		if err != nil {
			return false, err
		}
		switch r := result.(type) {
		case error:
			return false, r
		case Outcome:
			if r == Conflict || e.last {
				return r == Applied, nil
			}
		default:
			return false, fault.Newf(fault.Internal, "rowlog.InTx", "the log gave %T", result)
		}
	}
}

// pause waits before another try, longer each time, for no two alike.
func pause(ctx context.Context, try int) error {
	longest := time.Millisecond << min(try, 6)
	t := time.NewTimer(mathrand.N(longest))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
