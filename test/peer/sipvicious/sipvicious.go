// Package sipvicious runs the scanners of Debian's sipvicious (0.3.3, UDP) against
// a server in a test: svmap finds servers, svwar finds extensions, svcrack guesses
// passwords. They are what a server on the Internet meets first.
//
// A Scanner may be used by one goroutine at a time; several may run at once.
package sipvicious

import (
	"net"
	"net/netip"
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

// Patience is how long a scan may take.
const Patience = 3 * time.Minute

// Scanner is where the scans come from and go to.
type Scanner struct {
	From   netip.Addr     // an address of this computer
	Server netip.AddrPort // SIP over UDP
	Domain string         // of the addresses that are tried
}

// Map runs svmap and returns what it said.
func (s Scanner) Map(t testing.TB, method string) []string {
	t.Helper()
	return s.run(t, "svmap", "-m", method, "-p", s.port(), s.Server.Addr().String())
}

// War runs svwar with the names and returns those that it takes for extensions,
// with what it thinks of them, and all that it said.
func (s Scanner) War(t testing.TB, method string, names []string) (found map[string]string, said []string) {
	t.Helper()
	said = s.run(t, "svwar", "--force", "-m", method, "-d", list(t, names), "--domain", s.Domain, "-p", s.port(), s.Server.Addr().String())
	return rows(said), said
}

// Crack runs svcrack for a user with the passwords and returns the one that it takes
// for right, "" for none, and how many it tried before it gave up.
func (s Scanner) Crack(t testing.TB, user string, passwords []string) (password string, tried int) {
	t.Helper()
	said := s.run(t, "svcrack", "-vv", "-u", user, "-d", list(t, passwords), "--domain", s.Domain, "-p", s.port(), s.Server.Addr().String())
	for _, line := range said {
		if strings.Contains(line, ":trying ") {
			tried++
		}
	}
	return rows(said)[user], tried
}

func (s Scanner) port() string { return strconv.Itoa(int(s.Server.Port())) }

// run runs a scanner to its end and returns its lines.
func (s Scanner) run(t testing.TB, program string, args ...string) []string {
	t.Helper()
	need.Packages(t, "sipvicious")
	l, err := net.ListenPacket("udp4", net.JoinHostPort(s.From.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	l.Close()
	cmd := exec.Command(program, append([]string{"-b", s.From.String(), "-x", s.From.String(), "-P", port}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "PYTHONWARNINGS=ignore", "COLUMNS=200")
	p := child.Start(t, program, cmd)
	p.Wait(t, Patience) // its status says nothing
	return p.Lines()
}

// rows reads the table that svwar and svcrack end with: a line for each thing found,
// "| name | what of it |" or drawn with other bars.
func rows(lines []string) map[string]string {
	found := map[string]string{}
	for _, line := range lines {
		cells := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|│┃║", r) })
		if len(cells) != 2 || !strings.ContainsAny(line[:min(3, len(line))], "|│┃║") {
			continue
		}
		name, what := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		if name != "" && name != "Extension" {
			found[name] = what
		}
	}
	return found
}

func list(t testing.TB, words []string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(path, []byte(strings.Join(words, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
