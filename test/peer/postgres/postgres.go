// Package postgres runs PostgreSQL servers for tests: each on an address of its own, in
// a temporary folder, ended with the test. It needs the Debian package postgresql-15.
package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"trivet/box/pgserver"
	"trivet/test/peer/need"
)

// Password of the role of Front Ends that Credentials knows.
const Password = "secret of the front ends"

// New starts a server called primary.
func New(t testing.TB) *pgserver.Server {
	t.Helper()
	need.Packages(t, "postgresql-15")
	s, err := pgserver.Create(t.Context(), config(t, "primary"))
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// Mirror starts a server called mirror that follows principal.
func Mirror(t testing.TB, principal *pgserver.Server) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Mirror(t.Context(), config(t, "mirror"), principal)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// Credentials writes a password file with the administrator of server and the role rtc.
func Credentials(t testing.TB, server *pgserver.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgpass")
	text := fmt.Sprintf("*:*:*:%s:%s\n*:*:*:rtc:%s\n", pgserver.Admin, server.Password(), Password)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t testing.TB, s *pgserver.Server) {
	t.Helper()
	t.Cleanup(func() {
		s.Resume()
		if err := s.Kill(context.Background()); err != nil {
			t.Error(err)
		}
		if log, err := os.ReadFile(s.Log()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", s.Name(), log)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// config gives the server a folder that the user postgres can get at, and a free port.
func config(t testing.TB, name string) pgserver.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "trivet-pg-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return pgserver.Config{Dir: filepath.Join(dir, name), Addr: ln.Addr().String(), Name: name, Bound: true}
}
