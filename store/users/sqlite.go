package users

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/uc"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// Options of OpenSQLite.
type Options struct {
	Clock  clock.Clock // nil = clock.Real
	Groups int         // routing groups users are spread over, numbered from 1; 0 = 8
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

	mu     sync.Mutex // held while writing and while telling; guards the fields below
	writer *sql.DB
	load   []int // users per routing group, index = group number - 1
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
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, unavailable(op, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // credentials: the owner's alone from the first byte
	if err != nil {
		return nil, unavailable(op, err)
	}
	f.Close()
	s := &SQLite{clock: o.Clock, load: make([]int, o.Groups)}
	if err := s.open(ctx, path); err != nil {
		s.Close()
		return nil, unavailable(op, err)
	}
	return s, nil
}

func (s *SQLite) open(ctx context.Context, path string) (err error) {
	if s.writer, err = sql.Open("sqlite", source(path, "journal_mode(wal)", "synchronous(full)")+"&_txlock=immediate"); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer); err != nil {
		return err
	}
	if err := s.indexAll(ctx); err != nil {
		return err
	}
	if s.readers, err = sql.Open("sqlite", source(path, "query_only(1)")); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(4)
	s.readers.SetMaxIdleConns(4)
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
	return s.countGroups(ctx)
}

// source is a data source name with our settings of a connection.
func source(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append(pragmas, "busy_timeout(5000)", "foreign_keys(1)", "cache_size(-8000)")}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
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

func (s *SQLite) countGroups(ctx context.Context) error {
	rows, err := s.readers.QueryContext(ctx, "SELECT routing_group, count(*) FROM users WHERE routing_group > 0 GROUP BY routing_group")
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

// inTx runs f in the writer's transaction and commits; the caller holds mu.
func (s *SQLite) inTx(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return unavailable(op, err)
	}
	if err := f(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return err
	}
	return unavailable(op, tx.Commit())
}

// unavailable turns an error of the database into a fault; nil stays nil and a
// fault stays what it is.
func unavailable(op string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, op, "the directory database was not reached in time").Because(err)
	}
	return fault.New(fault.Unavailable, op, "the directory database does not answer").Because(err)
}

// taken returns the column that a failed insert or update found taken.
func taken(err error) (column string, ok bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && e.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return "", false
	}
	return constraintColumn(e.Error()), true
}
