// Package server attacks a whole Standard Edition, run in process on a data
// folder of its own: who may ask what over which transport, broken and hostile
// messages, floods, forged identities, and certificates replaced under load.
package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/role/frontend"
	"trivet/test/peer/loopback"
)

const (
	domain = "example.test"
	fqdn   = "sip." + domain
)

// People of --demo. Each test that needs others makes them with a cmdlet.
const (
	alice = "sip:alice@" + domain
	bob   = "sip:bob@" + domain
	carol = "sip:carol@" + domain
	dave  = "sip:dave@" + domain
)

// Server runs in this process until its test ends.
type Server struct {
	frontend.Ready
	Data      string
	roots     *x509.CertPool
	mu        sync.Mutex // guards passwords
	passwords map[string]string
	owner     *http.Client
	stop      func() error
}

// Start runs a server with the demo users and the settings given as "key=value".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := launch(filepath.Join(t.TempDir(), "data"), loopback.Addr(t), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func launch(data string, addr netip.Addr, settings []string) (*Server, error) {
	over := map[string]string{"listen": addr.String(), "sip.ws": "5080", "sip.wss": "5081"}
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		over[k] = v
	}
	set, err := conf.Load(data, over)
	if err != nil {
		return nil, err
	}
	set.Demo = true
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{Data: data, passwords: map[string]string{}}
	ready, ended := make(chan frontend.Ready, 1), make(chan error, 1)
	var out bytes.Buffer
	go func() {
		ended <- frontend.Serve(ctx, set, log.Discard(), &out, func(r frontend.Ready) { ready <- r })
	}()
	select {
	case s.Ready = <-ready:
	case err := <-ended:
		cancel()
		return nil, err
	}
	s.stop = sync.OnceValue(func() error {
		cancel()
		s.owner.CloseIdleConnections()
		return <-ended
	})
	return s, s.learn()
}

// learn reads what the data folder tells its owner.
func (s *Server) learn() error {
	pem, err := os.ReadFile(filepath.Join(s.Data, "ca.pem"))
	if err != nil {
		return err
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
	text, err := os.ReadFile(filepath.Join(s.Data, "demo-users.json"))
	if err != nil {
		return err
	}
	var people []struct{ SipAddress, Password string }
	if err := json.Unmarshal(text, &people); err != nil {
		return err
	}
	for _, p := range people {
		s.passwords[p.SipAddress] = p.Password
	}
	s.owner = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.Data, "admin.sock"))
	}}}
	return nil
}

// Trust is a client's TLS configuration that knows the server's authority.
func (s *Server) Trust() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: fqdn}
}

// Password returns what user signs in with.
func (s *Server) Password(user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passwords[user]
}

// Cmdlet runs a cmdlet as the owner of the data folder.
func (s *Server) Cmdlet(t testing.TB, name string, parameters map[string]any) map[string]any {
	t.Helper()
	body, err := json.Marshal(map[string]any{"Parameters": parameters})
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.owner.Post("http://local/api/cmdlet/"+name, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var reply map[string]any
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", name, res.StatusCode, reply)
	}
	return reply
}

// NewUser creates a user and returns the address.
func (s *Server) NewUser(t testing.TB, name string) string {
	t.Helper()
	address, password := "sip:"+name+"@"+domain, "Aa1!"+word()+word()
	s.Cmdlet(t, "New-CsUser", map[string]any{"Identity": name, "SipAddress": address, "Password": password})
	s.mu.Lock()
	s.passwords[address] = password
	s.mu.Unlock()
	return address
}

// SignIn connects and registers user over the network.
func (s *Server) SignIn(t testing.TB, network, user string, extra ...string) *Agent {
	t.Helper()
	a := s.Dial(t, network)
	s.Become(a, user)
	if res := a.Register(extra...); res.Status != 200 {
		t.Fatalf("%s signs in over %s: %d\n%s", user, network, res.Status, res)
	}
	return a
}

// Become gives the agent the name and the password of user.
func (s *Server) Become(a *Agent, user string) {
	a.User, a.Login, a.Password = user, strings.TrimPrefix(user, "sip:"), s.Password(user)
}

// until waits for a condition that the server brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
