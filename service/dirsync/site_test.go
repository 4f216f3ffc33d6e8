package dirsync

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/kit/clock"
	"trivet/kit/conf"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/kit/metric"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/store/syncstate"
	"trivet/store/users"
	"trivet/test/peer/slapd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hand is a clock whose hand is moved by the test.
type hand struct {
	clock.Real
	mu    sync.Mutex
	ahead time.Duration
}

func (h *hand) Now() time.Time          { h.mu.Lock(); defer h.mu.Unlock(); return time.Now().Add(h.ahead) }
func (h *hand) forward(d time.Duration) { h.mu.Lock(); h.ahead += d; h.mu.Unlock() }

// site is a directory, and the service that follows it.
type site struct {
	*testing.T
	*Service
	ldap  *slapd.Server
	store *users.SQLite
	clock *hand
	dir   string
	life  *life.Group
	list  []conf.DirectorySource
}

// settings are those of one source as JSON, which is YAML.
func settings(t testing.TB, s *slapd.Server, change map[string]any) map[string]any {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(slapd.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{
		"name": "corp", "kind": "inetorgperson", "servers": []string{s.URL}, "ca": s.CA, "bind-dn": s.Manager(), "password-file": password,
		"users":  map[string]any{"bases": []string{"ou=people," + s.Suffix}},
		"groups": map[string]any{"bases": []string{"ou=groups," + s.Suffix}}, "every": "0s", "timeout": "5s",
	}
	for k, v := range change {
		all[k] = v
	}
	return all
}

func load(t testing.TB, sources ...map[string]any) []conf.DirectorySource {
	t.Helper()
	text, err := json.Marshal(sources)
	if err != nil {
		t.Fatal(err)
	}
	s, err := conf.Load(t.TempDir(), map[string]string{"directory.sources": string(text)})
	if err != nil {
		t.Fatal(err)
	}
	return s.Directory.Sources
}

// open makes a site with a directory that has anna, bert and cora.
func open(t *testing.T, change map[string]any) *site {
	t.Helper()
	s := &site{T: t, ldap: slapd.New(t, slapd.Options{}), clock: &hand{}, dir: t.TempDir()}
	s.ldap.Root(t, "people", "groups")
	s.ldap.Apply(t, s.ldap.Person("anna")+s.ldap.Person("bert")+s.ldap.Person("cora"))
	s.list = load(t, settings(t, s.ldap, change))
	s.start()
	return s
}

// start opens the stores and makes the service.
func (s *site) start() {
	s.Helper()
	ctx := context.Background()
	var err error
	if s.store, err = users.OpenSQLite(ctx, filepath.Join(s.dir, "users.db"), users.Options{Clock: s.clock}); err != nil {
		s.Fatal(err)
	}
	state, err := syncstate.Open(ctx, filepath.Join(s.dir, "dirsync.db"))
	if err != nil {
		s.Fatal(err)
	}
	s.life = life.New(ctx, log.Discard())
	group, store := s.life, s.store
	s.Cleanup(func() {
		if err := group.Stop(context.Background()); err != nil {
			s.Error(err)
		}
		store.Close()
		state.Close()
	})
	s.Service, err = New(ctx, Config{
		Sources: s.list, Folder: s.dir, Domains: []string{"example.test"}, Users: s.store, State: state,
		Home: func(u *directory.User) { u.Enabled, u.RegistrarPool = true, "sip.example.test" },
		Life: s.life, Clock: s.clock, Log: slog.New(slog.DiscardHandler), Metrics: metric.New(),
	})
	if err != nil {
		s.Fatal(err)
	}
}

// sync runs the source and wants it to be applied.
func (s *site) sync() dirsync.State {
	s.Helper()
	st := s.run1(dirsync.Options{})
	if st.Phase != dirsync.Ready {
		s.Fatalf("the source is %s: %s", st.Phase, st.Problem)
	}
	return st
}

// run1 runs the source.
func (s *site) run1(o dirsync.Options) dirsync.State {
	s.Helper()
	r, err := s.Update(s.Context(), "corp", o)
	if err != nil {
		s.Fatal(err)
	}
	return r[0].State
}

// user returns the user with that address, one without GUID for nobody.
func (s *site) user(name string) directory.User {
	u, err := s.store.Find(s.Context(), name+"@example.test")
	if err != nil {
		return directory.User{}
	}
	return u
}

func (s *site) dn(name string) string { return "uid=" + name + ",ou=people," + s.ldap.Suffix }

// modify changes an attribute of a person, "" removes it. A colon after its name says
// that the value is in base64.
func (s *site) modify(name, attribute, value string) {
	s.Helper()
	ldif := "dn: " + s.dn(name) + "\nchangetype: modify\nreplace: " + strings.TrimSuffix(attribute, ":") + "\n"
	if value != "" {
		ldif += attribute + ": " + value + "\n"
	}
	s.ldap.Apply(s, ldif+"\n")
}

func (s *site) remove(names ...string) {
	s.Helper()
	var b strings.Builder
	for _, n := range names {
		b.WriteString("dn: " + s.dn(n) + "\nchangetype: delete\n\n")
	}
	s.ldap.Apply(s, b.String())
}

var logless = slog.New(slog.DiscardHandler)

// jpeg is the smallest picture.
var jpeg = func() []byte {
	b, err := base64.StdEncoding.DecodeString("/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AN//Z")
	if err != nil {
		panic(err)
	}
	return b
}()

// bundle is a file with the authorities of several servers.
func bundle(t testing.TB, files ...string) string {
	t.Helper()
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
