// Package pidgin runs the real pidgin-sipe, the plugin prpl-sipe on libpurple as
// Debian has them, as a client in a test. A small program of our own (driver/, in
// C) is its user interface: it presses the plugin's buttons and reports what a
// user would see. Each Client is a process of its own with its own home folder,
// sees only the names it is given, reaches only loopback addresses, and ends with
// the test.
//
// Events are kept in the order in which they came. Await takes the first fitting
// event that no Await has taken before, so the order in which a test asks does
// not matter. Methods that take t end the test when the client refuses or stays
// silent, and print the last events and the end of the client's debug log. A
// Client belongs to the goroutine of its test.
package pidgin

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trivet/test/peer/need"
)

// Patience is how long the methods wait for the client. It covers the 10 s for
// which the plugin holds an invitation when its user has several endpoints, and a
// machine that is busy with something else.
const Patience = 60 * time.Second

// Account is who signs in, from which machine, and what that machine knows.
type Account struct {
	SignIn       string // user@domain
	Login        string // user@REALM or DOMAIN\user; "" is SignIn
	Password     string // ASCII: the plugin cuts it at the first other character
	Server       string // host:port; "" lets the plugin discover it
	Transport    string // "auto" (TLS, then TCP), "tls" or "tcp"; "" is "auto"
	Scheme       string // "ntlm", "krb5", "tls-dsk" or "auto"; "" is "ntlm"
	SingleSignOn bool   // with the ticket cache of Env instead of the password

	Machine  string            // host name; together with the user it makes the endpoint id
	Source   string            // local address of connections, one of 127.0.0.0/8; "" is any
	CA       string            // PEM file of a certificate authority to trust
	TrustAny bool              // accept any certificate when asked
	Names    map[string]string // host names, lower case, to addresses; no others exist
	Services map[string]string // SRV names, lower case, to "host:port"; no others exist
	Routes   map[string]string // "address:port" to the "address:port" really connected to
	Env      []string          // in addition to the test's environment: KRB5_CONFIG=…
	Seed     uint32            // two clients with one seed choose the same Call-IDs and tags; 0 is unique
	Status   string            // at sign-in; "" is "available"
}

// Client is a running client.
type Client struct {
	name string // for messages: user, and machine where given
	log  string // file of the plugin's debug log
	cmd  *exec.Cmd
	in   io.WriteCloser
	last int // number of the last command

	described bool // in the message that ended the test

	mu     sync.Mutex // guards the fields below
	events []Event
	taken  []bool        // by Await; as long as events
	news   chan struct{} // closed and replaced when an event comes or the client ends
	over   bool          // the client has ended
	stderr strings.Builder
}

// Start starts a client that is not connected yet.
func Start(t testing.TB, a Account) *Client {
	t.Helper()
	need.Packages(t, packages...)
	program, err := driver()
	if err != nil {
		t.Fatalf("the driver of pidgin-sipe cannot be built: %v", err)
	}
	home := t.TempDir()
	c := &Client{name: a.SignIn, log: filepath.Join(home, "debug.log"), cmd: exec.Command(program), news: make(chan struct{})}
	if a.Machine != "" {
		c.name += " on " + a.Machine
	}
	c.cmd.Env = append(append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8", "LANGUAGE=C"), a.Env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stderr = (*errorText)(c)
	c.cmd.WaitDelay = 2 * time.Second // name look-ups of the plugin run in processes that may outlive it
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatalf("the driver of pidgin-sipe does not start: %v", err)
	}
	read := make(chan struct{})
	go func() { defer close(read); c.read(out) }()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-read
		_ = c.cmd.Wait()
		if t.Failed() && !c.described {
			t.Logf("%s, meanwhile\n%s", c.name, c.state())
		}
	})
	c.write(t, a.settings(home, c.log))
	c.Await(t, "ready", func(e Event) bool { return e.Name() == "ready" })
	return c
}

// errorText collects what the driver prints beside its events.
type errorText Client

func (e *errorText) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stderr.Write(b)
}

// settings is the first line the driver reads.
func (a *Account) settings(home, log string) map[string]any {
	s := map[string]any{"home": home, "debug_log": log}
	for key, value := range map[string]string{
		"sign_in": a.SignIn, "login": a.Login, "password": a.Password, "server": a.Server, "transport": a.Transport,
		"scheme": a.Scheme, "machine": a.Machine, "source": a.Source, "authority": a.CA, "status": a.Status,
		"sso": yes(a.SingleSignOn), "trust_any": yes(a.TrustAny),
	} {
		if value != "" {
			s[key] = value
		}
	}
	if a.Transport == "" {
		s["transport"] = "auto"
	}
	if a.Seed != 0 {
		s["seed"] = strconv.FormatUint(uint64(a.Seed), 10)
	}
	for key, table := range map[string]map[string]string{"names": a.Names, "services": a.Services, "routes": a.Routes} {
		if table != nil {
			s[key] = table
		}
	}
	return s
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (c *Client) read(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var e Event
		if err == nil && json.Unmarshal(line, &e) != nil {
			e = Event{"event": "unreadable", "text": string(line)}
		}
		c.mu.Lock()
		if err == nil {
			c.events, c.taken = append(c.events, e), append(c.taken, false)
		}
		c.over = err != nil
		close(c.news)
		c.news = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *Client) write(t testing.TB, object any) {
	t.Helper()
	line, err := json.Marshal(object)
	if err == nil {
		_, err = c.in.Write(append(line, '\n'))
	}
	if err != nil {
		c.Fatalf(t, "cannot be commanded: %v", err)
	}
}

// Do sends a command with its arguments (key, value, …; empty values are left
// out) and returns the driver's refusal, "" when it was carried out.
func (c *Client) Do(t testing.TB, command string, args ...string) (refusal string) {
	t.Helper()
	_, refusal = c.do(t, command, args...)
	return refusal
}

func (c *Client) do(t testing.TB, command string, args ...string) (id, refusal string) {
	t.Helper()
	object := map[string]string{"cmd": command}
	for i := 0; i+1 < len(args); i += 2 {
		if args[i+1] != "" {
			object[args[i]] = args[i+1]
		}
	}
	c.last++
	id = strconv.Itoa(c.last)
	object["id"] = id
	c.write(t, object)
	done := c.Await(t, "end of command "+command, func(e Event) bool { return e.Name() == "done" && e["id"] == id })
	return id, done["error"]
}

// must is Do for commands that have no reason to be refused.
func (c *Client) must(t testing.TB, command string, args ...string) (id string) {
	t.Helper()
	id, refusal := c.do(t, command, args...)
	if refusal != "" {
		c.Fatalf(t, "refuses %s %q: %s", command, args, refusal)
	}
	return id
}
