package users

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"slices"
	"sync"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"trivet/kit/clock"
	"trivet/kit/rowlog"
	"trivet/kit/sqlite"
	"trivet/uc"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// Options of OpenSQLite.
type Options struct {
	Clock  clock.Clock // nil = clock.Real
	Groups int         // routing groups users are spread over, numbered from 1; 0 = 8
	Log    rowlog.Log  // of the pool's directory group; nil = this file is the only copy
}

// SQLite is a Store in one file. Writes go through one connection, each
// transaction synced before it is acknowledged; reads use a pool beside it (WAL).
type SQLite struct {
	clock    clock.Clock
	readers  *sql.DB
	byGUID   *sql.Stmt
	byURI    *sql.Stmt
	byLogin  *sql.Stmt
	secrets  *sql.Stmt
	byKey    *sql.Stmt
	onChange []func(Change)
	onRevoke []func([]Certificate)
	onReload []func()
	shared   *rowlog.Copy // nil without a log

	mu     sync.Mutex // held while writing and while telling
	writer *sql.DB
	load   []int // users per routing group, index = group number - 1; only transactions and what follows them touch it
}

var _ Store = (*SQLite)(nil)

// OpenSQLite opens or creates the database file and migrates it forward. A file
// of a newer release is refused.
func OpenSQLite(ctx context.Context, path string, o Options) (*SQLite, error) {
	const op = "users.OpenSQLite"
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Groups == 0 {
		o.Groups = 8
	}
	s := &SQLite{clock: o.Clock, load: make([]int, o.Groups)}
	if err := s.open(ctx, path, o.Log); err != nil {
		s.Close()
		return nil, unavailable(op, err)
	}
	return s, nil
}

func (s *SQLite) open(ctx context.Context, path string, log rowlog.Log) (err error) {
	if s.writer, err = sqlite.Open(ctx, path, migrations); err != nil {
		return err
	}
	if err := s.indexAll(ctx); err != nil {
		return err
	}
	if s.readers, err = sqlite.Readers(path, 4); err != nil {
		return err
	}
	for _, p := range []struct {
		at   **sql.Stmt
		text string
	}{
		{&s.byGUID, selectUser + " WHERE guid = ?"},
		{&s.byURI, selectUser + " WHERE sip_address = ?"},
		{&s.byLogin, loginQuery},
		{&s.secrets, "SELECT argon2id, nt_hash, ha1_sha256, ha1_md5, changed FROM secrets WHERE guid = ?"},
		{&s.byKey, selectCertificate + " WHERE key_hash = ?"},
	} {
		if *p.at, err = s.readers.PrepareContext(ctx, p.text); err != nil {
			return err
		}
	}
	if err = s.countGroups(ctx, s.readers); err == nil && log != nil {
		err = s.share(ctx, path, log)
	}
	return err
}

func (s *SQLite) countGroups(ctx context.Context, db sqlite.Querier) error {
	clear(s.load)
	rows, err := db.QueryContext(ctx, "SELECT routing_group, count(*) FROM users WHERE routing_group > 0 GROUP BY routing_group")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var group, n int
		if err := rows.Scan(&group, &n); err != nil {
			return err
		}
		if group <= len(s.load) {
			s.load[group-1] = n
		}
	}
	return rows.Err()
}

// place gives a homed user without a group the least loaded one, lowest number
// first. The caller holds mu.
func (s *SQLite) place(u *User) {
	if u.SipAddress == "" {
		u.RoutingGroup = 0
	} else if u.RoutingGroup == 0 {
		u.RoutingGroup = uc.GroupID(slices.Index(s.load, slices.Min(s.load)) + 1)
	}
}

// moved keeps the count after a user went from one group to another; 0 = none.
func (s *SQLite) moved(from, to uc.GroupID) {
	if from > 0 && int(from) <= len(s.load) {
		s.load[from-1]--
	}
	if to > 0 && int(to) <= len(s.load) {
		s.load[to-1]++
	}
}

// OnChange implements Store.
func (s *SQLite) OnChange(f func(Change)) { s.onChange = append(s.onChange, f) }

// OnRevoke implements Store.
func (s *SQLite) OnRevoke(f func([]Certificate)) { s.onRevoke = append(s.onRevoke, f) }

// Check implements Store.
func (s *SQLite) Check(ctx context.Context) error {
	if s.shared != nil {
		if _, _, err := s.shared.Position(); err != nil {
			return err
		}
	}
	var n int
	return unavailable("users.Check", s.readers.QueryRowContext(ctx, "SELECT 1").Scan(&n))
}

// Close implements Store. Reads and writes under way end first.
func (s *SQLite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// inTx runs f in the writer's transaction and commits; the caller holds mu. In a
// pool f may run several times; the last time counts.
func (s *SQLite) inTx(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	if s.shared != nil {
		return unavailable(op, s.shared.InTx(ctx, f))
	}
	return unavailable(op, sqlite.InTx(ctx, s.writer, f))
}

// unavailable turns an error of the database into a fault; nil stays nil and a
// fault stays what it is.
func unavailable(op string, err error) error { return sqlite.Fault(op, "the directory database", err) }

// taken returns the column that a failed insert or update found taken.
func taken(err error) (column string, ok bool) {
	var e *driver.Error
	if !errors.As(err, &e) || e.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && e.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return "", false
	}
	return constraintColumn(e.Error()), true
}
