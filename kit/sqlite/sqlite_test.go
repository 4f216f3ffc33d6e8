package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"trivet/fault"
	"trivet/kit/sqlite"
)

const dir = "migrations/sqlite/"

var first = fstest.MapFS{dir + "00001_words.sql": {Data: []byte("-- +goose Up\nCREATE TABLE words (word TEXT NOT NULL) STRICT;\n")}}

func open(t *testing.T, path string, migrations fstest.MapFS) *sql.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func put(t *testing.T, db *sql.DB, list ...string) {
	t.Helper()
	err := sqlite.InTx(t.Context(), db, func(tx *sql.Tx) error {
		for _, w := range list {
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO words (word) VALUES (?)", w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func word(from func(...any) error) (w string, err error) { return w, from(&w) }

func words(t *testing.T, db sqlite.Querier) []string {
	t.Helper()
	list, err := sqlite.List(t.Context(), db, word, "SELECT word FROM words ORDER BY word")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestUpgrade writes with one release, goes on with the next, and finds that the
// first refuses what the next has written and leaves it as it is.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a folder?", "words.db")
	db, err := sqlite.Open(t.Context(), path, first)
	if err != nil {
		t.Fatal(err)
	}
	put(t, db, "b", "a")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	second := fstest.MapFS{dir + "00002_more.sql": {Data: []byte("-- +goose Up\nINSERT INTO words (word) VALUES ('c');\n")}}
	for name, f := range first {
		second[name] = f
	}
	if got := words(t, open(t, path, second)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("after the upgrade: %v", got)
	}
	if _, err := sqlite.Open(t.Context(), path, first); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("the first release opens a file of the second: %v", err)
	}
}

func TestDamagedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "words.db")
	was := []byte(strings.Repeat("no database ", 100))
	if err := os.WriteFile(path, was, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), path, first)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "damaged") || strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v", err)
	}
	if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, was) {
		t.Errorf("the file was changed, %v", err)
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(path, "below a file"), first); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "damaged") {
		t.Errorf("a file that cannot be made: %v", err)
	}
}

func TestReadersSeeWhatIsCommittedAndWriteNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "words.db")
	db := open(t, path, first)
	readers, err := sqlite.Readers(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer readers.Close()
	err = sqlite.InTx(t.Context(), db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO words (word) VALUES ('a')"); err != nil {
			return err
		}
		if got := words(t, readers); len(got) != 0 {
			t.Errorf("before the commit: %v", got)
		}
		return nil
	})
	if got := words(t, readers); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("after the commit: %v, %v", got, err)
	}
	if _, err := readers.ExecContext(t.Context(), "DELETE FROM words"); err == nil {
		t.Error("a reader writes")
	}
}

func TestInTxUndoes(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "words.db"), first)
	put(t, db, "a")
	mine := errors.New("mine")
	err := sqlite.InTx(t.Context(), db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "DELETE FROM words")
		return errors.Join(err, mine)
	})
	if got := words(t, db); !errors.Is(err, mine) || !slices.Equal(got, []string{"a"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestEachEndsWhenItIsTold(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "words.db"), first)
	put(t, db, "a", "b", "c")
	var got []string
	err := sqlite.Each(t.Context(), db, word, func(w string) bool {
		got = append(got, w)
		return len(got) < 2
	}, "SELECT word FROM words ORDER BY word")
	if err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	own := fault.New(fault.NotFound, "x", "nobody")
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{{errors.New("disk"), fault.Unavailable}, {context.Canceled, fault.Timeout}, {context.DeadlineExceeded, fault.Timeout}, {own, fault.NotFound}} {
		if got := sqlite.Fault("op", "the database", c.err); !fault.Is(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if err := sqlite.Fault("op", "the database", nil); err != nil {
		t.Error(err)
	}
}

func TestInstants(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 3, 2, 1, 5e6, time.UTC)
	for _, c := range []time.Time{{}, at} {
		if got := sqlite.Instant(sqlite.Millis(c)); !got.Equal(c) || got.Location() != time.UTC {
			t.Errorf("%v became %v", c, got)
		}
	}
}
