package sqlite_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/sqlite"
)

// TestPinnedCopyIsOfItsMoment: nobody writes while a database is pinned; what is
// written after that is not in the copy, however late the copy is made.
func TestPinnedCopyIsOfItsMoment(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "words.db")
	db := open(t, path, first)
	put(t, db, "a", "b")
	p, err := sqlite.Pin(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(short, "INSERT INTO words (word) VALUES ('while pinned')"); err == nil {
		t.Error("a pinned database was changed")
	}
	if got := words(t, db); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("reading while pinned: %v", got)
	}
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	var many []string
	for range 5000 {
		many = append(many, "a word that comes later and takes some pages")
	}
	put(t, db, many...)
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := p.Copy(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := words(t, open(t, to, first)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the copy has %d words", len(got))
	}
	put(t, db, "c")
}

func TestPinWaitsForAChange(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "words.db")
	db := open(t, path, first)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := sqlite.Pin(t.Context(), path); !fault.Is(err, fault.Overload) || time.Since(begin) > 4*time.Second {
		t.Errorf("got %v after %v", err, time.Since(begin))
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	p, err := sqlite.Pin(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Copy(stopped, filepath.Join(t.TempDir(), "copy.db")); !fault.Is(err, fault.Timeout) {
		t.Errorf("a copy that was called off: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
