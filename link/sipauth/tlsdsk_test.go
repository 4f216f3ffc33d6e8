package sipauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"trivet/fault"
)

var rsaCertificate = sync.OnceValue(func() *tls.Certificate { return makeCertificate(time.Now().Add(24 * time.Hour)) })

func makeCertificate(until time.Time) *tls.Certificate {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice@contoso.test"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func withKeys(s *site) {
	s.auth.cfg.Certificate = rsaCertificate
	s.auth.cfg.Keytab = func() *keytab.Keytab { return keytab.New() }
}

// tokens is the client's end of a handshake inside SIP: what is written
// collects, what is read comes from exchange.
type tokens struct {
	net.Conn
	out, in  []byte
	exchange func(out []byte) ([]byte, error)
}

func (c *tokens) Write(p []byte) (int, error) { c.out = append(c.out, p...); return len(p), nil }

func (c *tokens) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		in, err := c.exchange(c.out)
		if err != nil {
			return 0, err
		}
		c.out, c.in = nil, in
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *tokens) SetDeadline(time.Time) error      { return nil }
func (c *tokens) SetReadDeadline(time.Time) error  { return nil }
func (c *tokens) SetWriteDeadline(time.Time) error { return nil }

// dskHandshake runs the client's TLS and returns a client that signs. flights
// are what the server sent.
func dskHandshake(s *site, cert *tls.Certificate, version uint16) (c *lyncClient, verify func(text, sig []byte) bool, flights [][]byte, err error) {
	c = &lyncClient{scheme: "TLS-DSK", target: fqdn, user: alice, version: 4}
	conn := tls.Client(&tokens{exchange: func(out []byte) ([]byte, error) {
		user, res, err := s.check(s.peer, request("REGISTER", alice, c.line("", out)))
		if err != nil || user != "" {
			return nil, io.ErrUnexpectedEOF
		}
		cred, _, err := parseCredentials(res.Get("WWW-Authenticate"))
		if err != nil || cred.scheme != tlsdskScheme || !cred.has[pData] {
			return nil, io.ErrUnexpectedEOF
		}
		in := c.next(s.T, res)
		flights = append(flights, slices.Clone(in))
		return in, nil
	}}, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version, InsecureSkipVerify: true,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, Certificates: []tls.Certificate{*cert}})
	if err := conn.Handshake(); err != nil {
		return nil, nil, flights, err
	}
	st := conn.ConnectionState()
	block, err := st.ExportKeyingMaterial("client EAP encryption", nil, 128)
	if err != nil {
		return nil, nil, nil, err
	}
	mine := newDSKMAC(block[96:128], block[64:96]) // the server's, turned round
	c.sign = func(text []byte) []byte { return mine.sign(nil, text) }
	return c, mine.verify, flights, nil
}

func dskSite(t *testing.T, cert *tls.Certificate) *site {
	s := newSite(t)
	withKeys(s)
	s.acc.byKey[sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)] = Account{User: alice}
	return s
}

func TestTLSDSK(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS12} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := dskSite(t, rsaCertificate())
			c, verify, flights, err := dskHandshake(s, rsaCertificate(), version)
			if err != nil {
				t.Fatal(err)
			}
			if f := flights[0]; len(f) != recordHead+int(f[3])<<8+int(f[4]) {
				t.Error("the first flight is not one record")
			}
			s.accept(c.seal(request("REGISTER", alice, ""), nil), alice)
			s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
			checkSigned(t, s.peer, c, verify)
			bad := c.seal(request("SUBSCRIBE", alice, ""), nil)
			bad.Set("CSeq", "9 SUBSCRIBE")
			s.challenge(bad)
		})
	}
}

func TestTLSDSKUnsignedEnd(t *testing.T) {
	s := dskSite(t, rsaCertificate())
	c, _, _, err := dskHandshake(s, rsaCertificate(), tls.VersionTLS10)
	if err != nil {
		t.Fatal(err)
	}
	s.challenge(request("REGISTER", alice, c.line("", nil)))
	if len(s.peer.live)+len(s.peer.pending) != 0 {
		t.Error("the association is still there")
	}
}

func TestTLSDSKRefusals(t *testing.T) {
	for _, tc := range []struct {
		name string
		cert func() *tls.Certificate
		prep func(s *site)
	}{
		{"unknown key", rsaCertificate, func(s *site) { clear(s.acc.byKey) }},
		{"expired", func() *tls.Certificate { return makeCertificate(time.Now().Add(-time.Hour)) }, func(*site) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cert := tc.cert()
			s := dskSite(t, cert)
			tc.prep(s)
			if _, _, _, err := dskHandshake(s, cert, tls.VersionTLS10); err == nil {
				t.Error("the handshake succeeded")
			}
		})
	}
	s := dskSite(t, rsaCertificate())
	s.acc.disable(alice)
	c, _, _, err := dskHandshake(s, rsaCertificate(), tls.VersionTLS10)
	if err != nil {
		t.Fatal(err)
	}
	s.challenge(c.seal(request("REGISTER", alice, ""), nil))
}

// TestTLSDSKForeignKey signs in with a key that TLS-DSK does not know.
func TestTLSDSKForeignKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := rsaCertificate().Leaf
	stolen := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	s := dskSite(t, rsaCertificate())
	if _, _, _, err := dskHandshake(s, stolen, tls.VersionTLS10); err == nil {
		t.Error("a certificate without its key was accepted")
	}
}

func TestTLSDSKGarbage(t *testing.T) {
	s := dskSite(t, rsaCertificate())
	c := &lyncClient{scheme: "TLS-DSK", target: fqdn, version: 4}
	for _, token := range [][]byte{{}, {22}, {22, 3, 1, 0xff, 0xff, 0}, []byte("GET / HTTP/1.1\r\n\r\n")} {
		user, _, err := s.check(s.peer, request("REGISTER", alice, c.line("", token)))
		if user != "" || len(s.peer.pending) != 0 {
			t.Errorf("%q: user %q, err %v, %d pending", token, user, err, len(s.peer.pending))
		}
	}
	if e := s.refuse(request("REGISTER", alice, c.line("", []byte{})), fault.Invalid); e.Text == "" {
		t.Error("no reason")
	}
}
