// Package sipp runs SIPp (3.6, as Debian has it: UDP and TCP, Digest with MD5) as
// a plain SIP client in a test: it registers, sends page-mode messages, one or
// many in order, takes those that come, and talks in a conference. The scenarios
// are in scenario/.
//
// SIPp does exactly what its scenario says: any other answer of the server fails
// it, and its log of messages is printed with the failure of the test.
package sipp

import (
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"trivet/test/peer/child"
	"trivet/test/peer/need"
)

// Patience is how long the methods wait for SIPp.
const Patience = 60 * time.Second

//go:embed scenario
var scenarios embed.FS

// Account is who speaks, and to which server.
type Account struct {
	User, Domain string
	Login        string // name for Digest; "" is User
	Password     string
	Server       string // address:port
	Transport    string // "udp" or "tcp"
}

// Register registers once and returns why SIPp thinks that it failed.
func Register(t testing.TB, a Account) error {
	t.Helper()
	return a.start(t, "register", "-m", "1").Wait(t, Patience)
}

// Numbered is the text of the message with the number: SIPp writes all numbers
// with six decimals.
func Numbered(text string, number int) string { return fmt.Sprintf("%s%d.000000", text, number) }

// Send registers and sends count messages, Numbered from 1, each when the one
// before was answered. It returns why SIPp thinks that it failed.
func Send(t testing.TB, a Account, to, text string, count int) error {
	t.Helper()
	return a.start(t, "send", "-m", "1", "-key", "to", to, "-key", "text", text, "-key", "count", strconv.Itoa(count)).Wait(t, Patience)
}

// Listener is a registered client that takes messages.
type Listener struct{ program *child.Process }

// Listen registers and then takes messages until the test ends.
func Listen(t testing.TB, a Account) *Listener {
	t.Helper()
	l := &Listener{a.start(t, "listen", "-m", "1", "-oocsf", "answer.xml")}
	l.program.Await(t, "registration", Patience, func(line string) bool { return strings.Contains(line, "listening") })
	return l
}

// Received returns when the message from who (user@domain) with the text has come.
func (l *Listener) Received(t testing.TB, who, text string) {
	t.Helper()
	l.program.Await(t, fmt.Sprintf("message %q from %s", text, who), Patience, func(line string) bool {
		from, got, ok := heard(line)
		return ok && from == who && got == text
	})
}

// Texts returns the texts of all messages so far.
func (l *Listener) Texts() (texts []string) {
	for _, line := range l.program.Lines() {
		if _, text, ok := heard(line); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// heard reads the line that answer.xml logs of a message; SIPp's own words, which
// do not end their line, may stand before it.
func heard(line string) (from, text string, ok bool) {
	if _, line, ok = strings.Cut(line, "message from sip:"); !ok {
		return "", "", false
	}
	return strings.Cut(line, ": ")
}

// Meet registers and calls a conference for messages. It answers each message with
// the text, Numbered from 1, and hangs up when somebody says goodbye. See Left.
func Meet(t testing.TB, a Account, conference, text string) *Listener {
	t.Helper()
	l := &Listener{a.start(t, "meet", "-m", "1", "-key", "conference", conference, "-key", "text", text)}
	l.program.Await(t, "the conference", Patience, func(line string) bool { return strings.Contains(line, "joined") })
	return l
}

// Left returns why SIPp thinks that what it was to do in the conference failed, once
// it has hung up.
func (l *Listener) Left(t testing.TB) error { t.Helper(); return l.program.Wait(t, Patience) }

func (a *Account) start(t testing.TB, scenario string, args ...string) *child.Process {
	t.Helper()
	need.Packages(t, "sip-tester")
	dir := t.TempDir()
	if err := os.CopyFS(dir, scenarios); err != nil {
		t.Fatal(err)
	}
	transport, login := map[string]string{"udp": "u1", "tcp": "t1"}[a.Transport], a.Login
	if transport == "" {
		t.Fatalf("sipp: there is no transport %q, only udp and tcp", a.Transport)
	}
	if login == "" {
		login = a.User
	}
	all := append([]string{
		a.Server, "-sf", scenario + ".xml", "-t", transport, "-i", "127.0.0.1", "-p", freePort(t), "-nostdin",
		"-s", a.User, "-au", login, "-ap", a.Password, "-key", "domain", a.Domain, "-auth_uri", a.Domain, "-deadcall_wait", "0",
		"-trace_logs", "-log_file", "/dev/stdout", "-trace_err", "-error_file", "/dev/stdout",
		"-trace_msg", "-message_file", "messages", "-max_socket", "64",
	}, args...)
	cmd := exec.Command("sipp", all...)
	cmd.Dir = filepath.Join(dir, "scenario")
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(cmd.Dir, "messages")); t.Failed() && err == nil {
			const last = 3000
			t.Logf("messages of sipp %s:\n%s", scenario, text[max(0, len(text)-last):])
		}
	})
	return child.Start(t, "sipp "+scenario, cmd)
}

// freePort returns a port that was free a moment ago on UDP and TCP.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
