package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"trivet/fault"
)

// Querier is a database or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// Scanner reads one row into a T by the Scan of a sql.Row or of sql.Rows.
type Scanner[T any] func(from func(...any) error) (T, error)

// List runs a query and reads all of its rows. Errors are the database's.
func List[T any](ctx context.Context, db Querier, scan Scanner[T], text string, args ...any) ([]T, error) {
	var list []T
	err := Each(ctx, db, scan, func(v T) bool {
		list = append(list, v)
		return true
	}, text, args...)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Each runs a query and gives its rows to f, one after the other, until f returns
// false.
func Each[T any](ctx context.Context, db Querier, scan Scanner[T], f func(T) bool, text string, args ...any) error {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return err
		}
		if !f(v) {
			return nil
		}
	}
	return rows.Err()
}

// InTx runs f in a transaction, and commits it when f returns nil; else nothing
// has happened. Errors are f's and the database's.
func InTx(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}

// Fault turns an error of a database into a fault.Unavailable, or fault.Timeout
// where the context ended. What names the database in the text. Nil stays nil and
// a fault stays what it is.
func Fault(op, what string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, op, what+" was not reached in time").Because(err)
	}
	return fault.New(fault.Unavailable, op, what+" does not answer").Because(err)
}

// Millis is an instant as a column: milliseconds since 1970, 0 for none.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Instant is the inverse of Millis, in UTC.
func Instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
