package directory_test

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/sqlite"
	"trivet/store/central"
	"trivet/store/directory"
	"trivet/store/users"
)

// pool is three servers with a log in memory. All that is acknowledged is applied
// on the server that asked; the others may be behind, up to lag entries.
type pool struct {
	t     testing.TB
	lag   int
	mu    sync.Mutex // held while the log grows and is applied
	log   [][]byte
	snap  []byte // the newest snapshot
	taken int    // entries that it has
	on    [3]*server
}

type server struct {
	p       *pool
	dir     string
	m       *directory.Machine
	users   *users.SQLite
	config  *central.SQLite
	applied int
	clock   clock.Clock
}

func newPool(t testing.TB, lag int, c clock.Clock) *pool {
	p := &pool{t: t, lag: lag}
	for i := range p.on {
		p.on[i] = &server{p: p, dir: t.TempDir(), clock: c}
		p.on[i].open()
	}
	t.Cleanup(func() {
		for _, s := range p.on {
			s.close()
		}
	})
	return p
}

// open opens the files and reads the log from the newest snapshot, as a server does
// that starts.
func (s *server) open() {
	ctx, t := context.Background(), s.p.t
	s.m = directory.New()
	var err error
	if s.users, err = users.OpenSQLite(ctx, filepath.Join(s.dir, "users.db"), users.Options{Clock: s.clock, Groups: 4, Log: s.m.Log("users")}); err != nil {
		t.Fatal(err)
	}
	if s.config, err = central.OpenShared(ctx, filepath.Join(s.dir, "central.db"), s.clock, s.m.Log("central")); err != nil {
		t.Fatal(err)
	}
	s.m.Join("users", s.users.Shared())
	s.m.Join("central", s.config.Shared())
	s.applied = s.p.taken
	if s.p.snap != nil {
		if err := s.m.Restore(bytes.NewReader(s.p.snap)); err != nil {
			t.Fatal(err)
		}
	}
	s.m.Serve(s)
}

func (s *server) close() {
	if err := s.users.Close(); err != nil {
		s.p.t.Error(err)
	}
	if err := s.config.Close(); err != nil {
		s.p.t.Error(err)
	}
}

// follow applies the log up to n entries; the caller holds the pool's mu.
func (s *server) follow(n int) (result any) {
	for s.applied < n {
		s.applied++
		result, _ = s.m.Apply(uint64(s.applied), s.p.log[s.applied-1])
	}
	return result
}

func (s *server) Propose(ctx context.Context, cmd []byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if len(cmd) > 1<<20 {
		return nil, fault.Newf(fault.Limit, "pool.Propose", "%d bytes", len(cmd))
	}
	s.p.log = append(s.p.log, cmd)
	for i, other := range s.p.on {
		if other != s && other != nil {
			other.follow(len(s.p.log) - min(i*s.p.lag, len(s.p.log)))
		}
	}
	return s.follow(len(s.p.log)), nil
}

func (s *server) Sync(context.Context) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.follow(len(s.p.log))
	return nil
}

// snapshot lets a server write one.
func (p *pool) snapshot(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.applied < p.taken {
		s.follow(p.taken)
	}
	var b bytes.Buffer
	if err := s.m.Snapshot()(&b); err != nil {
		p.t.Fatal(err)
	}
	p.snap, p.taken = b.Bytes(), s.applied
}

// alike brings all servers to the end and compares every row.
func (p *pool) alike() {
	p.t.Helper()
	var want []string
	for i, s := range p.on {
		if err := s.Sync(context.Background()); err != nil {
			p.t.Fatal(err)
		}
		if err := s.m.Check(); err != nil {
			p.t.Fatal(err)
		}
		got := append(s.rows("users.db"), s.rows("central.db")...)
		if i == 0 {
			want = got
		} else if !slices.Equal(got, want) {
			for k := range min(len(got), len(want)) {
				if got[k] != want[k] {
					p.t.Fatalf("server %d has %s, server 0 %s", i, got[k], want[k])
				}
			}
			p.t.Fatalf("server %d has %d rows, server 0 %d", i, len(got), len(want))
		}
	}
}

// rows are all rows of a file, those of the words of groups too.
func (s *server) rows(file string) []string {
	db, err := sqlite.Readers(filepath.Join(s.dir, file), 1)
	if err != nil {
		s.p.t.Fatal(err)
	}
	defer db.Close()
	text := func(from func(...any) error) (v string, err error) { return v, from(&v) }
	tables, err := sqlite.List(context.Background(), db, text, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite%' AND name NOT IN ('goose_db_version', 'rowlog_chain') ORDER BY name")
	if err != nil {
		s.p.t.Fatal(err)
	}
	var all []string
	for _, name := range tables {
		list, err := sqlite.List(context.Background(), db, text, "SELECT '"+name+"' || group_concat(quote(name), ', ') FROM pragma_table_info('"+name+"')")
		if err != nil {
			s.p.t.Fatal(err)
		}
		columns, err := sqlite.List(context.Background(), db, text, `SELECT 'quote("' || name || '")' FROM pragma_table_info('`+name+`')`)
		if err != nil {
			s.p.t.Fatal(err)
		}
		all = append(all, list...)
		if name == "group_words" {
			columns = []string{"rowid"}
		}
		list, err = sqlite.List(context.Background(), db, text, "SELECT "+strings.Join(columns, " || ' ' || ")+" AS r FROM "+name+" ORDER BY r")
		if err != nil {
			s.p.t.Fatal(name, err)
		}
		for _, r := range list {
			all = append(all, name+": "+r)
		}
	}
	return all
}
