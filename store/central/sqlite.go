package central

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"sync"

	"trivet/kit/clock"
	"trivet/kit/rowlog"
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
	onReload []func()
	shared   *rowlog.Copy // nil without a log

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

// OpenShared is OpenSQLite for one of the copies of a pool, which log keeps alike:
// a change returns after it is on a majority of the servers and in this copy, is
// told on every server, and is made again when another server was faster.
func OpenShared(ctx context.Context, path string, c clock.Clock, log rowlog.Log) (*SQLite, error) {
	s, err := OpenSQLite(ctx, path, c)
	if err != nil {
		return nil, err
	}
	s.shared, err = rowlog.Open(ctx, s.db, path, log, rowlog.Spec{Applied: s.follow, Rebuild: s.reload})
	if err != nil {
		return nil, errors.Join(unavailable("central.OpenShared", err), s.db.Close())
	}
	return s, nil
}

// Shared is the copy that the pool's directory group applies its log to, nil for a
// store that was opened without a log.
func (s *SQLite) Shared() *rowlog.Copy { return s.shared }

// OnReload has f called when everything may have changed at once, because the copy
// was far behind and took all documents of another server. F may read the store.
// Otherwise it is as OnChange.
func (s *SQLite) OnReload(f func()) { s.onReload = append(s.onReload, f) }

// follow says what is to be told of rows that the log changed. The table of changes
// has all of it.
func (s *SQLite) follow(_ context.Context, _ *sql.Tx, list []rowlog.Change) (tell func(), err error) {
	var told []Change
	for _, r := range list {
		if r.Table != "changes" || r.New == nil {
			continue
		}
		c, err := scanChange(r.New.Scan("version", "at", "by", "kind", "identity", "old", "new"))
		if err != nil {
			return nil, err
		}
		told = append(told, c)
	}
	return func() {
		for _, c := range told {
			s.tell(c)
		}
	}, nil
}

func (s *SQLite) tell(c Change) {
	for _, f := range s.onChange {
		f(c)
	}
}

func (s *SQLite) reload(context.Context, *sql.Tx) (tell func(), err error) {
	return func() {
		for _, f := range s.onReload {
			f()
		}
	}, nil
}

// OnChange implements Store.
func (s *SQLite) OnChange(f func(Change)) { s.onChange = append(s.onChange, f) }

// Check implements Store.
func (s *SQLite) Check(ctx context.Context) error {
	if s.shared != nil {
		if _, _, err := s.shared.Position(); err != nil {
			return err
		}
	}
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
