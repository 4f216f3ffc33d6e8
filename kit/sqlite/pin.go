package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"trivet/fault"
)

// Pinned is a database as it was at one moment, while others use it. Until Release
// nobody changes it; after that, changes go on and the copy is of that moment all
// the same. It is used by one goroutine and ends with Close.
type Pinned struct {
	db   *sql.DB
	lock *sql.Conn // holds the writers up; nil once released
	view *sql.Conn
}

// patience is how long Pin waits for a change under way. Writers wait longer, so
// that two databases can be pinned while they do.
const patience = "PRAGMA busy_timeout = 2000"

// Pin stops changes of the file, after those that are under way. A file that is
// changed for longer than two seconds is fault.Overload: try again.
func Pin(ctx context.Context, path string) (p *Pinned, err error) {
	const op = "sqlite.Pin"
	db, err := sql.Open("sqlite", source(path))
	if err != nil {
		return nil, Fault(op, "the database "+path, err)
	}
	p = &Pinned{db: db}
	for _, c := range []struct {
		at    **sql.Conn
		begin string
	}{{&p.lock, patience + "; BEGIN IMMEDIATE"}, {&p.view, "BEGIN; SELECT count(*) FROM sqlite_schema"}} {
		if *c.at, err = db.Conn(ctx); err == nil {
			_, err = (*c.at).ExecContext(ctx, c.begin)
		}
		if err != nil {
			err = errors.Join(err, p.Close())
			if busy(err) {
				return nil, fault.Newf(fault.Overload, op, "%s is in the middle of a long change", path).Because(err)
			}
			return nil, Fault(op, "the database "+path, err)
		}
	}
	return p, nil
}

func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// Release lets changes go on.
func (p *Pinned) Release() error {
	if p.lock == nil {
		return nil
	}
	err := end(p.lock)
	p.lock = nil
	return Fault("sqlite.Release", "the database", err)
}

// end gives a connection up with its transaction. Its context may have ended.
func end(c *sql.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := c.ExecContext(ctx, "ROLLBACK")
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_ERROR { // none was begun
		err = nil
	}
	return errors.Join(err, c.Close())
}

// pagesAtOnce are copied between two looks at the context.
const pagesAtOnce = 256

// Copy writes the database to a new file, page by page.
func (p *Pinned) Copy(ctx context.Context, path string) error {
	const op = "sqlite.Copy"
	if err := create(path); err != nil {
		return Fault(op, "the copy "+path, err)
	}
	err := p.view.Raw(func(c any) error {
		from, ok := c.(interface {
			NewBackup(string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("the driver of the database does not copy")
		}
		b, err := from.NewBackup(source(path, "synchronous(off)"))
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if err = ctx.Err(); err == nil {
				more, err = b.Step(pagesAtOnce)
			}
		}
		return errors.Join(err, b.Finish())
	})
	return Fault(op, "the copy "+path, err)
}

// Close ends everything. A second Close does nothing.
func (p *Pinned) Close() error {
	if p.db == nil {
		return nil
	}
	err := p.Release()
	if p.view != nil {
		err = errors.Join(err, end(p.view))
	}
	err = errors.Join(err, p.db.Close())
	p.db = nil
	return err
}
