//go:debug tlsunsafeekm=1

package sipauth

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/uc"
	"trivet/wire/ntlm"
	"trivet/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	fqdn  = "fe1.contoso.test"
	alice = uc.UserURI("sip:alice@contoso.test")
	bob   = uc.UserURI("sip:bob@contoso.test")
)

// fakeAccounts is a directory in memory.
type fakeAccounts struct {
	mu       sync.Mutex
	byName   map[string]Account // logins and principals
	byKey    map[[32]byte]Account
	disabled map[uc.UserURI]bool
	down     bool
	gates    int
}

func newFakeAccounts() *fakeAccounts {
	f := &fakeAccounts{byName: map[string]Account{}, byKey: map[[32]byte]Account{}, disabled: map[uc.UserURI]bool{}}
	for _, u := range []uc.UserURI{alice, bob} {
		for _, login := range []string{u.Bare(), `CONTOSO\` + u.User(), u.User(), u.User() + "@CONTOSO.TEST"} {
			f.byName[login] = Account{User: u, HasNTHash: true, NTHash: ntlm.NewHash("secret"),
				HA1SHA256: digestHA1("SHA-256", login, "secret"), HA1MD5: digestHA1("MD5", login, "secret")}
		}
	}
	return f
}

func (f *fakeAccounts) ByLogin(_ context.Context, login string) (Account, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return Account{}, fault.New(fault.Unavailable, "test", "the store is down")
	}
	if acc, ok := f.byName[login]; ok {
		return acc, nil
	}
	return Account{}, fault.New(fault.NotFound, "test", "nobody")
}

func (f *fakeAccounts) ByPrincipal(ctx context.Context, p string) (Account, error) {
	return f.ByLogin(ctx, p)
}

func (f *fakeAccounts) ByCertificate(_ context.Context, key [32]byte) (Account, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if acc, ok := f.byKey[key]; ok {
		return acc, nil
	}
	return Account{}, fault.New(fault.NotFound, "test", "nobody")
}

func (f *fakeAccounts) Gate(_ context.Context, u uc.UserURI) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gates++
	if f.disabled[u] {
		return fault.New(fault.Forbidden, "test", "disabled")
	}
	return nil
}

func (f *fakeAccounts) disable(u uc.UserURI) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disabled[u] = true
}

// fakeClock stands still until it is moved.
type fakeClock struct {
	clock.Real
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is an Authenticator with one connection.
type site struct {
	*testing.T
	acc    *fakeAccounts
	clock  *fakeClock
	auth   *Authenticator
	peer   *peer
	policy Policy
	closed []string
}

func newSite(t *testing.T) *site {
	s := &site{T: t, acc: newFakeAccounts(), clock: &fakeClock{now: time.Now()},
		policy: Policy{UseNtlm: true, UseKerberos: true, UseCertificate: true, UseDigest: true, DigestMD5: true}}
	s.auth = New(Config{Accounts: s.acc, Policy: func() Policy { return s.policy }, FQDN: fqdn, Clock: s.clock,
		STSURI: func(netip.Addr) string { return "https://fe1.contoso.test/CertProv/CertProvisioningService.svc" }})
	s.peer = s.connect("192.0.2.7", true)
	return s
}

func (s *site) connect(addr string, stream bool) *peer {
	p := s.auth.newPeer(netip.MustParseAddr(addr), netip.MustParseAddr("192.0.2.1"), stream, func(why string) { s.closed = append(s.closed, why) })
	s.Cleanup(p.end)
	return p
}

// request makes a request of a Lync client; auth is the Authorization, if any.
func request(method string, from uc.UserURI, auth string) *sip.Message {
	m := sip.NewRequest(method, "sip:contoso.test")
	m.Add("Via", "SIP/2.0/tls 192.0.2.7:40718;branch=z9hG4bKx")
	m.Add("From", "\"A <b>\" <"+string(from)+">;tag=2789615763;epid=abb2cb12b77f")
	m.Add("To", "<"+string(from)+">")
	m.Add("Call-ID", "EDF6g10DC")
	m.Add("CSeq", "1 "+method)
	if auth != "" {
		m.Add("Authorization", auth)
	}
	return m
}

// lyncClient signs as a Lync client does.
type lyncClient struct {
	scheme, target, opaque string
	user                   uc.UserURI
	version                int
	sign                   func(text []byte) []byte
	num                    int
}

// seal adds a signed Authorization to m. data is gssapi-data, if any.
func (c *lyncClient) seal(m *sip.Message, data []byte) *sip.Message {
	c.num++
	s := Seal{Scheme: c.scheme, Rand: "c19d7734", Num: fmt.Sprint(c.num), Realm: DefaultRealm, Target: c.target, Version: c.version}
	v := c.line("", data) + fmt.Sprintf(`, crand="%s", cnum="%s", response="%s"`, s.Rand, s.Num, strings.ToUpper(hex.EncodeToString(c.sign(AppendText(nil, s, m)))))
	m.Add("Authorization", v)
	return m
}

func (c *lyncClient) line(empty string, data []byte) string {
	v := c.scheme + ` qop="auth", realm="` + DefaultRealm + `", targetname="` + c.target + `"`
	if c.opaque != "" {
		v += `, opaque="` + c.opaque + `"`
	}
	if data != nil {
		v += `, gssapi-data="` + base64.StdEncoding.EncodeToString(data) + `"`
	}
	return v + empty + fmt.Sprintf(", version=%d", c.version)
}

// next reads opaque and token out of a 401 of the client's scheme.
func (c *lyncClient) next(t *testing.T, res *sip.Message) []byte {
	t.Helper()
	if res == nil || res.Status != 401 {
		t.Fatalf("no 401 but %v", res)
	}
	cred, ok, err := parseCredentials(res.Get("WWW-Authenticate"))
	if err != nil || !ok || cred.scheme.String() != c.scheme {
		t.Fatalf("challenge %q: %v", res.Get("WWW-Authenticate"), err)
	}
	c.opaque = cred.value[pOpaque]
	b, err := cred.token(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *site) check(p *peer, m *sip.Message) (uc.UserURI, *sip.Message, error) {
	return p.check(context.Background(), m, func() {})
}

// accept expects m to be let in as user.
func (s *site) accept(m *sip.Message, user uc.UserURI) {
	s.Helper()
	got, res, err := s.check(s.peer, m)
	if err != nil || res != nil || got != user {
		s.Fatalf("user %q, answer %v, err %v; want %q", got, res, err, user)
	}
	if m.Get("Authorization") != "" {
		s.Error("the credentials were not removed")
	}
}

// challenge expects a challenge and returns it.
func (s *site) challenge(m *sip.Message) *sip.Message {
	s.Helper()
	got, res, err := s.check(s.peer, m)
	if err != nil || res == nil || got != "" {
		s.Fatalf("user %q, answer %v, err %v; want a challenge", got, res, err)
	}
	return res
}

// refuse expects an error of the kind.
func (s *site) refuse(m *sip.Message, kind fault.Kind) *fault.Error {
	s.Helper()
	got, res, err := s.check(s.peer, m)
	var e *fault.Error
	if res != nil || got != "" || !asFault(err, &e) || e.Kind != kind {
		s.Fatalf("user %q, answer %v, err %v; want kind %v", got, res, err, kind)
	}
	return e
}

func asFault(err error, to **fault.Error) bool {
	e, ok := err.(*fault.Error)
	*to = e
	return ok
}

// lines returns the schemes a challenge offers, in order.
func lines(res *sip.Message) (out []string) {
	for _, name := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
		for v := range res.All(name) {
			s, _, _ := strings.Cut(v, " ")
			out = append(out, s)
		}
	}
	return out
}
