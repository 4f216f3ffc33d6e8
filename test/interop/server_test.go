package interop

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trivet/test/peer/baresip"
	"trivet/test/peer/child"
	"trivet/test/peer/linphone"
	"trivet/test/peer/loopback"
	"trivet/test/peer/pidgin"
	"trivet/test/peer/sipp"
)

const (
	domain = "example.test"
	fqdn   = "sip." + domain
	// readyIn is for a machine that runs many flows at once.
	readyIn = 60 * time.Second
)

// The people of --demo, as contacts and senders see them.
const (
	alice = "sip:alice@" + domain
	bob   = "sip:bob@" + domain
	carol = "sip:carol@" + domain
	dave  = "sip:dave@" + domain
)

// Server is a Standard Edition in a process of its own, on the usual ports of a
// loopback address of its own.
type Server struct {
	addr      netip.Addr
	data      string // its data folder
	args      []string
	passwords map[string]string // by SIP address
	process   *child.Process
}

// Start starts a server with demo users, on an empty data folder.
func Start(t *testing.T, args ...string) *Server { t.Helper(); return StartWith(t, "", args...) }

// StartWith is Start with the text of trivet.yaml.
func StartWith(t *testing.T, settings string, args ...string) *Server {
	t.Helper()
	s := &Server{addr: loopback.Addr(t), data: filepath.Join(t.TempDir(), "data"), args: args}
	if settings != "" {
		err := os.Mkdir(s.data, 0o700)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.data, "trivet.yaml"), []byte(settings), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, "--demo")
	text, err := os.ReadFile(filepath.Join(s.data, "demo-users.json"))
	if err != nil {
		t.Fatal(err)
	}
	var users []struct{ SipAddress, UserPrincipalName, Password string }
	if err := json.Unmarshal(text, &users); err != nil {
		t.Fatalf("demo-users.json: %v", err)
	}
	s.passwords = map[string]string{}
	for _, u := range users {
		s.passwords[u.SipAddress] = u.Password
	}
	return s
}

// run starts the process and returns when it is ready.
func (s *Server) run(t *testing.T, more ...string) {
	t.Helper()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"run", "--data", s.data, "--listen", s.addr.String(),
		"--sip-tls", s.at(5061), "--sip-tcp", s.at(5060), "--https", s.at(8443),
	}, append(s.args, more...)...)
	s.process = child.Start(t, "trivet", exec.Command(program, args...))
	s.process.Await(t, "the line ready", readyIn, func(line string) bool { return strings.HasPrefix(line, "ready") })
}

// at returns the address of one of the server's ports.
func (s *Server) at(port uint16) string { return netip.AddrPortFrom(s.addr, port).String() }

// ca returns the certificate of the server's authority.
func (s *Server) ca() string { return filepath.Join(s.data, "ca.pem") }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() { s.process.Kill() }

// Stop ends the server with SIGTERM; it must do so with status 0.
func (s *Server) Stop(t *testing.T) {
	t.Helper()
	s.process.Signal(syscall.SIGTERM)
	if err := s.process.Wait(t, readyIn); err != nil {
		t.Errorf("the server ends with %v after SIGTERM, want status 0", err)
	}
}

// Restart starts the server again on what it had stored.
func (s *Server) Restart(t *testing.T) { t.Helper(); s.run(t) }

// Cmdlet runs a cmdlet as the owner of the data folder and returns what it printed.
func (s *Server) Cmdlet(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.cmdlet(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *Server) cmdlet(args ...string) (string, error) {
	program, err := binary()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "TRIVET_DATA="+s.data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("trivet %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// People creates users and returns their addresses.
func (s *Server) People(t *testing.T, count int) (people []string) {
	t.Helper()
	for i := range count {
		who := fmt.Sprintf("sip:person%03d@%s", i, domain)
		s.passwords[who] = fmt.Sprintf("Spring-Tide-%d", 4711+i)
		people = append(people, who)
	}
	errs := make(chan error, count)
	turn := make(chan struct{}, 4) // at once: each is a process of its own
	for i, who := range people {
		go func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			_, err := s.cmdlet("New-CsUser", mailbox(who), "-DisplayName", fmt.Sprintf("Person %d", i), "-Password", s.passwords[who])
			errs <- err
		}()
	}
	for range people {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return people
}

// Account is what pidgin-sipe needs to sign somebody in: over TLS, with NTLM. The
// machine is the first endpoint of the person.
func (s *Server) Account(who string) pidgin.Account {
	user := strings.TrimPrefix(who, "sip:")
	name, _, _ := strings.Cut(user, "@")
	return pidgin.Account{
		SignIn: user, Password: s.passwords[who], Server: fqdn + ":5061", Transport: "tls", Scheme: "ntlm",
		Machine: name + "-desk", CA: s.ca(), Names: map[string]string{fqdn: s.addr.String()},
	}
}

// Pidgin signs somebody in.
func (s *Server) Pidgin(t *testing.T, who string) *pidgin.Client {
	t.Helper()
	return pidgin.Start(t, s.Account(who)).SignOn(t)
}

// Laptop signs somebody in from a second machine.
func (s *Server) Laptop(t *testing.T, who string) *pidgin.Client {
	t.Helper()
	a := s.Account(who)
	a.Machine = strings.TrimSuffix(a.Machine, "-desk") + "-laptop"
	return pidgin.Start(t, a).SignOn(t)
}

// Phone is what baresip needs to register somebody.
func (s *Server) Phone(who, transport string) baresip.Account {
	name, _, _ := strings.Cut(strings.TrimPrefix(who, "sip:"), "@")
	a := baresip.Account{User: name, Domain: domain, Password: s.passwords[who], Server: s.at(5060), Transport: transport}
	if transport == "tls" {
		a.Server, a.CA = s.at(5061), s.ca()
	}
	return a
}

// Softphone is what linphone needs to register somebody.
func (s *Server) Softphone(who, transport string) linphone.Account {
	name, _, _ := strings.Cut(mailbox(who), "@")
	return linphone.Account{User: name, Domain: domain, Password: s.passwords[who], Server: s.at(5060), Transport: transport}
}

// SIPp is what SIPp needs to register somebody.
func (s *Server) SIPp(who, transport string) sipp.Account {
	name, _, _ := strings.Cut(strings.TrimPrefix(who, "sip:"), "@")
	return sipp.Account{User: name, Domain: domain, Password: s.passwords[who], Server: s.at(5060), Transport: transport}
}

// knows puts a contact on the list of a client, unless the demo did.
func knows(t *testing.T, c *pidgin.Client, whom ...string) {
	t.Helper()
	list := c.Roster(t)
	for _, who := range whom {
		if _, known := list.Find(who, ""); !known {
			c.AddBuddy(t, who, "Interop")
		}
	}
}

// friends are alice and bob, signed in, on each other's list, seen as available.
func friends(t *testing.T, s *Server) (a, b *pidgin.Client) {
	t.Helper()
	a, b = pidgin.Start(t, s.Account(alice)), pidgin.Start(t, s.Account(bob))
	a.Connect(t)
	b.Connect(t)
	a.SignedOn(t)
	b.SignedOn(t)
	knows(t, a, bob)
	knows(t, b, alice)
	a.AwaitStatus(t, bob, pidgin.Available)
	b.AwaitStatus(t, alice, pidgin.Available)
	return a, b
}

// mailbox is a SIP address without its scheme.
func mailbox(who string) string { return strings.TrimPrefix(who, "sip:") }

// awaitFirst returns the first of the clients at which match accepts an event.
func awaitFirst(t *testing.T, what string, match func(pidgin.Event) bool, clients ...*pidgin.Client) *pidgin.Client {
	t.Helper()
	limit, look := time.After(pidgin.Patience), time.NewTicker(50*time.Millisecond)
	defer look.Stop()
	for {
		for _, c := range clients {
			for _, e := range c.Events() {
				if match(e) {
					return c
				}
			}
		}
		select {
		case <-look.C:
		case <-limit:
			clients[0].Fatalf(t, "none of %d clients got %s", len(clients), what)
		}
	}
}

// outcome is what a user is told about a failed sign-in.
func outcome(e pidgin.Event) string {
	return fmt.Sprintf("%s (fatal: %s): %s", e["reason"], e["fatal"], e["text"])
}
