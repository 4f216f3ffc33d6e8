package central

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver

	"trivet/fault"
	"trivet/kit/clock"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// SQLite is a Store in one file, over one connection: the configuration is read
// at the start and written by hand. Each transaction is synced before it is
// acknowledged.
type SQLite struct {
	clock    clock.Clock
	db       *sql.DB
	onChange []func(Change)

	mu sync.Mutex // held while writing and while telling
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens or creates the database file and migrates it forward. A file
// of a newer release is refused. A nil clock is clock.Real.
func OpenSQLite(ctx context.Context, path string, c clock.Clock) (*SQLite, error) {
	const op = "central.OpenSQLite"
	if c == nil {
		c = clock.Real{}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, unavailable(op, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unavailable(op, err)
	}
	f.Close()
	q := url.Values{"_pragma": {"journal_mode(wal)", "synchronous(full)", "busy_timeout(5000)", "foreign_keys(1)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, unavailable(op, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(unavailable(op, err), db.Close())
	}
	return &SQLite{clock: c, db: db}, nil
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
	if sources := p.ListSources(); have > sources[len(sources)-1].Version {
		return errors.New("the database was written by a newer release; run that release, or restore the copy made before the upgrade")
	}
	_, err = p.Up(ctx)
	return err
}

// OnChange implements Store.
func (s *SQLite) OnChange(f func(Change)) { s.onChange = append(s.onChange, f) }

// Check implements Store.
func (s *SQLite) Check(ctx context.Context) error {
	_, err := s.Version(ctx)
	return err
}

// Close implements Store.
func (s *SQLite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.Close()
}

// unavailable turns an error of the database into a fault; nil stays nil and a
// fault stays what it is.
func unavailable(op string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, op, "the configuration database was not reached in time").Because(err)
	}
	return fault.New(fault.Unavailable, op, "the configuration database does not answer").Because(err)
}
