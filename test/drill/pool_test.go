package drill

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/box"
	"trivet/test/peer/need"
	"trivet/test/peer/pidgin"
)

const (
	domain   = "example.test"
	patience = 60 * time.Second
)

// The people of a pool.
const (
	alice = "sip:alice@" + domain
	bob   = "sip:bob@" + domain
	carol = "sip:carol@" + domain
)

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := programDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

var programDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "trivet-drill") })

// program builds the program and returns its path.
var program = sync.OnceValues(func() (string, error) { return build("") })

// build builds the program as a release, "" for none, and returns its path.
func build(release string) (string, error) {
	dir, err := programDir()
	if err != nil {
		return "", err
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "trivet"+release)
	build := exec.Command("go", "build", "-ldflags", "-X main.release="+release, "-o", file, "./cmd/trivet")
	build.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/trivet: %w\n%s", err, out)
	}
	return file, nil
}

// Pool is a pool of real processes.
type Pool struct {
	*box.Box
	t         *testing.T
	program   string
	passwords map[string]string // by SIP address
}

// Start starts a pool with nobody in it and does not wait.
func Start(t *testing.T, spec box.Spec) *Pool {
	t.Helper()
	if spec.BackEnd {
		need.Packages(t, "postgresql-15")
	}
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "drill")
	if err == nil {
		err = os.Chmod(dir, 0o711) // the user postgres has to get through
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	spec.Dir, spec.Domain = filepath.Join(dir, "pool"), domain
	if spec.Program == nil {
		spec.Program = []string{file, "server"}
	}
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	b, err := box.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	p := &Pool{Box: b, t: t, program: file, passwords: map[string]string{}}
	t.Cleanup(func() {
		if t.Failed() {
			p.logs()
		}
		if err := b.Close(context.Background()); err != nil {
			t.Log(err)
		}
	})
	return p
}

// Ready starts a pool of three and waits for it, with users.
func Ready(t *testing.T, spec box.Spec, users ...string) *Pool {
	t.Helper()
	p := Start(t, spec)
	p.AllReady()
	for _, u := range users {
		p.NewUser(u)
	}
	return p
}

// soon is the time in which something has to happen.
func (p *Pool) soon() context.Context {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	p.t.Cleanup(cancel)
	return ctx
}

func (p *Pool) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// AllReady waits until every server serves.
func (p *Pool) AllReady() { p.t.Helper(); p.must(p.AwaitReady(p.soon())) }

// Wait waits for the state of a server.
func (p *Pool) Wait(name string, states ...box.State) {
	p.t.Helper()
	p.must(p.Await(p.soon(), name, states...))
}

// Cmdlet runs a cmdlet as the owner of a server's data folder.
func (p *Pool) Cmdlet(at string, args ...string) (string, error) {
	cmd := exec.CommandContext(p.soon(), p.program, append(args, "--data", p.server(at).Data)...)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s at %s: %w\n%s%s", args[0], at, err, out.String(), bad.String())
	}
	return out.String(), nil
}

// WhatIf is what a cmdlet says that it would do.
func (p *Pool) WhatIf(at string, args ...string) string {
	p.t.Helper()
	out, err := exec.CommandContext(p.soon(), p.program, append(args, "-WhatIf", "--data", p.server(at).Data)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

func (p *Pool) server(name string) box.Server {
	for _, s := range p.Plan.Servers {
		if s.Name == name {
			return s
		}
	}
	p.t.Fatalf("no server %s", name)
	return box.Server{}
}

// NewUser makes a user at the first server.
func (p *Pool) NewUser(address string) { p.t.Helper(); p.NewUserAt("fe1", address) }

// NewUserAt makes a user at a server.
func (p *Pool) NewUserAt(at, address string) {
	p.t.Helper()
	out, err := p.Cmdlet(at, "New-CsUser", "-Identity", strings.TrimPrefix(address, "sip:"), "-GeneratePassword", "-As", "json")
	p.must(err)
	var made []struct{ Password string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made) != 1 || made[0].Password == "" {
		p.t.Fatalf("New-CsUser printed %s", out)
	}
	p.passwords[address] = made[0].Password
}

// Primary asks a server who leads the user's group; "" for nobody.
func (p *Pool) Primary(at, user string) string {
	p.t.Helper()
	out, err := p.Cmdlet(at, "Get-CsUserPoolInfo", "-Identity", user, "-As", "json")
	p.must(err)
	var got []struct{ PrimaryPoolPrimaryRegistrar string }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
		p.t.Fatalf("Get-CsUserPoolInfo printed %s", out)
	}
	name, _, _ := strings.Cut(got[0].PrimaryPoolPrimaryRegistrar, ".")
	return name
}

// Groups are the groups of the pool as a server has them.
func (p *Pool) Groups(at string) (list []Group) {
	p.t.Helper()
	out, err := p.Cmdlet(at, "Get-CsPoolFabricState", "-As", "json")
	p.must(err)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		p.t.Fatalf("Get-CsPoolFabricState printed %s", out)
	}
	return list
}

// Group is a line of Get-CsPoolFabricState.
type Group struct {
	Service, State, Primary, Secondaries, Missing, Copies string
	Group, Behind                                         uint64
}

// Whole reports whether every group has all of its copies, none of them far behind.
func (p *Pool) Whole(at string) bool {
	p.t.Helper()
	list := p.Groups(at)
	for _, g := range list {
		if g.State != "Healthy" || g.Behind > 100 {
			return false
		}
	}
	return len(list) > 2
}

// account is a user who signs in at a server first.
func (p *Pool) account(user, at string) pidgin.Account {
	names := map[string]string{}
	for _, s := range p.Plan.Servers {
		names[string(s.FQDN)] = s.Addr.String()
	}
	names[string(p.Plan.Pool)] = p.server(at).Addr.String()
	bare := strings.TrimPrefix(user, "sip:")
	return pidgin.Account{
		SignIn: bare, Login: bare, Password: p.passwords[user], Server: string(p.Plan.Pool) + ":5061", Transport: "tls",
		Machine: "pc-" + bare[:strings.Index(bare, "@")], CA: filepath.Join(p.Plan.Keys(), "ca.pem"), Names: names,
	}
}

// SignIn has a user's Lync client sign in over the pool's name, which stands for a server.
func (p *Pool) SignIn(user, at string) *pidgin.Client {
	p.t.Helper()
	return pidgin.Start(p.t, p.account(user, at)).SignOn(p.t)
}

// logs prints the ends of the servers' logs.
func (p *Pool) logs() {
	for _, s := range p.Plan.Servers {
		b, err := os.ReadFile(s.Log)
		if err != nil {
			continue
		}
		lines := strings.Split(string(b), "\n")
		p.t.Logf("the log of %s ends with\n%s", s.Name, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
}

// await polls for what other processes bring about.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// Metrics are those of a server, by name.
func (p *Pool) Metrics(at string) map[string]float64 {
	p.t.Helper()
	ca, err := os.ReadFile(filepath.Join(p.Plan.Keys(), "ca.pem"))
	p.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	s := p.server(at)
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: string(s.FQDN)}}}
	q, err := http.NewRequestWithContext(p.soon(), "GET", "https://"+s.Addr.String()+":8443/metrics", nil)
	p.must(err)
	r, err := web.Do(q)
	p.must(err)
	defer r.Body.Close()
	all := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}
