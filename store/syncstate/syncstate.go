// Package syncstate keeps what the synchronisation with directories remembers
// between two runs: where the entry of each user is, whom it disabled and why, who
// is missing since when, whom an administrator deleted, how much of the budget is
// used, and how the last run went. It is one SQLite file.
//
// A method that changes something returns after the change is on disk. All methods
// are safe for concurrent use. Failures are fault.Unavailable, or fault.Timeout when
// the context ended.
package syncstate

import (
	"context"
	"database/sql"
	"embed"
	"errors"

	"trivet/kit/sqlite"
	"trivet/rule/dirsync"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// Store is an open file.
type Store struct{ db *sql.DB }

// Open opens or creates the file and migrates it forward. A file of a newer
// release is refused.
func Open(ctx context.Context, path string) (*Store, error) {
	const op = "syncstate.Open"
	db, err := sqlite.Open(ctx, path, migrations)
	if err != nil {
		return nil, unavailable(op, err)
	}
	return &Store{db}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

func unavailable(op string, err error) error {
	return sqlite.Fault(op, "the database of the synchronisation", err)
}

const columns = "id, guid, dn, origin, disabled, since, missing, removed, stamp, photo"

func scan(from func(...any) error) (k dirsync.Known, err error) {
	var since, missing int64
	err = from(&k.ID, &k.GUID, &k.DN, &k.Origin, &k.Disabled, &since, &missing, &k.Removed, &k.Stamp, &k.Photo)
	k.Since, k.Missing = sqlite.Instant(since), sqlite.Instant(missing)
	return k, err
}

// All returns what is known of the users of a source, by identifier.
func (s *Store) All(ctx context.Context, source string) (map[string]dirsync.Known, error) {
	all := map[string]dirsync.Known{}
	err := sqlite.Each(ctx, s.db, scan, func(k dirsync.Known) bool {
		all[k.ID] = k
		return true
	}, "SELECT "+columns+" FROM known WHERE source = ?", source)
	if err != nil {
		return nil, unavailable("syncstate.All", err)
	}
	return all, nil
}

// Get returns what is known of one user; a Known without identifier for nothing.
func (s *Store) Get(ctx context.Context, source, id string) (dirsync.Known, error) {
	k, err := scan(s.db.QueryRowContext(ctx, "SELECT "+columns+" FROM known WHERE source = ? AND id = ?", source, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return dirsync.Known{}, nil
	}
	return k, unavailable("syncstate.Get", err)
}

// Put remembers list, each in the place of what was known before.
func (s *Store) Put(ctx context.Context, source string, list ...dirsync.Known) error {
	return s.each(ctx, "syncstate.Put", "INSERT OR REPLACE INTO known (source, "+columns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", len(list), func(i int) []any {
		k := list[i]
		return []any{source, k.ID, k.GUID, k.DN, k.Origin, string(k.Disabled), sqlite.Millis(k.Since), sqlite.Millis(k.Missing), k.Removed, k.Stamp, k.Photo}
	})
}

// Forget drops what is known of users.
func (s *Store) Forget(ctx context.Context, source string, ids ...string) error {
	return s.each(ctx, "syncstate.Forget", "DELETE FROM known WHERE source = ? AND id = ?", len(ids), func(i int) []any { return []any{source, ids[i]} })
}

// each runs a statement n times in one transaction.
func (s *Store) each(ctx context.Context, op, text string, n int, args func(i int) []any) error {
	if n == 0 {
		return nil
	}
	return unavailable(op, sqlite.InTx(ctx, s.db, func(tx *sql.Tx) error {
		stmt, err := tx.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for i := range n {
			if _, err := stmt.ExecContext(ctx, args(i)...); err != nil {
				return err
			}
		}
		return nil
	}))
}
