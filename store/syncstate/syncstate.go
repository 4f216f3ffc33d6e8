// Package syncstate keeps what the synchronisation with directories remembers
// between two runs: where the entry of each user is, whom it disabled and why, who
// is missing since when, whom an administrator deleted, how much of the budget is
// used, and how the last run went. It is one SQLite file.
//
// A method that changes something returns after the change is on disk. All methods
// are safe for concurrent use. Failures are fault.Unavailable.
package syncstate

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"trivet/fault"
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
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unavailable(op, err)
	}
	f.Close()
	q := url.Values{"_pragma": {"journal_mode(wal)", "synchronous(full)", "busy_timeout(5000)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, unavailable(op, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		db.Close()
		return nil, unavailable(op, err)
	}
	return &Store{db}, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if all := p.ListSources(); have > all[len(all)-1].Version {
		return errors.New("the database was written by a newer release; run that release, or restore the copy made before the upgrade")
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

func unavailable(op string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, op, "the state of the synchronisation cannot be read or written").Because(err)
}

const columns = "id, guid, dn, origin, disabled, since, missing, removed, stamp, photo"

func scan(from func(...any) error) (k dirsync.Known, err error) {
	var since, missing int64
	err = from(&k.ID, &k.GUID, &k.DN, &k.Origin, &k.Disabled, &since, &missing, &k.Removed, &k.Stamp, &k.Photo)
	k.Since, k.Missing = instant(since), instant(missing)
	return k, err
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// All returns what is known of the users of a source, by identifier.
func (s *Store) All(ctx context.Context, source string) (map[string]dirsync.Known, error) {
	const op = "syncstate.All"
	rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM known WHERE source = ?", source)
	if err != nil {
		return nil, unavailable(op, err)
	}
	defer rows.Close()
	all := map[string]dirsync.Known{}
	for rows.Next() {
		k, err := scan(rows.Scan)
		if err != nil {
			return nil, unavailable(op, err)
		}
		all[k.ID] = k
	}
	return all, unavailable(op, rows.Err())
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
		return []any{source, k.ID, k.GUID, k.DN, k.Origin, string(k.Disabled), millis(k.Since), millis(k.Missing), k.Removed, k.Stamp, k.Photo}
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
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return unavailable(op, err)
	}
	defer tx.Rollback()
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return unavailable(op, err)
	}
	defer stmt.Close()
	for i := range n {
		if _, err := stmt.ExecContext(ctx, args(i)...); err != nil {
			return unavailable(op, err)
		}
	}
	return unavailable(op, tx.Commit())
}
