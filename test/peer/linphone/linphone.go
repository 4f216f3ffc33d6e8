// Package linphone runs the SIP phone linphonec (5.1, as Debian has it) as a
// client in a test: it registers with Digest, over UDP or TCP, and is the client
// of the suite that knows SHA-256 ([RFC 7616]). Its own debug log shows which
// algorithm it chose.
//
// Methods that take t end the test when the phone stays silent. A Phone belongs
// to the goroutine of its test.
package linphone

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/test/peer/child"
	"trivet/test/peer/need"
)

// Patience is how long the methods wait for the phone.
const Patience = 60 * time.Second

// Account is who registers, and where.
type Account struct {
	User, Domain string
	Password     string // without blanks: they end it
	Server       string // address:port of the server
	Transport    string // "udp" or "tcp"
}

// Phone is a running phone.
type Phone struct {
	program  *child.Process
	keyboard io.Writer
}

// config makes the phone listen on loopback only, with a port for each transport.
const config = "[sip]\nsip_port=-1\nsip_tcp_port=-1\nsip_tls_port=0\nuse_ipv6=0\nbind_address=127.0.0.1\n"

// Start starts a phone, which registers. See Registered and Refused.
func Start(t testing.TB, a Account) *Phone {
	t.Helper()
	need.Packages(t, "linphone-cli")
	home := t.TempDir()
	err := os.MkdirAll(filepath.Join(home, ".local/share/linphone"), 0o700) // it does not start without
	if err == nil {
		err = os.WriteFile(filepath.Join(home, ".linphonerc"), []byte(config), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("linphonec", "-d", "6")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "LC_ALL=C.UTF-8")
	keyboard, fingers, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close(); fingers.Close() })
	cmd.Stdin = keyboard
	p := &Phone{child.Start(t, "linphonec "+a.User, cmd), fingers}
	p.types(t, fmt.Sprintf("register sip:%s@%s <sip:%s;transport=%s> %s", a.User, a.Domain, a.Server, a.Transport, a.Password))
	return p
}

// types enters a command.
func (p *Phone) types(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p.keyboard, line+"\n"); err != nil {
		t.Fatalf("linphonec cannot be commanded: %v", err)
	}
}

// becomes returns when the account is in a state of liblinphone's.
func (p *Phone) becomes(t testing.TB, state string) {
	t.Helper()
	p.program.Await(t, "the state "+state, Patience, func(line string) bool { return strings.Contains(line, "to ["+state+"]") })
}

// Registered returns when the server has accepted the registration.
func (p *Phone) Registered(t testing.TB) *Phone {
	t.Helper()
	p.becomes(t, "LinphoneRegistrationOk")
	return p
}

// Refused returns when the server has refused the registration.
func (p *Phone) Refused(t testing.TB) {
	t.Helper()
	p.becomes(t, "LinphoneRegistrationFailed")
}

// Unregister takes the registration back.
func (p *Phone) Unregister(t testing.TB) {
	t.Helper()
	p.types(t, "unregister")
	p.becomes(t, "LinphoneRegistrationCleared")
}

// Algorithms returns the algorithms of the credentials that the phone has sent,
// in alphabetical order.
func (p *Phone) Algorithms() (used []string) {
	for _, line := range p.program.Lines() {
		_, rest, sent := strings.Cut(line, "algorithm=")
		if sent && strings.HasPrefix(line, "Authorization:") {
			name, _, _ := strings.Cut(rest, ",")
			used = append(used, strings.Trim(name, `" `))
		}
	}
	slices.Sort(used)
	return slices.Compact(used)
}
