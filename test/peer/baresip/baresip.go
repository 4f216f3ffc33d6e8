// Package baresip runs the SIP phone baresip (1.0, as Debian has it) as a client
// in a test: it registers with Digest over UDP, TCP or TLS, sends and receives
// page-mode messages, publishes its presence (PIDF) and watches its contacts. It
// is steered through its control port on a loopback address of its own.
//
// Methods that take t end the test when the phone refuses or stays silent. A
// Phone belongs to the goroutine of its test.
package baresip

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trivet/test/peer/child"
	"trivet/test/peer/loopback"
	"trivet/test/peer/need"
)

// Patience is how long the methods wait for the phone.
const Patience = 60 * time.Second

// Account is who registers, where, and whom the phone knows.
type Account struct {
	User, Domain string
	Login        string // name for Digest; "" is User
	Password     string
	Server       string   // address:port of the server
	Transport    string   // "udp", "tcp" or "tls"
	CA           string   // PEM file of the authority it is told to trust; 1.0 takes any certificate all the same
	Contacts     []string // user@domain; their presence is watched
	Publish      bool     // publish the own presence
}

// Phone is a running phone.
type Phone struct {
	program  *child.Process
	control  net.Conn
	answers  *bufio.Reader
	contacts []string
	current  int // index of the contact that messages go to
	token    int
}

// Start starts a phone, which registers by itself. See Registered.
func Start(t testing.TB, a Account) *Phone {
	t.Helper()
	need.Packages(t, "baresip-core")
	home, control := t.TempDir(), net.JoinHostPort(loopback.Addr(t).String(), "4444")
	files := map[string]string{"config": a.config(control), "accounts": a.account(), "contacts": a.contacts()}
	if len(a.Contacts) > 0 {
		files["current_contact"] = "sip:" + a.Contacts[0] + "\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("baresip", "-4", "-v", "-s", "-f", home)
	cmd.Env = append(os.Environ(), "HOME="+home)
	keyboard, fingers, err := os.Pipe() // the module that prints messages wants a keyboard, which stays silent
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close(); fingers.Close() })
	cmd.Stdin = keyboard
	p := &Phone{program: child.Start(t, "baresip "+a.User, cmd), contacts: a.Contacts}
	p.program.Await(t, "its start", Patience, contains("baresip is ready"))
	if p.control, err = net.DialTimeout("tcp", control, Patience); err != nil {
		t.Fatalf("baresip's control port: %v", err)
	}
	t.Cleanup(func() { p.control.Close() })
	p.answers = bufio.NewReader(p.control)
	return p
}

func (a *Account) config(control string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nctrl_tcp_listen %s\n", control)
	if a.CA != "" {
		fmt.Fprintf(&b, "sip_cafile %s\n", a.CA)
	}
	b.WriteString("module_path /usr/lib/baresip/modules\n")
	for _, m := range []string{"account", "contact", "menu", "presence", "ctrl_tcp", "stdio"} {
		fmt.Fprintf(&b, "module_app %s.so\n", m)
	}
	return b.String()
}

func (a *Account) account() string {
	login, publish := a.Login, 0
	if login == "" {
		login = a.User
	}
	if a.Publish {
		publish = 600
	}
	return fmt.Sprintf("<sip:%s@%s;transport=%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=600;pubint=%d\n",
		a.User, a.Domain, a.Transport, login, a.Password, a.Server, a.Transport, publish)
}

func (a *Account) contacts() string {
	var b strings.Builder
	for _, c := range a.Contacts {
		fmt.Fprintf(&b, "<sip:%s>;presence=p2p\n", c)
	}
	return b.String()
}

func contains(what string) func(string) bool {
	return func(line string) bool { return strings.Contains(line, what) }
}

// Registered returns when the server has accepted the registration.
func (p *Phone) Registered(t testing.TB) *Phone {
	t.Helper()
	p.program.Await(t, "its registration", Patience, contains("(REGISTER_OK)"))
	return p
}

// Refused returns the line that tells of the server's refusal to register it.
func (p *Phone) Refused(t testing.TB) string {
	t.Helper()
	p.program.Await(t, "refusal of its registration", Patience, contains("(REGISTER_FAIL)"))
	return p.program.Await(t, "the reason", Patience, func(line string) bool {
		return strings.Contains(line, "reg: ") && !strings.Contains(line, "200 OK")
	})
}

// Send sends a page-mode message to one of the contacts. What became of it is
// seen at the receiver, or by NotSent.
func (p *Phone) Send(t testing.TB, who, text string) {
	t.Helper()
	i := slices.Index(p.contacts, who)
	if i < 0 {
		t.Fatalf("baresip: %s is not one of the contacts %q", who, p.contacts)
	}
	for ; p.current < i; p.current++ {
		p.command(t, "contact_next", "")
	}
	for ; p.current > i; p.current-- {
		p.command(t, "contact_prev", "")
	}
	p.command(t, "message", text)
}

// NotSent returns the answer, "480 Temporarily Unavailable", to a message that was
// not delivered.
func (p *Phone) NotSent(t testing.TB) string {
	t.Helper()
	const red = "\x1b[31m" // such an answer stands alone on its line, in red
	line := p.program.Await(t, "failure of its message", Patience, func(line string) bool {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), red)
		return ok && text != "" && text[0] >= '4' && text[0] <= '6'
	})
	text, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), red), "\x1b")
	return text
}

// Received returns when the message from who with the text has come.
func (p *Phone) Received(t testing.TB, who, text string) {
	t.Helper()
	p.program.Await(t, fmt.Sprintf("message %q from %s", text, who), Patience, func(line string) bool {
		return strings.Contains(line, "sip:"+who) && strings.Contains(line, `"`+text+`"`)
	})
}

// The conditions that the phone tells apart.
const (
	Unknown = "Unknown"
	Online  = "Online"
	Offline = "Offline"
	Busy    = "Busy"
)

// SetOnline publishes that the user is there, or is not.
func (p *Phone) SetOnline(t testing.TB, online bool) {
	t.Helper()
	if online {
		p.command(t, "presence_online", "")
	} else {
		p.command(t, "presence_offline", "")
	}
}

// AwaitStatus returns when the contact is seen in the condition.
func (p *Phone) AwaitStatus(t testing.TB, who, status string) {
	t.Helper()
	limit := time.After(Patience)
	look := time.NewTicker(50 * time.Millisecond) // the phone does not report changes in a form that can be told apart
	defer look.Stop()
	for {
		list := p.command(t, "contacts", "")
		for line := range strings.Lines(list) {
			if strings.Contains(line, "sip:"+who) && strings.Contains(line, status) {
				return
			}
		}
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("baresip: %s is not seen as %s in %v; contacts:\n%s", who, status, Patience, list)
		}
	}
}

// Stop makes the phone unregister and end.
func (p *Phone) Stop(t testing.TB) {
	t.Helper()
	p.send(t, "quit", "")
	_ = p.program.Wait(t, Patience)
}

// command returns what the phone prints about a command.
func (p *Phone) command(t testing.TB, command, params string) string {
	t.Helper()
	token := p.send(t, command, params)
	_ = p.control.SetReadDeadline(time.Now().Add(Patience))
	for {
		text, err := p.netstring()
		if err != nil {
			t.Fatalf("baresip does not answer %s: %v", command, err)
		}
		var answer struct {
			Response, OK bool
			Data, Token  string
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("baresip answers %s with %q: %v", command, text, err)
		}
		if !answer.Response || answer.Token != token { // an event
			continue
		}
		if !answer.OK {
			t.Fatalf("baresip refuses %s %q: %s", command, params, answer.Data)
		}
		return answer.Data
	}
}

func (p *Phone) send(t testing.TB, command, params string) (token string) {
	t.Helper()
	p.token++
	token = strconv.Itoa(p.token)
	text, err := json.Marshal(map[string]string{"command": command, "params": params, "token": token})
	if err == nil {
		_, err = fmt.Fprintf(p.control, "%d:%s,", len(text), text)
	}
	if err != nil {
		t.Fatalf("baresip's control port: %v", err)
	}
	return token
}

// netstring reads one "<length>:<text>,".
func (p *Phone) netstring() ([]byte, error) {
	head, err := p.answers.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil {
		return nil, err
	}
	text := make([]byte, n+1)
	_, err = io.ReadFull(p.answers, text)
	return text[:n], err
}
