// Package sqlite opens the files of SQLite databases that the stores keep, with
// the settings and the migrations that all of them share, and holds what every
// query needs: transactions, lists, instants, faults. The queries are the stores'.
//
// A file has one writing connection, whose transactions are synced before they
// are acknowledged, and may have readers beside it (WAL). Values of database/sql
// are safe for concurrent use; nothing here adds state to them.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"trivet/fault"
)

// settings hold for every connection.
var settings = []string{"busy_timeout(5000)", "foreign_keys(1)", "cache_size(-8000)"}

// Open opens or creates the file, readable by its owner alone, for one writing
// connection, and migrates it forward by the numbered files in the folder
// migrations/sqlite of migrations. Failures are fault.Unavailable; a file of a
// newer release and one that is no database, or a damaged one, are told by their
// text. Neither is changed.
func Open(ctx context.Context, path string, migrations fs.FS) (*sql.DB, error) {
	const op = "sqlite.Open"
	if err := create(path); err != nil {
		return nil, fault.Newf(fault.Unavailable, op, "the file %s cannot be made or opened", path).Because(err)
	}
	db, err := sql.Open("sqlite", source(path, "journal_mode(wal)", "synchronous(full)")+"&_txlock=immediate")
	if err != nil {
		return nil, Fault(op, "the database "+path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db, path, migrations); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Readers opens a file that Open has opened for up to n connections that read.
func Readers(path string, n int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", source(path, "query_only(1)"))
	if err != nil {
		return nil, Fault("sqlite.Readers", "the database "+path, err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// create sees to the file's folder and rights before there is anything in it.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// source is a data source name with our settings of a connection.
func source(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append(pragmas, settings...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func migrate(ctx context.Context, db *sql.DB, path string, migrations fs.FS) error {
	const op = "sqlite.Open"
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return fault.Wrap(op, err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return fault.Wrap(op, err)
	}
	have, err := p.GetDBVersion(ctx)
	if err == nil {
		if known := p.ListSources(); have > known[len(known)-1].Version {
			return fault.Newf(fault.Unavailable, op, "the file %s was written by a newer release; run that release, or restore the copy made before the upgrade", path)
		}
		_, err = p.Up(ctx)
	}
	if damaged(err) {
		return fault.Newf(fault.Unavailable, op, "the file %s is damaged or no database; put it aside and restore the latest copy", path).Because(err)
	}
	return Fault(op, "the database "+path, err)
}

// damaged reports whether SQLite found that a file is not what it should be.
func damaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff // without what extends it
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}
