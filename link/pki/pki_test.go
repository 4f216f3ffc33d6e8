package pki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/uc"
)

// hand is a clock that a test moves.
type hand struct {
	clock.Real
	mu   sync.Mutex
	now  time.Time
	tick chan time.Time
}

func newHand() *hand { return &hand{now: time.Now(), tick: make(chan time.Time)} }

func (h *hand) Now() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }
func (h *hand) forward(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
}
func (h *hand) NewTicker(time.Duration) clock.Ticker { return h }
func (h *hand) C() <-chan time.Time                  { return h.tick }
func (h *hand) Stop()                                {}

var fe1 = Names{Server: "fe1.example.test", Pool: "pool1.example.test", Domains: []string{"example.test"}, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}}

func open(t *testing.T, dir string, c clock.Clock, names Names) *Authority {
	t.Helper()
	a, err := Open(Config{Dir: dir, Names: names, Clock: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// shake makes one TLS handshake with the Default certificate.
func shake(t *testing.T, a *Authority, name string) (client, server *tls.Conn) {
	t.Helper()
	c, s := net.Pipe()
	t.Cleanup(func() { c.Close(); s.Close() })
	server = tls.Server(s, &tls.Config{GetCertificate: a.GetCertificate})
	client = tls.Client(c, &tls.Config{RootCAs: a.Roots(), ServerName: name})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatalf("handshake for %s: %v", name, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestFirstStart(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, newHand(), fe1)
	for _, name := range []string{"fe1.example.test", "pool1.example.test", "sip.example.test", "lyncdiscover.example.test", "LyncDiscoverInternal.example.test", "localhost", "127.0.0.1", "192.0.2.7"} {
		shake(t, a, name)
	}
	if cn := a.current[0].Load().Leaf.Subject.CommonName; cn != "pool1.example.test" {
		t.Errorf("subject is %s, the product names the pool", cn)
	}
	if left := time.Until(a.Root().NotAfter); left < 10*365*24*time.Hour {
		t.Errorf("root ends in %s", left)
	}
	dsk, err := a.Source(TLSDSK)(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := dsk.PrivateKey.(*rsa.PrivateKey); !ok {
		t.Errorf("TlsDsk has a %T", dsk.PrivateKey)
	}
	pub, err := os.Stat(filepath.Join(dir, "ca.pem"))
	if err != nil || pub.Mode().Perm() != 0o644 {
		t.Errorf("ca.pem: %v %v", pub.Mode(), err)
	}
	err = filepath.WalkDir(filepath.Join(dir, "pki"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecondStartKeepsEverything(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	a := open(t, dir, h, fe1)
	secret, err := a.Secret("webticket", 32)
	if err != nil {
		t.Fatal(err)
	}
	before := a.List()
	b := open(t, dir, h, fe1)
	if again, _ := b.Secret("webticket", 32); string(again) != string(secret) {
		t.Error("the secret changed")
	}
	after := b.List()
	if len(after) != len(Uses) || after[0].Thumbprint == "" || !slices.EqualFunc(before, after, func(x, y Info) bool { return x.Thumbprint == y.Thumbprint }) {
		t.Errorf("certificates changed: %v then %v", before, after)
	}
	if !a.Root().Equal(b.Root()) {
		t.Error("the root changed")
	}
}

func TestNewDomainIsCoveredAtNextStart(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	open(t, dir, h, fe1)
	more := fe1
	more.Domains = []string{"example.test", "example.org"}
	shake(t, open(t, dir, h, more), "sip.example.org")
}

func TestDamagedFolder(t *testing.T) {
	for _, c := range []struct{ name, remove, write, text string }{
		{"key lost", "pki/ca.key", "", "pki/ca.key is missing"},
		{"root rubbish", "", "ca.pem", "ca.pem has no certificate"},
		{"key rubbish", "", "pki/ca.key", "key of the authority cannot be read"},
		{"uses rubbish", "", "pki/uses.json", "pki/uses.json cannot be read"},
		{"secret short", "", "pki/secret-x.key", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			open(t, dir, newHand(), fe1)
			if c.remove != "" {
				os.Remove(filepath.Join(dir, c.remove))
			} else if err := os.WriteFile(filepath.Join(dir, c.write), []byte("rubbish"), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := Open(Config{Dir: dir, Names: fe1, Clock: newHand(), Log: slog.New(slog.DiscardHandler)})
			if c.text == "" {
				if err == nil {
					_, err = a.Secret("x", 32)
				}
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want a text with %q", err, c.text)
			}
		})
	}
}

func TestLostRootBeginsAnew(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	old := open(t, dir, h, fe1)
	os.Remove(filepath.Join(dir, "ca.pem"))
	os.Remove(filepath.Join(dir, "pki", "ca.key"))
	a := open(t, dir, h, fe1)
	if a.Root().Equal(old.Root()) {
		t.Fatal("same root")
	}
	shake(t, a, "fe1.example.test")
}

func TestRenewalWhileRunning(t *testing.T) {
	h := newHand()
	a := open(t, t.TempDir(), h, fe1)
	client, server := shake(t, a, "fe1.example.test")
	first := a.current[0].Load().Leaf
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	h.tick <- h.Now() // nothing is due
	h.forward(serverLife - renewBefore)
	h.tick <- h.Now()
	h.tick <- h.Now() // taken only after the round before
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	second := a.current[0].Load().Leaf
	if second.Equal(first) || !second.NotAfter.After(first.NotAfter) {
		t.Fatal("not renewed")
	}
	go server.Write([]byte("still here"))
	b := make([]byte, 10)
	if _, err := io.ReadFull(client, b); err != nil || string(b) != "still here" {
		t.Errorf("the old connection: %q %v", b, err)
	}
}

// office is an authority elsewhere.
type office struct {
	root, mid *x509.Certificate
	key       crypto.Signer
}

func newOffice(t *testing.T) *office {
	rootKey, midKey := ecKey(t), ecKey(t)
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(9999 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	root := sign(t, ca("Office root"), nil, rootKey.Public(), rootKey)
	return &office{root: root, mid: sign(t, ca("Office issuing"), root, midKey.Public(), rootKey), key: midKey}
}

func ecKey(t *testing.T) crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, c, issuer *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (o *office) server(t *testing.T, pub crypto.PublicKey, edit func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "pool1.example.test"}, DNSNames: []string{"pool1.example.test", "fe1.example.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2000 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if edit != nil {
		edit(c)
	}
	return sign(t, c, o.mid, pub, o.key)
}

func pemOf(certs ...*x509.Certificate) (b []byte) {
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return b
}

func TestImportAndUse(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	a := open(t, dir, h, fe1)
	client, server := shake(t, a, "fe1.example.test")
	o, key := newOffice(t), ecKey(t)
	leaf := o.server(t, key.Public(), nil)
	keyFile, _ := encodeKey(key)
	info, err := a.Import(pemOf(o.root, leaf, o.mid), keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Uses) != 0 || info.Own || !slices.Contains(info.Missing, "sip.example.test") {
		t.Errorf("imported: %+v", info)
	}
	if err := a.Use(TLSDSK, info.Thumbprint); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "RSA") {
		t.Errorf("an ECDSA certificate for TlsDsk: %v", err)
	}
	if err := a.Use(Default, strings.ToLower(info.Thumbprint)); err != nil {
		t.Fatal(err)
	}
	got, _ := a.GetCertificate(nil)
	if !got.Leaf.Equal(leaf) || len(got.Certificate) != 2 {
		t.Errorf("served: %v with %d certificates, want leaf and issuer", got.Leaf.Subject, len(got.Certificate))
	}
	go server.Write([]byte("x"))
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Errorf("the old connection broke: %v", err)
	}
	if err := a.Remove(info.Thumbprint); !fault.Is(err, fault.Invalid) {
		t.Errorf("a certificate in use was removed: %v", err)
	}
	b := open(t, dir, h, fe1)
	if got, _ := b.GetCertificate(nil); !got.Leaf.Equal(leaf) {
		t.Error("after a restart another certificate is served")
	}
	h.forward(2001 * time.Hour)
	if err := b.Renew(); err != nil {
		t.Fatal(err)
	}
	if got, _ := b.GetCertificate(nil); got.Leaf.Equal(leaf) || !got.Leaf.NotAfter.After(h.Now()) {
		t.Error("an ended certificate goes on being served")
	}
}

func TestImportRefusals(t *testing.T) {
	o, key, other := newOffice(t), ecKey(t), ecKey(t)
	good := o.server(t, key.Public(), nil)
	goodKey, _ := encodeKey(key)
	otherKey, _ := encodeKey(other)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakKey, _ := encodeKey(weak)
	cases := []struct {
		name, text string
		certs, key []byte
	}{
		{"empty", "no certificate in PEM form", nil, nil},
		{"no key", "no private key", pemOf(good, o.mid, o.root), []byte("x")},
		{"locked key", "locked by a password", pemOf(good), []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")},
		{"other key", "belongs to none", pemOf(good, o.mid, o.root), otherKey},
		{"issuer missing", `"CN=Office issuing"; add`, pemOf(good, o.root), goodKey},
		{"root missing", `"CN=Office root"; add`, pemOf(good, o.mid), goodKey},
		{"ended", "ended on", pemOf(o.server(t, key.Public(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), o.mid, o.root), goodKey},
		{"not yet", "not valid before", pemOf(o.server(t, key.Public(), func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), o.mid, o.root), goodKey},
		{"wrong name", "lacks the name fe1.example.test", pemOf(o.server(t, key.Public(), func(c *x509.Certificate) { c.DNSNames = c.DNSNames[:1] }), o.mid, o.root), goodKey},
		{"for clients", "server authentication", pemOf(o.server(t, key.Public(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), o.mid, o.root), goodKey},
		{"weak", "2048", pemOf(o.server(t, weak.Public(), nil), o.mid, o.root), weakKey},
		{"too large", "256 KiB", make([]byte, maxBrought+1), nil},
		{"too many", "more than 10", pemOf(slices.Repeat([]*x509.Certificate{good}, 11)...), goodKey},
	}
	dir := t.TempDir()
	a := open(t, dir, newHand(), fe1)
	before := len(a.List())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := a.Import(c.certs, c.key)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want a text with %q", err, c.text)
			}
			if len(a.List()) != before {
				t.Error("something was stored")
			}
		})
	}
}

func TestSigningRequest(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	a := open(t, dir, h, fe1)
	req, err := a.SigningRequest(Default, []string{"meet.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(req)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || !slices.Contains(csr.DNSNames, "meet.example.test") || slices.Contains(csr.DNSNames, "localhost") {
		t.Fatalf("request for %v: %v", csr.DNSNames, err)
	}
	o := newOffice(t)
	b := open(t, dir, h, fe1) // the key outlives a restart
	if _, err := b.Import(pemOf(o.server(t, csr.PublicKey, nil), o.mid, o.root), nil); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "pki", "pending", "*")); len(left) != 0 {
		t.Errorf("still waiting: %v", left)
	}
}

func TestRequestedNamesOutliveRenewal(t *testing.T) {
	h := newHand()
	a := open(t, t.TempDir(), h, fe1)
	info, err := a.Request(Default, []string{"meet.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Use(Default, info.Thumbprint); err != nil {
		t.Fatal(err)
	}
	h.forward(serverLife - renewBefore + time.Hour)
	if err := a.Renew(); err != nil {
		t.Fatal(err)
	}
	if err := a.current[0].Load().Leaf.VerifyHostname("meet.example.test"); err != nil {
		t.Error(err)
	}
}

func clientRequest(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	b, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "whoever"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestClientCertificates(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	a := open(t, dir, h, fe1)
	key, err := newRSA()
	if err != nil {
		t.Fatal(err)
	}
	const alice, bob = uc.UserURI("sip:alice@example.test"), uc.UserURI("sip:bob@example.test")
	der, rec, err := a.IssueClient(t.Context(), clientRequest(t, key), alice, "{d1}")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: a.Roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if d := rec.Expires.Sub(h.Now()); d < 179*24*time.Hour || d > 181*24*time.Hour {
		t.Errorf("valid for %s", d)
	}
	if _, _, err := a.IssueClient(t.Context(), clientRequest(t, key), bob, "{d2}"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the key of another user: %v", err)
	}
	if _, _, err := a.IssueClient(t.Context(), clientRequest(t, ecKey(t)), alice, "{d1}"); !fault.Is(err, fault.Invalid) {
		t.Errorf("an ECDSA request: %v", err)
	}
	torn := clientRequest(t, key)
	torn[len(torn)-1] ^= 1
	if _, _, err := a.IssueClient(t.Context(), torn, alice, "{d1}"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a request with a broken signature: %v", err)
	}

	a.Close() // and a crash in the middle of a line
	f, err := os.OpenFile(filepath.Join(dir, "pki", "clients.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"revoke":"ab`)
	f.Close()
	b := open(t, dir, h, fe1)
	if c, err := b.ClientOf(t.Context(), HashKey(cert)); err != nil || c.User != alice {
		t.Fatalf("after a restart: %v %v", c, err)
	}
	if n, err := b.Revoke(t.Context(), alice, "{other}"); n != 0 || err != nil {
		t.Errorf("revoked %d %v", n, err)
	}
	if n, err := b.Revoke(t.Context(), alice, ""); n != 1 || err != nil {
		t.Errorf("revoked %d %v", n, err)
	}
	if _, err := b.ClientOf(t.Context(), HashKey(cert)); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after revocation: %v", err)
	}
	if _, err := open(t, dir, h, fe1).ClientOf(t.Context(), HashKey(cert)); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after revocation and restart: %v", err)
	}
}

func TestClientCertificateEnds(t *testing.T) {
	h := newHand()
	a := open(t, t.TempDir(), h, fe1)
	key, _ := newRSA()
	der, _, err := a.IssueClient(t.Context(), clientRequest(t, key), "sip:alice@example.test", "{d}")
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	h.forward(181 * 24 * time.Hour)
	if _, err := a.ClientOf(t.Context(), HashKey(cert)); !fault.Is(err, fault.Unauthenticated) {
		t.Error(err)
	}
	if left, err := a.Clients(t.Context(), "sip:alice@example.test"); len(left) != 0 || err != nil {
		t.Errorf("listed: %v", left)
	}
}

func TestOldestGivesWay(t *testing.T) {
	dir, h := t.TempDir(), newHand()
	a := open(t, dir, h, fe1)
	const alice = uc.UserURI("sip:alice@example.test")
	for i := range perUser + 3 {
		c := ClientCert{User: alice, Device: "d", Key: KeyHash{byte(i)}, Expires: h.Now().Add(time.Hour)}
		if err := a.clients.Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	left, err := a.Clients(t.Context(), alice)
	if err != nil || len(left) != perUser || left[0].Key != (KeyHash{3}) {
		t.Errorf("%d left, first %v", len(left), left[0].Key)
	}
	if again, _ := open(t, dir, h, fe1).Clients(t.Context(), alice); len(again) != perUser || again[0].Key != left[0].Key {
		t.Errorf("after a restart %d, first %v", len(again), again[0].Key)
	}
}
