package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/link/sipauth"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
	"trivet/wire/ntlm"
	"trivet/wire/soap"
)

type hand struct {
	clock.Real
	mu  sync.Mutex
	now time.Time
}

func (h *hand) Now() time.Time          { h.mu.Lock(); defer h.mu.Unlock(); return h.now }
func (h *hand) forward(d time.Duration) { h.mu.Lock(); h.now = h.now.Add(d); h.mu.Unlock() }

// house is a server with its directory, reached over TLS.
type house struct {
	*Service
	t     *testing.T
	dir   string
	clock *hand
	store *users.SQLite
	pki   *pki.Authority
	srv   *httptest.Server
	plain *httptest.Server
}

const (
	password = "correct horse 7"
	alice    = uc.UserURI("sip:alice@contoso.test")
)

func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, clock: &hand{now: time.Now()}}
	dir := t.TempDir()
	h.dir = dir
	var err error
	if h.store, err = users.OpenSQLite(t.Context(), filepath.Join(dir, "users.db"), users.Options{Clock: h.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h.pki, err = pki.Open(pki.Config{Dir: dir, Names: pki.Names{Server: "fe1.contoso.test", Domains: []string{"contoso.test"}}, Clock: h.clock, Log: log, Clients: Ledger{h.store}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	h.srv = httptest.NewUnstartedServer(mux)
	ours := &tls.Config{GetCertificate: h.pki.Source(pki.WebServicesInternal)}
	h.srv.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return ours, nil }} // httptest brings a certificate of its own
	h.srv.StartTLS()
	t.Cleanup(h.srv.Close)
	h.plain = httptest.NewServer(mux)
	t.Cleanup(h.plain.Close)
	h.srv.Client().Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: h.pki.Roots()}

	sealKey, ticketKey := h.key("seal"), h.key("webticket")
	h.Service, err = New(Config{
		Directory: h.store, Certificates: h.pki, SealKey: sealKey, TicketKey: ticketKey, Server: "fe1.contoso.test",
		Domains: []string{"contoso.test"}, Logins: []string{"CONTOSO", "contoso.test"},
		WebHost: strings.TrimPrefix(h.srv.URL, "https://"), WebHosts: []string{"127.0.0.1", "fe1.contoso.test"},
		Inside: soap.Access{FQDN: "fe1.contoso.test", Port: 5061}, NTLM: func() bool { return true }, Clock: h.clock, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Routes(mux, nil)
	return h
}

func (h *house) key(name string) []byte {
	b, err := h.pki.Secret(name, 32)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// add makes a user with the one password of these tests.
func (h *house) add(name string, enabled bool) directory.User {
	h.t.Helper()
	u := directory.User{GUID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", sha256.Sum256([]byte(name)))[:8] + "-0000-4000-8000-000000000000", SipAddress: uc.UserURI("sip:" + name + "@contoso.test"), UserPrincipalName: name + "@corp.test", SamAccountName: name + ".sam", DisplayName: "The " + name, Enabled: enabled, RegistrarPool: "fe1.contoso.test"}
	secrets, err := h.MakeSecrets(h.t.Context(), &u, password)
	if err != nil {
		h.t.Fatal(err)
	}
	made, err := h.store.Create(h.t.Context(), users.New{User: u, Secrets: secrets})
	if err != nil {
		h.t.Fatal(err)
	}
	return made[0]
}

var here = netip.MustParseAddr("192.0.2.1")

func TestPasswordByEveryName(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.add("dora", false)
	for _, c := range []struct {
		login, password string
		kind            fault.Kind
		ok              bool
	}{
		{"alice@contoso.test", password, 0, true},
		{"sip:Alice@contoso.test", password, 0, true},
		{"alice@corp.test", password, 0, true},
		{`CONTOSO\alice.sam`, password, 0, true},
		{`contoso.test/ALICE.SAM`, password, 0, true},
		{"alice.sam", password, 0, true},
		{`OTHER\alice.sam`, password, fault.Unauthenticated, false},
		{"The alice", password, fault.Unauthenticated, false},
		{"alice@contoso.test", "wrong", fault.Unauthenticated, false},
		{"alice@contoso.test", "", fault.Unauthenticated, false},
		{"alice@contoso.test", strings.Repeat("x", 1000), fault.Unauthenticated, false},
		{"nobody@contoso.test", password, fault.Unauthenticated, false},
		{"", password, fault.Unauthenticated, false},
		{"dora@contoso.test", password, fault.Forbidden, false},
		{"dora@contoso.test", "wrong", fault.Unauthenticated, false},
	} {
		u, err := h.Password(t.Context(), here, c.login, c.password)
		if c.ok && (err != nil || u.SipAddress != alice) || !c.ok && !fault.Is(err, c.kind) {
			t.Errorf("%q with %.10q: %v %v", c.login, c.password, u.SipAddress, err)
		}
	}
}

func TestAccountsOfSIP(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.add("dora", false)
	for _, login := range []string{"alice@contoso.test", `CONTOSO\alice.sam`, "alice@corp.test"} {
		a, err := h.ByLogin(t.Context(), login)
		if err != nil || a.User != alice || !a.HasNTHash || a.NTHash != ntlm.NewHash(password) {
			t.Errorf("%s: %v %v", login, a.User, err)
		}
		want := ""
		if !strings.Contains(login, `\`) {
			want = fmt.Sprintf("%x", sha256.Sum256([]byte(login+":"+sipauth.DefaultRealm+":"+password)))
		}
		if a.HA1SHA256 != want {
			t.Errorf("%s: HA1 %q, want %q", login, a.HA1SHA256, want)
		}
	}
	if _, err := h.ByLogin(t.Context(), "nobody"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	for principal, ok := range map[string]bool{"alice@CORP.TEST": true, "alice.sam@CONTOSO.TEST": true, "alice.sam@ELSEWHERE.TEST": false, "x": false} {
		if a, err := h.ByPrincipal(t.Context(), principal); ok != (err == nil && a.User == alice) {
			t.Errorf("%s: %v %v", principal, a.User, err)
		}
	}
	if err := h.Gate(t.Context(), alice); err != nil {
		t.Error(err)
	}
	if err := h.Gate(t.Context(), "sip:dora@contoso.test"); !fault.Is(err, fault.Forbidden) {
		t.Error(err)
	}
	if err := h.Gate(t.Context(), "sip:nobody@contoso.test"); !fault.Is(err, fault.Unauthenticated) {
		t.Error(err)
	}
}

func TestSecretsAreBoundToTheirPlace(t *testing.T) {
	h := open(t)
	u := h.add("alice", true)
	c, err := h.store.Secrets(t.Context(), u.GUID)
	if err != nil {
		t.Fatal(err)
	}
	nt := ntlm.NewHash(password)
	if bytes.Contains(c.NTHash, nt[:]) || strings.Contains(c.Argon2id, password) {
		t.Error("a secret lies open")
	}
	if _, err := h.vault.open(ntSecret, "another user", c.NTHash); err == nil {
		t.Error("opens for another user")
	}
	if _, err := h.vault.open(md5Secret, u.GUID, c.NTHash); err == nil {
		t.Error("opens as something else")
	}
	other, _ := newVault(make([]byte, 32))
	if _, err := other.open(ntSecret, u.GUID, c.NTHash); err == nil {
		t.Error("opens with another key")
	}
	if !strings.HasPrefix(c.Argon2id, "$argon2id$v=19$m=65536,t=3,p=1$") {
		t.Error(c.Argon2id)
	}
}

// lyncClient does what a Lync client does over HTTPS, as the protocol reference has it.
type lyncClient struct {
	*house
	user, login, password string
	message               int
}

func (h *house) client(name string) *lyncClient {
	return &lyncClient{house: h, user: name + "@contoso.test", login: name + "@contoso.test", password: password}
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (c *lyncClient) do(method, url string, header http.Header, body []byte) reply {
	c.t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	res, err := c.srv.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, b}
}

func (c *lyncClient) port(service, name string) soap.Port {
	c.t.Helper()
	p, ok, err := soap.FindPort(c.do("GET", service+"/mex", nil, nil).body, name)
	if !ok || err != nil {
		c.t.Fatalf("%s has no port %s: %v", service, name, err)
	}
	return p
}

func (c *lyncClient) post(url, action string, security, body []byte, basic bool) reply {
	c.t.Helper()
	c.message++
	h := http.Header{"SOAPAction": {`"` + action + `"`}, "Content-Type": {"text/xml"}}
	if basic {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.login+":"+c.password)))
	}
	doc := soap.AppendRequest(nil, soap.Headers{To: url, Action: action, MessageID: fmt.Sprintf("uuid:%d", c.message), Security: security}, body)
	return c.do("POST", url, h, doc)
}

// ticket is a web ticket with its key.
type ticket struct {
	soap.TicketResponse
	key []byte
}

func (t ticket) id() string {
	x, err := soap.Parse(t.Assertion)
	if err != nil {
		return ""
	}
	return x.Attr("AssertionID")
}

func (t ticket) security() []byte {
	return soap.AppendSecurity(nil, t.Assertion, t.id(), t.key, t.Created, t.Expires)
}

// ticketFor gets a web ticket for a service with a login.
func (c *lyncClient) ticketFor(issuer, service string) ticket {
	c.t.Helper()
	at := c.port(issuer, "WebTicketServiceWinNegotiate").Location
	entropy := make([]byte, 32)
	rand.Read(entropy)
	body := soap.TicketRequest{Context: "c1", AppliesTo: service, Claim: "sip:" + c.user, Entropy: entropy}.Append(nil)
	if r := c.post(at, soap.ActionIssue, nil, body, false); r.status != 401 || !strings.Contains(strings.Join(r.header["Www-Authenticate"], " "), "Basic") {
		c.t.Fatalf("without login: %d %v", r.status, r.header)
	}
	r := c.post(at, soap.ActionIssue, nil, body, true)
	if r.status != 200 {
		c.t.Fatalf("%d %s", r.status, r.body)
	}
	t, err := soap.ParseTicketResponse(r.body)
	if err != nil || t.Context != "c1" {
		c.t.Fatal(err, t.Context)
	}
	return ticket{t, soap.ProofKey(entropy, t.Entropy)}
}

func certRequest(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

// proof walks to a ticket for the provisioning service.
func (c *lyncClient) proof() (soap.Port, ticket) {
	c.t.Helper()
	p := c.port(c.STSURI(), "CertProvisioningServiceWebTicketProof_SHA1")
	return p, c.ticketFor(p.Issuer, p.Location)
}

func (c *lyncClient) publish(csr []byte) []byte {
	return soap.PublishRequest{DeviceID: "{d1}", Entity: c.user, PKCS10: csr, RequestID: "1"}.Append(nil)
}

func TestPreparationOfTLSDSK(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	c := h.client("alice")
	p, tick := c.proof()
	if p.Proof != soap.Signed {
		t.Errorf("the port asks for proof %d", p.Proof)
	}
	key, csr := certRequest(t)
	r := c.post(p.Location, soap.ActionPublish, tick.security(), c.publish(csr), false)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	got, err := soap.ParsePublishResponse(r.body)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(got.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) || cert.NotAfter.Before(h.clock.Now().Add(time.Hour)) || cert.Subject.CommonName != c.user {
		t.Errorf("%v until %v", cert.Subject, cert.NotAfter)
	}
	acc, err := h.ByCertificate(t.Context(), sha256.Sum256(cert.RawSubjectPublicKeyInfo))
	if err != nil || acc.User != alice {
		t.Errorf("%v %v", acc.User, err)
	}
	if list, err := h.pki.Clients(t.Context(), alice); len(list) != 1 || list[0].Device != "{d1}" || err != nil {
		t.Errorf("%v %v", list, err)
	}
	if n, err := h.pki.Revoke(t.Context(), alice, "{D1}"); n != 1 || err != nil {
		t.Errorf("revoked %d %v", n, err)
	}
	if _, err := h.ByCertificate(t.Context(), sha256.Sum256(cert.RawSubjectPublicKeyInfo)); !fault.Is(err, fault.NotFound) {
		t.Errorf("after revocation: %v", err)
	}
}

func TestProvisioningRefuses(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.add("bob", true)
	c := h.client("alice")
	p, good := c.proof()
	_, csr := certRequest(t)
	elsewhere := c.ticketFor(p.Issuer, "https://fe1.contoso.test/Abs/Service.svc")
	cases := []struct {
		name     string
		security func() []byte
		body     []byte
		text     string
	}{
		{"no ticket", func() []byte { return nil }, nil, "wsse:Security"},
		{"ticket changed", func() []byte { return bytes.Replace(good.security(), []byte("alice@"), []byte("bobbb@"), 1) }, nil, "not issued by this pool"},
		{"signed with another key", func() []byte { x := good; x.key = make([]byte, 32); return x.security() }, nil, "does not fit the web ticket"},
		{"timestamp changed", func() []byte {
			return bytes.Replace(good.security(), []byte("<wsu:Created>2"), []byte("<wsu:Created>1"), 1)
		}, nil, "does not fit the web ticket"},
		{"another audience", elsewhere.security, nil, "for another service"},
		{"another user", good.security, soap.PublishRequest{DeviceID: "{d}", Entity: "bob@contoso.test", PKCS10: csr}.Append(nil), "another user"},
		{"no request", good.security, soap.PublishRequest{DeviceID: "{d}", Entity: c.user, PKCS10: []byte("rubbish")}.Append(nil), "not PKCS#10"},
		{"no device", good.security, soap.PublishRequest{Entity: c.user, PKCS10: csr}.Append(nil), "DeviceId"},
		{"another operation", good.security, []byte("<x/>"), "GetAndPublishCert"},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			if x.body == nil {
				x.body = c.publish(csr)
			}
			r := c.post(p.Location, soap.ActionPublish, x.security(), x.body, false)
			refusal(t, r, x.text)
		})
	}
	if list, _ := h.pki.Clients(t.Context(), alice); len(list) != 0 {
		t.Errorf("issued all the same: %v", list)
	}

	t.Run("replay", func(t *testing.T) {
		c.message = 1000
		if r := c.post(p.Location, soap.ActionPublish, good.security(), c.publish(csr), false); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		c.message = 1000
		refusal(t, c.post(p.Location, soap.ActionPublish, good.security(), c.publish(csr), false), "was sent before")
	})
	t.Run("disabled since", func(t *testing.T) {
		set := func(on bool) {
			u, err := h.store.ByAddress(t.Context(), alice)
			if err == nil {
				_, err = h.store.Update(t.Context(), u.GUID, func(u *users.User) error { u.Enabled = on; return nil })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		set(false)
		r := c.post(p.Location, soap.ActionPublish, good.security(), c.publish(csr), false)
		set(true)
		if r.status != 403 || !strings.HasPrefix(r.header.Get("X-Ms-Diagnostics"), "28000;") {
			t.Errorf("%d %v", r.status, r.header)
		}
	})
	t.Run("expired", func(t *testing.T) {
		h.clock.forward(9 * time.Hour)
		r := c.post(p.Location, soap.ActionPublish, good.security(), c.publish(csr), false)
		refusal(t, r, "has expired")
		if !strings.Contains(string(r.body), "<ErrorId>28033</ErrorId>") {
			t.Errorf("%s", r.body)
		}
	})
}

func refusal(t *testing.T, r reply, text string) {
	t.Helper()
	e, err := soap.ParseEnvelope(r.body)
	if err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	f, ok := soap.ParseFault(e)
	if !ok || r.status < 400 || !strings.Contains(f.Reason, text) {
		t.Errorf("%d %+v, want a fault with %q", r.status, f, text)
	}
}

func TestTicketServiceRefuses(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.add("dora", false)
	at := h.TicketURL() + "/Auth"
	here := "https://127.0.0.1" + ProvPath
	for _, x := range []struct {
		name, user, password string
		request              soap.TicketRequest
		status               int
		text                 string
	}{
		{"wrong password", "alice", "wrong", soap.TicketRequest{AppliesTo: here}, 401, "wrong"},
		{"nobody", "nobody", password, soap.TicketRequest{AppliesTo: here}, 401, "wrong"},
		{"disabled", "dora", password, soap.TicketRequest{AppliesTo: here}, 403, "disabled"},
		{"another's claim", "alice", password, soap.TicketRequest{AppliesTo: here, Claim: "sip:bob@contoso.test"}, 500, "another user"},
		{"another host", "alice", password, soap.TicketRequest{AppliesTo: "https://evil.test" + ProvPath}, 500, "AppliesTo"},
		{"no TLS", "alice", password, soap.TicketRequest{AppliesTo: "http://127.0.0.1" + ProvPath}, 500, "AppliesTo"},
		{"nothing", "alice", password, soap.TicketRequest{}, 500, "AppliesTo"},
		{"short entropy", "alice", password, soap.TicketRequest{AppliesTo: here, Entropy: []byte("short")}, 500, "Entropy"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := h.client(x.user)
			c.password = x.password
			r := c.post(at, soap.ActionIssue, nil, x.request.Append(nil), true)
			refusal(t, r, x.text)
			if r.status != x.status {
				t.Errorf("status %d, want %d", r.status, x.status)
			}
		})
	}
	c := h.client("alice")
	auth := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(c.login+":"+password))}}
	if r := c.do("POST", at, auth, bytes.Repeat([]byte("x"), soap.MaxDocument+1)); r.status != 413 {
		t.Errorf("oversized: %d", r.status)
	}
	refusal(t, c.do("POST", at, auth, []byte("<x")), "malformed")
	refusal(t, c.do("POST", h.plain.URL+TicketPath, auth, nil), "HTTPS only")
	if r := c.do("POST", at, http.Header{"Authorization": {"Basic !"}}, nil); r.status != 401 {
		t.Errorf("rubbish credentials: %d", r.status)
	}
}

func TestGuessingIsSlowed(t *testing.T) {
	h := open(t)
	for range 20 {
		h.cfg.Brake.Failed(netip.MustParseAddr("127.0.0.1"), "alice@contoso.test", h.clock.Now())
	}
	r := h.client("alice").post(h.TicketURL(), soap.ActionIssue, nil, nil, true)
	if r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

func TestAutodiscover(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	c := h.client("alice")
	accept := http.Header{"Accept": {"application/vnd.microsoft.rtc.autodiscover+xml;v=1"}}
	get := func(url string, header http.Header) (soap.Discovery, reply) {
		t.Helper()
		r := c.do("GET", url, header, nil)
		d, err := soap.ParseDiscovery(r.body)
		if r.status == 200 && (err != nil || !strings.HasPrefix(r.header.Get("Content-Type"), "application/vnd.microsoft.rtc.autodiscover+xml")) {
			t.Errorf("%s: %v %v", url, err, r.header)
		}
		return d, r
	}
	q := "/?sipuri=" + url.QueryEscape(c.user)
	d, _ := get(h.plain.URL+q, accept)
	if len(d.Links) != 1 || d.Links[0].Token != "Redirect" || !strings.HasPrefix(d.Links[0].Href, "https://") {
		t.Fatalf("plain: %+v", d)
	}
	if d, _ = get(d.Links[0].Href, accept); len(d.Links) != 1 || d.Links[0].Token != "User" {
		t.Fatalf("redirected: %+v", d)
	}
	if d, _ = get(h.srv.URL+q, accept); len(d.Links) != 1 || !d.Internal {
		t.Fatalf("root: %+v", d)
	}
	userURL := d.Links[0].Href
	_, r := get(userURL, accept)
	issuer := r.header.Get("X-MS-WebTicketURL")
	if r.status != 401 || issuer == "" || r.header.Get("WWW-Authenticate") != "" {
		t.Fatalf("without ticket: %d %v", r.status, r.header)
	}
	tick := c.ticketFor(issuer, userURL)
	show := func(a []byte) http.Header {
		x := accept.Clone()
		x.Set("X-MS-WebTicket", "opaque="+base64.StdEncoding.EncodeToString(a))
		return x
	}
	d, _ = get(userURL, show(tick.Assertion))
	if !d.User || d.Inside != h.cfg.Inside {
		t.Errorf("user: %+v", d)
	}
	if _, r := get(userURL, show(bytes.Replace(tick.Assertion, []byte("alice@"), []byte("bobby@"), 1))); r.status != 401 {
		t.Errorf("changed ticket: %d", r.status)
	}
	wrong := c.ticketFor(issuer, "https://127.0.0.1"+ProvPath)
	if _, r := get(userURL, show(wrong.Assertion)); r.status != 401 || !strings.Contains(string(r.body), "another service") {
		t.Errorf("ticket for another service: %d %s", r.status, r.body)
	}
	if _, r := get(h.srv.URL+"/?sipuri=eve@elsewhere.test", accept); r.status != 404 {
		t.Errorf("foreign domain: %d", r.status)
	}
	if _, r := get(h.srv.URL+"/?sipuri=rubbish", accept); r.status != 400 {
		t.Errorf("rubbish address: %d", r.status)
	}
	if _, r := get(h.srv.URL+"/autodiscover/autodiscoverservice.svc/root", nil); r.status != 200 {
		t.Errorf("the load balancer's probe: %d", r.status)
	}
	h.clock.forward(9 * time.Hour)
	if _, r := get(userURL, show(tick.Assertion)); r.status != 401 || r.header.Get("X-MS-WebTicketURL") == "" {
		t.Errorf("expired: %d", r.status)
	}
}

func TestAnotherServerTakesTheTicket(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	c := h.client("alice")
	_, tick := c.proof()
	cfg := h.cfg
	cfg.Server = "fe2.contoso.test"
	for name, x := range map[string]struct {
		key []byte
		ok  bool
	}{"of the pool": {cfg.TicketKey, true}, "of another pool": {make([]byte, 32), false}} {
		cfg.TicketKey = x.key
		other, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := soap.ParseEnvelope(soap.AppendRequest(nil, soap.Headers{MessageID: "uuid:x", Security: tick.security()}, nil))
		if err != nil {
			t.Fatal(err)
		}
		u, err := other.signed(context.Background(), doc, ProvPath)
		if x.ok != (err == nil && u.SipAddress == alice) {
			t.Errorf("a server %s: %v %v", name, u.SipAddress, err)
		}
	}
}

func TestReplaysAreBounded(t *testing.T) {
	r, now := newReplays(), time.Now()
	for i := range maxRequests {
		if err := r.first("t", fmt.Sprint(i), now, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.first("t", "one more", now, now.Add(time.Minute)); !fault.Is(err, fault.Overload) {
		t.Error(err)
	}
	if err := r.first("t", "one more", now.Add(time.Hour), now.Add(2*time.Hour)); err != nil || len(r.seen) != 1 {
		t.Error(err, len(r.seen))
	}
}

func FuzzPHC(f *testing.F) {
	f.Add(present.format(make([]byte, 16), make([]byte, 32)))
	f.Fuzz(func(t *testing.T, s string) {
		if c, salt, sum, err := parsePHC(s); err == nil && (c.memory > 256<<10 || len(salt) < 8 || len(sum) < 16) {
			t.Errorf("%+v", c)
		}
	})
}
