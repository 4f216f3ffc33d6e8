package deb

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"trivet/link/sipclient"
	"trivet/test/peer/loopback"
	"trivet/test/peer/need"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// build makes the package in a folder of the test and returns its path.
func build(t *testing.T, version string) string {
	t.Helper()
	need.Packages(t, "dpkg-dev", "xz-utils")
	cmd := exec.Command("../../deploy/debian/build")
	cmd.Env = append(os.Environ(), "VERSION="+version, "OUT="+t.TempDir(), "SOURCE_DATE_EPOCH=1790000000", "MAINTAINER=Trivet maintainers <trivet@packages.debian.org>")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	return strings.TrimSpace(string(out))
}

// TestPackages builds once what the tests of it need.
func TestPackages(t *testing.T) {
	old, young := build(t, "1.0.0"), build(t, "1.1.0")
	t.Run("bytes", func(t *testing.T) { sameBytes(t, old) })
	t.Run("lintian", func(t *testing.T) { lintian(t, old) })
	t.Run("pages", func(t *testing.T) { pages(t, old) })
	t.Run("life", func(t *testing.T) { life(t, old, young) })
	t.Run("systemd", func(t *testing.T) { asksSystemd(t, old, young) })
}

// sameBytes: whoever builds a version gets the same package.
func sameBytes(t *testing.T, first string) {
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(build(t, "1.0.0")); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the second package differs from the first (%v)", err)
	}
}

// lintian has nothing to mind.
func lintian(t *testing.T, deb string) {
	need.Packages(t, "lintian")
	out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error,warning", deb).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// pages: the whole manual comes along, and its links lead somewhere.
func pages(t *testing.T, deb string) {
	root := t.TempDir()
	if out, err := exec.Command("dpkg-deb", "--extract", deb, root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	written, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(written) == 0 {
		t.Fatal(written, err)
	}
	link := regexp.MustCompile(`\]\(([^)#\s]+)`)
	for _, page := range written {
		path := filepath.Join(root, "usr/share/doc/trivet", filepath.Base(page))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", filepath.Base(page), m[1])
			}
		}
	}
}

// TestUnit has systemd judge the unit: no mistake in it, and little exposed.
func TestUnit(t *testing.T) {
	t.Parallel()
	need.Packages(t, "systemd")
	dir := t.TempDir()
	unit, err := os.ReadFile("../../deploy/systemd/trivet.service")
	if err != nil {
		t.Fatal(err)
	}
	// A Go program that crashes, or that the watchdog ends, has exit status 2.
	if regexp.MustCompile(`(?m)^(RestartPreventExitStatus|SuccessExitStatus)=`).Match(unit) {
		t.Error("a server that crashed would not be started again")
	}
	// The program and its pages are not installed where this runs.
	here := strings.NewReplacer("/usr/bin/trivet", "/bin/true", "Documentation=man:trivet-run(1) man:trivet.yaml(5)\n", "").Replace(string(unit))
	file := filepath.Join(dir, "trivet.service")
	if err := os.WriteFile(file, []byte(here), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput(); err != nil || strings.Contains(string(out), "trivet.service") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", file).CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
	t.Log(regexp.MustCompile(`Overall exposure.*`).FindString(string(out)))
	mixed := filepath.Join(dir, "trivet.service.d")
	if err := os.Mkdir(mixed, 0o755); err != nil {
		t.Fatal(err)
	}
	drop, err := os.ReadFile("../../deploy/systemd/ports-below-1024.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mixed, "ports.conf"), drop, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput(); err != nil || strings.Contains(string(out), "trivet.service") {
		t.Errorf("verify with ports below 1024: %v\n%s", err, out)
	}
}

const (
	erin     = uc.UserURI("sip:erin@example.test")
	friend   = "sip:friend@elsewhere.test"
	password = "A-long-enough-1-password"
	note     = `<note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal" uri="">back soon</body></note>`
)

// life takes the package from its installation to its purge, on a system without
// systemd, with the test in its place.
func life(t *testing.T, old, young string) {
	s, addr := newSystem(t), loopback.Addr(t).String()

	said := s.install(t, old)
	for _, want := range []string{"/etc/trivet/trivet.yaml", "systemctl enable --now trivet", "-GeneratePassword"} {
		if !strings.Contains(said, want) {
			t.Errorf("the installation does not tell of %s:\n%s", want, said)
		}
	}
	for what, want := range map[string]string{
		"stat -c '%a %U %G' /var/lib/trivet":                   "700 trivet trivet",
		"ls -A /var/lib/trivet":                                "trivet.yaml",
		"readlink /var/lib/trivet/trivet.yaml":                 "/etc/trivet/trivet.yaml",
		"getent passwd trivet | cut -d: -f6,7":                 "/var/lib/trivet:/usr/sbin/nologin",
		"trivet version | cut -d' ' -f2":                       "1.0.0",
		"man -w trivet-New-CsUser | wc -l":                     "1",
		"grep -vc '^ *#\\|^$' /etc/trivet/trivet.yaml || true": "0",
	} {
		if got := strings.TrimSpace(s.must(t, "sh", "-c", what)); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}

	settings := "domain: example.test\nlisten: " + addr + "\n"
	s.write(t, "/etc/trivet/trivet.yaml", "644", []byte(settings))
	server := s.start(t)
	server.hears(t, "WATCHDOG=1")
	s.must(t, "setpriv", "--reuid", "trivet", "--regid", "trivet", "--clear-groups", "trivet", "New-CsUser", "erin", "-Password", password, "--data", "/var/lib/trivet")
	c := signIn(t, addr)
	c.change(t)
	if got := c.state(t); got != "friend@elsewhere.test back soon" {
		t.Fatalf("before the upgrade: %q", got)
	}

	said = s.install(t, young)
	if !strings.Contains(said, "goes on as it was") {
		t.Errorf("the upgrade says:\n%s", said)
	}
	if got := c.state(t); got != "friend@elsewhere.test back soon" { // the server of before still runs
		t.Errorf("during the upgrade: %q", got)
	}
	server.Signal(syscall.SIGTERM)
	server.hears(t, "STOPPING=1")
	if err := server.Wait(t, patience); err != nil {
		t.Errorf("the server stops with %v", err)
	}
	server = s.start(t)
	if got := signIn(t, addr).state(t); got != "friend@elsewhere.test back soon" {
		t.Errorf("after the upgrade: %q", got)
	}
	if got := s.must(t, "trivet", "version"); !strings.HasPrefix(got, "trivet 1.1.0 ") {
		t.Errorf("the version is %s", got)
	}
	if got := s.must(t, "cat", "/etc/trivet/trivet.yaml"); got != settings {
		t.Errorf("the settings are now %s", got)
	}

	server.Signal(syscall.SIGTERM)
	if err := server.Wait(t, patience); err != nil {
		t.Errorf("the server stops with %v", err)
	}
	s.must(t, "dpkg", "--remove", "trivet")
	s.must(t, "test", "-f", "/var/lib/trivet/users.db", "-a", "-f", "/etc/trivet/trivet.yaml", "-a", "!", "-e", "/usr/bin/trivet")
	s.must(t, "dpkg", "--purge", "trivet")
	s.must(t, "test", "!", "-e", "/var/lib/trivet", "-a", "!", "-e", "/etc/trivet")
	s.must(t, "getent", "passwd", "trivet")
}

// systemctl stands in for systemd's: it notes what it is asked, and says that the
// service is active when the file active is there.
const systemctl = `#!/bin/sh
echo "$*" >>/fake/asked
case "$*" in *is-active*) test -e /fake/active ;; *is-enabled*) echo enabled ;; esac`

// asksSystemd: what the maintainer scripts want of systemd.
func asksSystemd(t *testing.T, old, young string) {
	s := newSystem(t)
	s.must(t, "mkdir", "-p", "/run/systemd/system", "/fake")
	s.write(t, "/fake/systemctl", "755", []byte(systemctl))
	asked := func() string {
		t.Helper()
		return s.must(t, "sh", "-c", "cat /fake/asked; : >/fake/asked")
	}
	acts := func(when, want string) {
		t.Helper()
		got := asked()
		for _, act := range []string{"start", "restart", "stop", "enable", "preset"} {
			if has := regexp.MustCompile(`(?m)(^| )` + act + ` .*trivet`).MatchString(got); has != (act == want) {
				t.Errorf("%s systemd is asked to %s: %v\n%s", when, act, has, got)
			}
		}
	}
	s.install(t, old)
	acts("at the installation", "")
	s.install(t, young)
	acts("at the upgrade of a server that does not run", "")
	s.write(t, "/fake/active", "644", nil)
	s.install(t, young)
	acts("at the upgrade of a server that runs", "restart")
	s.must(t, "dpkg", "--remove", "trivet")
	acts("at the removal", "stop")
	s.must(t, "dpkg", "--purge", "trivet")
	acts("at the purge", "")
}

// user is erin's client.
type user struct{ *sipclient.Client }

func signIn(t *testing.T, addr string) user {
	t.Helper()
	c, err := sipclient.Dial(t.Context(), sipclient.Config{Addr: addr + ":5060", User: erin, Password: password, Scheme: sipclient.Digest})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	u := user{c}
	u.do(t, c.Request("REGISTER", erin))
	return u
}

func (u user) do(t *testing.T, m *sip.Message) *sip.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := u.Do(ctx, m)
	if err != nil || res.Status != 200 {
		t.Fatalf("%s: %v\n%v", m.Method, err, res)
	}
	return res
}

// change adds a contact and publishes a note, and returns when both are
// acknowledged.
func (u user) change(t *testing.T) {
	t.Helper()
	for kind, body := range map[string][]byte{
		presdoc.TypeSOAP:    presdoc.ContactOp{Verb: presdoc.SetContact, URI: friend, Name: "Friend", Groups: []uint32{1}}.Append(nil),
		presdoc.TypePublish: presdoc.Publish{URI: string(erin), Publications: []presdoc.Publication{{Category: "note", Container: 200, Body: note}}}.Append(nil),
	} {
		m := u.Request("SERVICE", erin)
		m.Add("Content-Type", kind)
		m.Body = body
		u.do(t, m)
	}
}

// state is the first contact and the note.
func (u user) state(t *testing.T) string {
	t.Helper()
	list, err := presdoc.ParseContactList(u.poll(t, "vnd-microsoft-roaming-contacts"))
	if err != nil {
		t.Fatal(err)
	}
	self, err := presdoc.ParseRoaming(u.poll(t, "vnd-microsoft-roaming-self"))
	if err != nil || self.Categories == nil {
		t.Fatal(err)
	}
	text := ""
	for _, c := range list.Contacts {
		text += strings.TrimPrefix(c.URI, "sip:")
	}
	for _, c := range self.Categories.List {
		if c.Name == "note" && strings.Contains(c.Body, "back soon") {
			text += " back soon"
		}
	}
	return text
}

func (u user) poll(t *testing.T, event string) []byte {
	t.Helper()
	m := u.Request("SUBSCRIBE", erin)
	for _, h := range [][2]string{
		{"Contact", u.Contact()}, {"Event", event}, {"Accept", "application/" + event + "+xml"}, {"Expires", "0"},
		{"Supported", "ms-benotify, ms-piggyback-first-notify"}, {"Proxy-Require", "ms-benotify"},
	} {
		m.Add(h[0], h[1])
	}
	return u.do(t, m).Body
}
