package durability

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/rule/directory"
	"trivet/service/auth"
	"trivet/store/users"
	"trivet/test/peer/child"
	"trivet/test/peer/loopback"
	"trivet/uc"
)

const (
	domain   = "example.test"
	fqdn     = "sip." + domain
	password = "Durable-Pa55word"
	// patience is for a machine that runs many tests at once.
	patience = 60 * time.Second
)

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := binaryDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

var binaryDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "trivet-durability") })

// binary builds the program and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := binaryDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "trivet")
	build := exec.Command("go", "build", "-o", program, "trivet/cmd/trivet")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build trivet/cmd/trivet: %w\n%s", err, out)
	}
	return program, nil
})

// server is a data folder and the processes that serve it one after the other.
type server struct {
	program string
	addr    netip.Addr
	data    string
	process *child.Process
}

// groups is the number of routing groups of a server.
const groups = 8

// newServer makes a data folder with users of the usual password.
func newServer(t *testing.T, names ...string) *server {
	t.Helper()
	s := emptyServer(t)
	s.populate(t, groups, names...)
	return s
}

func emptyServer(t *testing.T) *server {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{program: program, addr: loopback.Addr(t), data: filepath.Join(t.TempDir(), "data")}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// populate creates users, spread over the first routing groups.
func (s *server) populate(t *testing.T, groups int, names ...string) {
	t.Helper()
	ca, err := pki.Open(pki.Config{Dir: s.data, Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Names: pki.Names{Server: fqdn, Pool: fqdn, Domains: []string{domain}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	key, err := ca.Secret("seal", 32)
	if err != nil {
		t.Fatal(err)
	}
	store := s.directory(t, groups)
	defer store.Close()
	signIn, err := auth.New(auth.Config{Directory: store, SealKey: key, TicketKey: key, Domains: []string{domain}})
	if err != nil {
		t.Fatal(err)
	}
	var all []users.New
	for _, name := range names {
		u := directory.User{
			GUID: uuid.NewString(), SipAddress: address(name), UserPrincipalName: name + "@" + domain, SamAccountName: name,
			DisplayName: name, Enabled: true, EnabledForRichPresence: true, RegistrarPool: fqdn,
		}
		all = append(all, users.New{User: u, Secrets: signIn.SIPSecrets(&u, password)})
	}
	if _, err := store.Create(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
}

func address(name string) uc.UserURI { return uc.UserURI("sip:" + name + "@" + domain) }

// directory opens the database of a server that does not run.
func (s *server) directory(t *testing.T, groups int) *users.SQLite {
	t.Helper()
	store, err := users.OpenSQLite(t.Context(), filepath.Join(s.data, "users.db"), users.Options{Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// start starts a process, which ends with t at the latest.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.process = child.Start(t, "trivet", exec.Command(s.program, "run", "--data", s.data, "--domain", domain, "--listen", s.addr.String(),
		"--sip-tcp", s.at(5060), "--sip-udp", s.at(5060), "--sip-tls", s.at(5061), "--https", s.at(8443)))
}

// run is start until ready, and how long that took.
func (s *server) run(t *testing.T) time.Duration {
	t.Helper()
	begin := time.Now()
	s.start(t)
	s.process.Await(t, "the line ready", patience, func(line string) bool { return strings.HasPrefix(line, "ready") })
	return time.Since(begin)
}

func (s *server) at(port uint16) string { return netip.AddrPortFrom(s.addr, port).String() }

// cmdlet runs a cmdlet as the owner of the data folder.
func (s *server) cmdlet(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.program, append(args, "--data", s.data)...)
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("trivet %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	return out, err
}

// must is cmdlet where it has to succeed.
func (s *server) must(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := s.cmdlet(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
