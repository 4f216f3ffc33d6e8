package rowlog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"trivet/fault"
	"trivet/kit/sqlite"
)

const schema = `-- +goose Up
CREATE TABLE boxes (name TEXT NOT NULL PRIMARY KEY, place INTEGER UNIQUE, data BLOB, weight REAL) STRICT;
CREATE TABLE things (box TEXT NOT NULL REFERENCES boxes (name) ON DELETE CASCADE, n INTEGER NOT NULL, text TEXT, PRIMARY KEY (box, n)) STRICT, WITHOUT ROWID;
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL) STRICT;
CREATE TABLE mine (text TEXT NOT NULL) STRICT;
CREATE VIRTUAL TABLE words USING fts5 (text);
`

// trunk is a log that copies follow one after the other.
type trunk struct {
	t       testing.TB
	entries [][]byte
	before  func() // called before each entry is added
}

// follower is a copy and how far it has followed.
type follower struct {
	*Copy
	trunk *trunk
	db    *sql.DB
	path  string
	at    int
	told  []Change
}

func (f *follower) Propose(_ context.Context, cmd []byte) (any, error) {
	if before := f.trunk.before; before != nil {
		f.trunk.before = nil
		before()
	}
	f.trunk.entries = append(f.trunk.entries, bytes.Clone(cmd))
	return f.follow(), nil
}

func (f *follower) Sync(context.Context) error {
	f.follow()
	return nil
}

func (f *follower) follow() (result any) {
	for f.at < len(f.trunk.entries) {
		f.at++
		result = f.Apply(uint64(f.at), f.trunk.entries[f.at-1])
	}
	return result
}

func follow(t testing.TB, trunk *trunk, path string, more ...string) *follower {
	t.Helper()
	files := fstest.MapFS{"migrations/sqlite/00001_first.sql": {Data: []byte(schema)}}
	for i, m := range more {
		files[fmt.Sprintf("migrations/sqlite/0000%d_more.sql", i+2)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + m)}
	}
	db, err := sqlite.Open(context.Background(), path, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &follower{trunk: trunk, db: db, path: path}
	f.Copy, err = Open(context.Background(), db, path, f, Spec{Local: []string{"mine"}, Applied: func(_ context.Context, _ *sql.Tx, list []Change) (func(), error) {
		return func() { f.told = append(f.told, list...) }, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func two(t testing.TB) (a, b *follower) {
	trunk := &trunk{t: t}
	return follow(t, trunk, filepath.Join(t.TempDir(), "a.db")), follow(t, trunk, filepath.Join(t.TempDir(), "b.db"))
}

// do carries out statements in a transaction; an argument is one of them.
func (f *follower) do(texts ...string) error {
	return f.InTx(context.Background(), func(tx *sql.Tx) error {
		for _, text := range texts {
			if _, err := tx.Exec(text); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *follower) must(texts ...string) {
	f.trunk.t.Helper()
	if err := f.do(texts...); err != nil {
		f.trunk.t.Fatal(err)
	}
}

func (f *follower) rows() (all []string) {
	f.trunk.t.Helper()
	for _, text := range []string{
		"SELECT 'box ' || name || ' ' || quote(place) || ' ' || quote(data) || ' ' || quote(weight) AS r FROM boxes ORDER BY r",
		"SELECT 'thing ' || box || ' ' || n || ' ' || quote(text) AS r FROM things ORDER BY r",
		"SELECT 'note ' || id || ' ' || text AS r FROM notes ORDER BY id",
	} {
		list, err := sqlite.List(context.Background(), f.db, func(from func(...any) error) (s string, err error) { return s, from(&s) }, text)
		if err != nil {
			f.trunk.t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

func same(t *testing.T, a, b *follower) {
	t.Helper()
	a.follow()
	b.follow()
	if x, y := a.rows(), b.rows(); !slices.Equal(x, y) {
		t.Errorf("the copies differ:\n%s\n\n%s", strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
	if !bytes.Equal(a.state.chain, b.state.chain) {
		t.Error("the histories differ")
	}
}

func TestRowsArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO boxes VALUES ('x', 1, x'', 1.5), ('y', 2, NULL, NULL), ('z', 3, x'00ff', -0.25)",
		"INSERT INTO things VALUES ('x', -1, 'nul'||char(0)||'inside'), ('x', 2, NULL), ('y', 1, '')",
		"INSERT INTO notes (text) VALUES ('first'), ('second')")
	same(t, a, b)
	want := []string{"box x 1 X'' 1.5", "box y 2 NULL NULL", "box z 3 X'00FF' -0.25"}
	if got := b.rows()[:3]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	b.must("UPDATE boxes SET place = -place WHERE name < 'z'", "UPDATE boxes SET place = 3 + place", // x 2, y 1: unique values change hands
		"UPDATE things SET n = n + 10 WHERE box = 'x'")
	same(t, a, b)
	a.must("UPDATE boxes SET weight = 2 WHERE name = 'x'") // what is in it stays
	if same(t, a, b); !slices.Contains(b.rows(), "thing x 12 NULL") {
		t.Errorf("a box that was changed has lost its things: %q", b.rows())
	}
	a.must("UPDATE boxes SET name = 'new' WHERE name = 'z'", "INSERT INTO things (box, n) VALUES ('new', 1)")
	same(t, a, b)
	b.must("INSERT INTO things VALUES ('x', 12, 'again') ON CONFLICT DO UPDATE SET text = excluded.text", "INSERT OR REPLACE INTO boxes VALUES ('q', 2, NULL, NULL)")
	same(t, a, b)
	a.must("DELETE FROM boxes WHERE name = 'y'", "DELETE FROM notes")
	same(t, a, b)
	a.must("INSERT INTO notes (text) VALUES ('third')")
	same(t, a, b)
	for _, r := range b.rows() {
		if strings.Contains(r, "thing y") || strings.HasPrefix(r, "note ") && r != "note 3 third" {
			t.Errorf("%s is there", r)
		}
	}
}

// TestSavepointsThatAreRolledBack leave nothing in the log.
func TestSavepointsThatAreRolledBack(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO boxes (name) VALUES ('kept')", "SAVEPOINT s", "INSERT INTO boxes (name) VALUES ('undone')",
		"UPDATE boxes SET name = 'other' WHERE name = 'kept'", "ROLLBACK TO s", "RELEASE s")
	same(t, a, b)
	if got := b.rows(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	mine := errors.New("mine")
	err := a.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM boxes")
		return errors.Join(err, mine)
	})
	if same(t, a, b); !errors.Is(err, mine) || len(a.rows()) != 1 {
		t.Errorf("%v, %q", err, a.rows())
	}
}

// TestConflict: who is slower runs again on what the other has made.
func TestConflict(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO boxes (name, place) VALUES ('x', 1)")
	b.follow()
	a.trunk.before = func() { b.must("UPDATE boxes SET place = place * 10") }
	runs := 0
	err := a.InTx(t.Context(), func(tx *sql.Tx) error {
		runs++
		_, err := tx.Exec("UPDATE boxes SET place = place + 1")
		return err
	})
	if same(t, a, b); err != nil || runs != 2 || a.rows()[0] != "box x 11 NULL NULL" {
		t.Errorf("%v after %d runs: %q", err, runs, a.rows())
	}
	if len(a.told) != 3 || len(b.told) != 3 || a.told[2].Old["place"] != int64(10) || b.told[2].New["place"] != int64(11) {
		t.Errorf("told %v and %v", a.told, b.told)
	}
}

// TestFailureOnWhatIsOld: a failure counts only on what is known everywhere.
func TestFailureOnWhatIsOld(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO boxes (name, place) VALUES ('x', 1)")
	err := b.InTx(t.Context(), func(tx *sql.Tx) error {
		var n int
		return tx.QueryRow("SELECT place FROM boxes WHERE name = 'x'").Scan(&n)
	})
	if err != nil {
		t.Errorf("a box that another server has made is not there: %v", err)
	}
	err = b.InTx(t.Context(), func(tx *sql.Tx) error { return sql.ErrNoRows })
	if !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("got %v", err)
	}
}

const many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40) INSERT INTO boxes (name, data) SELECT 'many' || n, zeroblob(50000) FROM c"

// TestLargeChange takes several entries, holds others up, and is there as a whole.
func TestLargeChange(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO notes (text) VALUES ('first')")
	b.follow()
	tried := 0
	a.trunk.before = func() {
		a.trunk.before = func() { // between two parts
			b.follow()
			if len(b.rows()) != 1 {
				t.Errorf("there are rows of a part: %d", len(b.rows()))
			}
			_, rows, err := b.run(t.Context(), func(tx *sql.Tx) error {
				tried++
				_, err := tx.Exec("INSERT INTO notes (text) VALUES ('small')")
				return err
			})
			if done, again := b.propose(t.Context(), b.state.version, rows); err != nil || done || again != nil {
				t.Errorf("a small change came between: %v, %v, %v", done, err, again)
			}
		}
	}
	a.must(many)
	same(t, a, b)
	if n := len(a.trunk.entries); n != 1+4+1 || tried != 1 || len(b.rows()) != 41 {
		t.Errorf("%d entries, %d rows", n, len(b.rows()))
	}
	for _, e := range a.trunk.entries {
		if len(e) > MaxPart+64 {
			t.Errorf("an entry of %d bytes", len(e))
		}
	}
}

// TestWriterGoneInTheMiddle: what it leaves holds the others up for a while only.
func TestWriterGoneInTheMiddle(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	for range 3 {
		e := entry{base: a.state.version, rows: []byte("never ended")}
		if r := a.Apply(uint64(a.at+1), e.encode()); r != Applied {
			t.Fatalf("a part came to %v", r)
		}
		a.trunk.entries, a.at = append(a.trunk.entries, e.encode()), a.at+1
		b.follow()
		refused := 0
		for done := false; !done; refused++ {
			base, rows, err := b.run(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec("INSERT INTO notes (text) VALUES ('after')")
				return err
			})
			if err == nil {
				done, err = b.propose(t.Context(), base, rows)
			}
			if err != nil || refused > patience || patience >= tries {
				t.Fatalf("time %d: %v", refused, err)
			}
		}
		if same(t, a, b); a.state.held != 0 {
			t.Errorf("held up by what is gone: %+v", a.state)
		}
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	err := a.do("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 70) INSERT INTO boxes (name, data) SELECT n, zeroblob(1000000) FROM c")
	if same(t, a, b); !fault.Is(err, fault.Limit) || len(a.trunk.entries) > 0 {
		t.Errorf("got %v", err)
	}
}

// TestReplay: what a copy has had is passed over, also when the copy is ahead of
// the snapshot that the log begins with.
func TestReplay(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO notes (text) VALUES ('1')")
	snapshot := a.save()
	for i := 2; i < 6; i++ {
		a.must(fmt.Sprintf("INSERT INTO notes (text) VALUES ('%d')", i), "UPDATE notes SET text = text || '.'")
	}
	part, late := entry{base: 5, rows: []byte("never ended")}, entry{base: 5, change: [16]byte{1}, last: true}
	a.trunk.entries = append(a.trunk.entries, part.encode(), late.encode()) // which is held up
	a.follow()
	again := follow(t, a.trunk, a.path)
	if err := again.Restore(bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if applied, version, err := again.Position(); applied != 7 || version != 5 || err != nil {
		t.Errorf("the file was taken back to %d, %d, %v", applied, version, err)
	}
	again.at = 1
	if same(t, again, a); again.state.held != 1 {
		t.Errorf("an entry was held up %d times", again.state.held)
	}
	same(t, again, b)
}

func (f *follower) save() []byte {
	f.trunk.t.Helper()
	var b bytes.Buffer
	if err := f.Snapshot()(&b); err != nil {
		f.trunk.t.Fatal(err)
	}
	return b.Bytes()
}

// TestRestore of a copy that is behind, of one with another history, and of one
// that forgot.
func TestRestore(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must(many, "INSERT INTO things (box, n) VALUES ('many1', 1)", "INSERT INTO notes (text) VALUES ('a')")
	write := a.Snapshot()
	a.must("DELETE FROM boxes WHERE name = 'many2'") // is in the snapshot all the same
	var snapshot bytes.Buffer
	if err := write(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := b.Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
		t.Fatal(err)
	}
	b.at = int(b.state.applied)
	if len(b.rows()) != 42 {
		t.Errorf("%d rows are restored", len(b.rows()))
	}
	same(t, a, b)

	other := follow(t, &trunk{t: t}, filepath.Join(t.TempDir(), "other.db"))
	for range 10 { // longer than a's
		other.must("INSERT INTO notes (text) VALUES ('of another history')")
	}
	if err := other.Restore(bytes.NewReader(a.save())); err != nil {
		t.Fatal(err)
	}
	other.trunk, other.at = a.trunk, a.at
	same(t, a, other)

	if err := other.Forget(t.Context()); err != nil || len(other.rows()) > 0 {
		t.Fatalf("%v, %d rows are not forgotten", err, len(other.rows()))
	}
	other.at = 0
	same(t, a, other)
}

func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.must("INSERT INTO notes (text) VALUES ('a')")
	whole := a.save()
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x41
		if err := b.Restore(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d changed is not noticed", i)
		}
		if err := b.Restore(bytes.NewReader(whole[:i])); !fault.Is(err, fault.Invalid) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
	if len(b.rows()) > 0 {
		t.Errorf("a damaged snapshot left %q", b.rows())
	}
	same(t, a, b)
}

// TestReleases: an older server stops at what it does not know, says so, and goes
// on after its upgrade; what an older server writes keeps the columns it lacks.
func TestReleases(t *testing.T) {
	t.Parallel()
	trunk := &trunk{t: t}
	const more = "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';"
	older := follow(t, trunk, filepath.Join(t.TempDir(), "a.db"))
	newer := follow(t, trunk, filepath.Join(t.TempDir(), "b.db"), more)
	older.must("INSERT INTO notes (text) VALUES ('x')")
	newer.follow()
	if newer.told[0].New["colour"] != "red" {
		t.Errorf("told %v", newer.told)
	}
	if _, err := newer.db.Exec("UPDATE notes SET colour = 'blue'"); err != nil {
		t.Fatal(err)
	}
	older.must("UPDATE notes SET text = 'y'")
	newer.follow()
	var colour string
	if err := newer.db.QueryRow("SELECT colour FROM notes").Scan(&colour); err != nil || colour != "blue" {
		t.Errorf("the colour is %q, %v", colour, err)
	}
	newer.must("UPDATE notes SET text = 'z'")
	older.follow()
	for what, err := range map[string]error{"Position": second(older.Position()), "a write": older.do("DELETE FROM notes"), "a snapshot": older.Snapshot()(&bytes.Buffer{})} {
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "colour") {
			t.Errorf("%s of a server that stopped: %v", what, err)
		}
	}
	upgraded := follow(t, trunk, older.path, more)
	same(t, newer, upgraded)
}

func second(_, _ uint64, err error) error { return err }

func TestFileOfAServerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "alone.db")
	db, err := sqlite.Open(t.Context(), path, fstest.MapFS{"migrations/sqlite/00001_first.sql": {Data: []byte(schema + "INSERT INTO notes (text) VALUES ('here only');")}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := Open(t.Context(), db, path, nil, Spec{Local: []string{"mine"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func FuzzApply(f *testing.F) {
	a, _ := two(f)
	a.must("INSERT INTO boxes VALUES ('x', 1, x'01', 1.5), ('y', NULL, NULL, NULL)", "INSERT INTO things VALUES ('x', 1, 'text')")
	a.must("DELETE FROM boxes")
	for _, e := range a.trunk.entries {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := readEntry(b)
		if err != nil {
			return
		}
		if back, err := readEntry(e.encode()); err != nil || back.base != e.base || back.seq != e.seq || back.last != e.last || !bytes.Equal(back.rows, e.rows) {
			t.Errorf("%+v became %+v, %v", e, back, err)
		}
		_, _ = a.decode(e.rows)
	})
}

func FuzzRestore(f *testing.F) {
	a, b := two(f)
	a.must("INSERT INTO boxes VALUES ('x', 1, x'01', 1.5)")
	f.Add(a.save())
	f.Fuzz(func(t *testing.T, bytesOf []byte) { _ = b.Restore(bytes.NewReader(bytesOf)) })
}
