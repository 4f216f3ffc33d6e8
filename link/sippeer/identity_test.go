package sippeer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"trivet/uc"
)

type authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	a.root = a.issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) issue(t *testing.T, c *x509.Certificate) *x509.Certificate {
	c.SerialNumber, c.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent := a.root
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestIdentity(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ours.root)
	id := Identity{Roots: func() *x509.CertPool { return pool }, Known: func(s uc.ServerFQDN) bool { return s == "fe2.example.test" }}
	server, client := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	const fe2 = "fe2.example.test"
	for name, tc := range map[string]struct {
		by   *authority
		cert x509.Certificate
		want string
	}{
		"a server":                     {ours, x509.Certificate{DNSNames: []string{fe2}, ExtKeyUsage: server}, fe2},
		"a server of a pool":           {ours, x509.Certificate{DNSNames: []string{"pool.example.test", fe2}, ExtKeyUsage: append(server, client...)}, fe2},
		"a server of no topology":      {ours, x509.Certificate{DNSNames: []string{"fe9.example.test"}, ExtKeyUsage: server}, ""},
		"a user with a server's name":  {ours, x509.Certificate{DNSNames: []string{fe2}, ExtKeyUsage: client}, ""},
		"a user":                       {ours, x509.Certificate{Subject: pkix.Name{CommonName: fe2}, ExtKeyUsage: client}, ""},
		"a name that is only a common": {ours, x509.Certificate{Subject: pkix.Name{CommonName: fe2}, ExtKeyUsage: server}, ""},
		"of another authority":         {others, x509.Certificate{DNSNames: []string{fe2}, ExtKeyUsage: server}, ""},
		"expired":                      {ours, x509.Certificate{DNSNames: []string{fe2}, ExtKeyUsage: server, NotAfter: time.Now().Add(-time.Minute)}, ""},
	} {
		cert := tc.cert
		if got := id.Server(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{tc.by.issue(t, &cert)}}); got != tc.want {
			t.Errorf("%s is taken for %q, want %q", name, got, tc.want)
		}
	}
	if got := id.Server(&tls.ConnectionState{}); got != "" {
		t.Errorf("nobody is taken for %q", got)
	}
}
