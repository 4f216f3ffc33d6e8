package users_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/store/users"
	"trivet/test/storetest"
	"trivet/uc"
)

type stopped struct{ clock.Real }

func (stopped) Now() time.Time { return storetest.Now }

func open(t *testing.T, path string) *users.SQLite {
	t.Helper()
	s, err := users.OpenSQLite(t.Context(), path, users.Options{Clock: stopped{}, Groups: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Users(t, func(t *testing.T) users.Store { return open(t, filepath.Join(t.TempDir(), "a folder?", "users.db")) })
}

func newUser(i int) users.New {
	name := fmt.Sprintf("user%d", i)
	return users.New{User: users.User{
		SipAddress: uc.UserURI("sip:" + name + "@example.test"), UserPrincipalName: name + "@example.test", SamAccountName: name, DisplayName: name, Enabled: true,
	}}
}

// TestKilled copies the files as a kill -9 would leave them, after each
// acknowledged change, and finds every one of them in the copy.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "users.db"))
	for i := range 5 {
		if _, err := s.Create(t.Context(), newUser(i)); err != nil {
			t.Fatal(err)
		}
		left := t.TempDir()
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(filepath.Join(dir, "users.db"+suffix))
			if err == nil {
				err = os.WriteFile(filepath.Join(left, "users.db"+suffix), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		again := open(t, filepath.Join(left, "users.db"))
		if all, err := again.List(t.Context(), users.Query{}); err != nil || len(all) != i+1 {
			t.Fatalf("after the kill %d of %d users are there, %v", len(all), i+1, err)
		}
		if made, err := again.Create(t.Context(), newUser(99)); err != nil || int(made[0].RoutingGroup) != (i+1)%4+1 {
			t.Errorf("group of the next user: %v, %v, want %d", made, err, (i+1)%4+1)
		}
	}
}

func TestFileOfANewerReleaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	open(t, path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := users.OpenSQLite(t.Context(), path, users.Options{}); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("got %v", err)
	}
}

func TestFileIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	s := open(t, path)
	if _, err := s.Create(t.Context(), newUser(1)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("users.db%s has mode %v", suffix, st.Mode())
		}
	}
}

func BenchmarkByAddress(b *testing.B) {
	s, err := users.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "users.db"), users.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var list []users.New
	for i := range 1000 {
		list = append(list, newUser(i))
	}
	if _, err := s.Create(b.Context(), list...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.ByAddress(b.Context(), "sip:user500@example.test"); err != nil {
			b.Fatal(err)
		}
	}
}
