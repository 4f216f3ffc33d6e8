package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/admin"
	"trivet/admin/client"
	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/link/httpd"
	"trivet/link/pki"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/store/central"
	"trivet/store/users"
	"trivet/uc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var rewrite = flag.Bool("update", false, "rewrite testdata/*.golden")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type stopped struct{ clock.Real }

func (stopped) Now() time.Time { return noon }

// deployment is a small one: a real directory, a pool of one, made-up
// certificates.
type deployment struct {
	users.Store
	made               int
	passwords          map[string]string
	certs              fakeCertificates
	policies           *central.Policies
	backEnd, recovered bool              // there is one
	topology           []byte            // as published
	principal          string            // of it
	state              *groupstate.State // of the users, made when it is asked for
}

func (d *deployment) Users() cmdlet.Users               { return d }
func (d *deployment) Pool() cmdlet.Pool                 { return fakePool{} }
func (d *deployment) Certificates() cmdlet.Certificates { return &d.certs }
func (d *deployment) Policies() cmdlet.Policies         { return d.policies }

func (d *deployment) List(ctx context.Context, pattern string, f directory.Filter, limit int) ([]directory.User, error) {
	return d.Store.List(ctx, users.Query{Pattern: pattern, Filter: f, Limit: limit})
}

func (d *deployment) Create(ctx context.Context, u directory.User, password string) (directory.User, error) {
	d.made++
	u.GUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", d.made)
	made, err := d.Store.Create(ctx, users.New{User: u})
	if err != nil {
		return u, err
	}
	d.passwords[made[0].UserPrincipalName] = password
	return made[0], nil
}

func (d *deployment) Groups() cmdlet.Groups { return d.Store }

func (d *deployment) DirectorySync() cmdlet.DirectorySync { return fakeSync{} }
func (d *deployment) Photos() cmdlet.Photos               { return d.Store }

func (d *deployment) Import(ctx context.Context, mode cmdlet.ImportMode, list []cmdlet.Import) ([]cmdlet.Imported, error) {
	writes := make([]users.Write, len(list))
	for i, x := range list {
		writes[i] = users.Write{GUID: x.GUID, Change: x.Change}
		if x.GUID == "" {
			d.made++
			x.User.GUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", d.made)
			writes[i].New = &users.New{User: x.User}
		}
	}
	outcomes, err := d.Store.Batch(ctx, users.BatchMode(mode), writes)
	made := make([]cmdlet.Imported, len(outcomes))
	for i, o := range outcomes {
		made[i] = cmdlet.Imported{User: o.User, Refused: o.Refused}
		if x := list[i]; o.Refused == nil && mode != cmdlet.Trial && x.Password != "" {
			d.passwords[o.User.UserPrincipalName] = x.Password
		}
	}
	return made, err
}

func (d *deployment) SetPassword(ctx context.Context, guid, password string) error {
	u, err := d.ByGUID(ctx, guid)
	d.passwords[u.UserPrincipalName] = password
	return err
}

type fakePool struct{}

func (fakePool) FQDN() uc.PoolFQDN  { return "sip.example.test" }
func (fakePool) Domains() []string  { return []string{"example.test"} }
func (fakePool) HomeServer() string { return "sip.example.test" }

func (fakePool) Placement(context.Context, uc.UserURI) (cmdlet.Placement, error) {
	return cmdlet.Placement{Pool: "sip.example.test", Machines: []uc.ServerFQDN{"sip.example.test"}, Primary: "sip.example.test"}, nil
}

func (fakePool) Endpoints(_ context.Context, u uc.UserURI) ([]cmdlet.Endpoint, error) {
	return []cmdlet.Endpoint{{ID: "abb2cb12b77f", Contact: "sip:127.0.0.1:40718", Server: "sip.example.test", Transport: "tls", Remote: "127.0.0.1:40718",
		UserAgent: "Purple/2.14.12\x1b[2J", Registered: noon, Expires: noon.Add(time.Hour), Connected: true}}, nil
}

func (fakePool) Services(context.Context) ([]cmdlet.Service, error) {
	return []cmdlet.Service{
		{Name: "RTCSRV", Role: "Registrar", Computer: "sip.example.test", Pool: "sip.example.test", Running: true, Activity: "12 connections"},
		{Name: "RTCSRV", Role: "UserServer", Computer: "sip.example.test", Pool: "sip.example.test", Running: true, Problem: "Routing group 3 has no primary."},
		{Name: "W3SVC", Role: "WebServer", Computer: "sip.example.test", Pool: "sip.example.test"},
	}, nil
}

type fakeCertificates struct{ used []string }

func (f *fakeCertificates) info(use ...pki.Use) pki.Info {
	return pki.Info{Thumbprint: "AB12", Subject: "CN=sip.example.test", Issuer: "CN=Trivet", Serial: "01", Names: []string{"sip.example.test"},
		NotBefore: noon, NotAfter: noon.AddDate(1, 0, 0), Uses: use, Own: true}
}
func (f *fakeCertificates) List() []pki.Info {
	return []pki.Info{f.info(pki.Default), f.info(pki.TLSDSK)}
}
func (f *fakeCertificates) Request(pki.Use, []string) (pki.Info, error) {
	return f.info(), nil
}
func (f *fakeCertificates) SigningRequest(pki.Use, []string) ([]byte, error) {
	return []byte("-----BEGIN CERTIFICATE REQUEST-----\n"), nil
}
func (f *fakeCertificates) Import(cert, key []byte) (pki.Info, error) {
	if string(cert) != "certificate" || string(key) != "key" {
		return pki.Info{}, fault.New(fault.Invalid, "test", "the file has no certificate in PEM form")
	}
	return f.info(), nil
}
func (f *fakeCertificates) Use(u pki.Use, thumbprint string) error {
	f.used = append(f.used, string(u)+" "+thumbprint)
	return nil
}
func (f *fakeCertificates) Remove(string) error {
	return fault.New(fault.NotFound, "test", "no certificate has this thumbprint")
}
func (f *fakeCertificates) Clients(_ context.Context, u uc.UserURI) ([]pki.ClientCert, error) {
	return []pki.ClientCert{{User: u, Device: "{7b1d}", Serial: "02", Issued: noon, Expires: noon.AddDate(0, 0, 180)}}, nil
}
func (f *fakeCertificates) Revoke(context.Context, uc.UserURI, string) (int, error) { return 1, nil }

// site is a running management service with its data folder.
type site struct {
	*testing.T
	data   string
	server *admin.Server
	dep    *deployment
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, data: t.TempDir()}
	store, err := users.OpenSQLite(t.Context(), filepath.Join(s.data, "users.db"), users.Options{Clock: stopped{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	config, err := central.OpenSQLite(t.Context(), filepath.Join(s.data, "central.db"), stopped{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { config.Close() })
	policies, err := central.OpenPolicies(t.Context(), config, "Main", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.dep = &deployment{Store: store, passwords: map[string]string{}, policies: policies}
	s.server = admin.New(admin.Config{Deployment: s.dep, SignIn: s.signIn, Audit: filepath.Join(s.data, "audit.log"), Clock: stopped{}, Log: log.Discard()})
	g := life.New(context.Background(), log.Discard())
	if err := httpd.Local(t.Context(), g, filepath.Join(s.data, client.SocketName), s.server.Local(), log.Discard()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// signIn lets in whoever gives the password "right".
func (s *site) signIn(ctx context.Context, login, password, _ string) (string, []string, error) {
	u, err := s.dep.Find(ctx, login)
	if err != nil || password != "right" {
		return "", nil, fault.New(fault.Unauthenticated, "test", "Name or password is wrong.")
	}
	return label(u), u.AdminRoles, nil
}

func label(u directory.User) string { return string(u.SipAddress) }

// shell runs one command line and returns what it printed and its status.
func (s *site) shell(in string, args ...string) (out, errs string, status int) {
	var o, e bytes.Buffer
	session := &client.Session{Target: client.Target{Data: s.data}, In: strings.NewReader(in), Out: &o, Err: &e, Clock: stopped{}, Zone: time.UTC}
	status = session.Run(s.Context(), args[0], args[1:])
	return o.String(), e.String(), status
}

// TestTranscript runs testdata/NAME.script line by line; what each printed
// stands in NAME.golden. go test ./admin -update writes it anew.
func TestTranscript(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.script")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range scripts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := newSite(t)
			s.dep.backEnd = filepath.Base(path) == "databases.script"
			got := s.transcript(path)
			golden := strings.TrimSuffix(path, ".script") + ".golden"
			if *rewrite {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the transcript differs from %s (%v):\n%s", golden, err, got)
			}
		})
	}
}

func (s *site) transcript(path string) []byte {
	script, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	for name, text := range scriptFiles(s.T) {
		if err := os.WriteFile(filepath.Join(s.data, name), []byte(text), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	var got bytes.Buffer
	for line := range strings.Lines(string(script)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			fmt.Fprintln(&got, line)
			continue
		}
		command, in, _ := strings.Cut(line, " << ")
		out, errs, status := s.shell(in+"\n", words(strings.ReplaceAll(command, "DATA", s.data))...)
		fmt.Fprintf(&got, "> %s\n%s", line, out)
		for e := range strings.Lines(errs) {
			fmt.Fprint(&got, "! ", e)
		}
		if status != 0 {
			fmt.Fprintf(&got, "= %d\n", status)
		}
	}
	return bytes.ReplaceAll(got.Bytes(), []byte(s.data), []byte("DATA"))
}

// scriptFiles are the files beside a script, by name.
func scriptFiles(t *testing.T) map[string]string {
	files := map[string]string{"cert.pem": "certificate", "key.pem": "key", "photo.txt": "no picture"}
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 48, 48))); err != nil {
		t.Fatal(err)
	}
	files["photo.png"] = picture.String()
	sheets, err := filepath.Glob("testdata/*.[cy]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sheets {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = string(b)
	}
	return files
}

// words splits at spaces outside double quotes.
func words(line string) []string {
	var list []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

func TestNotReached(t *testing.T) {
	t.Parallel()
	s := &site{T: t, data: t.TempDir()}
	if _, errs, status := s.shell("", "Get-CsUser"); status != client.NotReached || !strings.Contains(errs, "No server runs in") {
		t.Errorf("%d %s", status, errs)
	}
}

func TestGeneratedPasswordIsShownOnceAndNeverAudited(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	out, errs, status := s.shell("", "New-CsUser", "alice", "-GeneratePassword")
	var rows []struct{ Password string }
	if err := json.Unmarshal([]byte(out), &rows); err != nil || status != 0 || len(rows) != 1 || rows[0].Password == "" {
		t.Fatalf("%d %s %s %v", status, out, errs, err)
	}
	if s.dep.passwords["alice@example.test"] != rows[0].Password {
		t.Error("another password was set than shown")
	}
	if out, _, _ := s.shell("", "Get-CsUser", "alice"); strings.Contains(out, "Password") {
		t.Errorf("Get-CsUser shows a password: %s", out)
	}
	if _, errs, status := s.shell("new-pass-word\n", "Set-CsUserPassword", "alice", "-Password", "-"); status != 0 || s.dep.passwords["alice@example.test"] != "new-pass-word" {
		t.Errorf("password from standard input: %d %s", status, errs)
	}
	b, err := os.ReadFile(filepath.Join(s.data, "audit.log"))
	if err != nil || bytes.Contains(b, []byte(rows[0].Password)) || bytes.Contains(b, []byte("new-pass-word")) || !bytes.Contains(b, []byte(`"Password":"[redacted]"`)) {
		t.Errorf("audit: %v %s", err, b)
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, errs, status := s.shell("", "New-CsUser", "alice", "-Password", "correct horse"); status != 0 {
		t.Fatal(errs)
	}
	for _, c := range []struct {
		in, says string
		status   int
		stays    bool
	}{
		{"", "-Confirm needs an answer", client.WrongUse, true}, {"n\n", "Nothing was done.", client.Done, true}, {"y\n", "Do it?", client.Done, false},
	} {
		_, errs, status := s.shell(c.in, "Remove-CsUser", "alice", "-Confirm")
		if _, err := s.dep.Find(t.Context(), "alice"); status != c.status || !strings.Contains(errs, c.says) || (err == nil) != c.stays {
			t.Errorf("answer %q: %d %s, stays: %v", c.in, status, errs, err)
		}
	}
}

// remote asks over HTTP as an administrator would.
func (s *site) remote(login, password, name, body string) (int, string) {
	s.Helper()
	r := httptest.NewRequest("POST", "/api/cmdlet/"+name, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if login != "" {
		r.SetBasicAuth(login, password)
	}
	w := httptest.NewRecorder()
	s.server.Remote().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, role := range map[string]string{"root": "CsAdministrator", "ua": "CsUserAdministrator", "view": "CsViewOnlyAdministrator", "desk": "CsHelpDesk", "alice": "$null"} {
		if _, errs, status := s.shell("", "New-CsUser", name, "-Password", "correct horse"); status != 0 {
			t.Fatal(errs)
		}
		if _, errs, status := s.shell("", "Set-CsAdminRoleAssignment", name, "-Role", role); status != 0 {
			t.Fatal(errs)
		}
	}
	for _, c := range []struct {
		who, cmdlet, parameters string
		status                  int
	}{
		{"", "Get-CsUser", `{}`, 401}, {"alice", "Get-CsUser", `{}`, 403},
		{"root", "Get-CsUser", `{}`, 200}, {"ua", "Get-CsUser", `{}`, 200}, {"view", "Get-CsUser", `{}`, 200}, {"desk", "Get-CsUser", `{}`, 200},
		{"view", "Set-CsUser", `{"Identity": "alice", "Title": "x"}`, 403}, {"desk", "Set-CsUserPassword", `{"Identity": "alice", "GeneratePassword": true}`, 403},
		{"ua", "Set-CsUser", `{"Identity": "alice", "Title": "x"}`, 200}, {"ua", "Set-CsUserPassword", `{"Identity": "root", "Password": "taken over"}`, 403},
		{"ua", "Set-CsAdminRoleAssignment", `{"Identity": "ua", "Role": ["CsAdministrator"]}`, 403}, {"ua", "Remove-CsUser", `{"Identity": "desk"}`, 403},
		{"ua", "Set-CsCertificate", `{"Type": ["Default"], "Thumbprint": "AB"}`, 403}, {"root", "Set-CsCertificate", `{"Type": ["Default"], "Thumbprint": "ab 12"}`, 200},
		{"desk", "Revoke-CsClientCertificate", `{"Identity": "alice"}`, 200}, {"root", "Test-CsIM", `{}`, 501}, {"root", "Get-Nothing", `{}`, 404},
		{"root", "Get-CsUser", `{"Colour": 1}`, 400}, {"root", "Get-CsUser", `[]`, 400},
	} {
		if status, body := s.remote(c.who, "right", c.cmdlet, `{"Parameters": `+c.parameters+`}`); status != c.status {
			t.Errorf("%s %s %s: %d %s, want %d", c.who, c.cmdlet, c.parameters, status, body, c.status)
		}
	}
	if len(s.dep.certs.used) != 1 || s.dep.certs.used[0] != "Default AB12" {
		t.Errorf("certificates put in place: %v", s.dep.certs.used)
	}
	if status, _ := s.remote("root", "wrong", "Get-CsUser", `{}`); status != 401 {
		t.Errorf("a wrong password: %d", status)
	}
	if status, body := s.remote("root", "right", "Get-CsUser", `{"Parameters": {}} {}`); status != 400 {
		t.Errorf("two objects: %d %s", status, body)
	}
	r := httptest.NewRequest("POST", "/api/cmdlet/Get-CsUser", strings.NewReader(`{}`))
	r.Header.Set("Content-Type", "text/plain")
	r.SetBasicAuth("root", "right")
	w := httptest.NewRecorder()
	s.server.Remote().ServeHTTP(w, r)
	if w.Code != 400 {
		t.Errorf("a form of another site: %d", w.Code)
	}
}

func TestAuditThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := os.Mkdir(filepath.Join(s.data, "audit.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := s.shell("", "Get-CsUser"); status != client.Failed || !strings.Contains(errs, "audit file cannot be written") {
		t.Errorf("%d %s", status, errs)
	}
}
