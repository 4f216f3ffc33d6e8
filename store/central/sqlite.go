package central

import (
	"context"
	"database/sql"
	"embed"
	"sync"

	"trivet/kit/clock"
	"trivet/kit/sqlite"
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
	if c == nil {
		c = clock.Real{}
	}
	db, err := sqlite.Open(ctx, path, migrations)
	if err != nil {
		return nil, unavailable("central.OpenSQLite", err)
	}
	return &SQLite{clock: c, db: db}, nil
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
	return sqlite.Fault(op, "the configuration database", err)
}
