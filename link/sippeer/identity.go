package sippeer

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"trivet/uc"
)

// Identity finds the server behind the certificate of a TLS connection.
type Identity struct {
	Roots func() *x509.CertPool    // of the pool
	Known func(uc.ServerFQDN) bool // reports whether the topology has the server
	Now   func() time.Time         // nil: time.Now
}

// Server is the name of the server of the topology that the other side has proved to
// be, "" for anybody else: a device with a certificate of its own, a user with one of
// ours. It is for sipauth.Config.Server; the listener has to ask for certificates
// (tls.RequestClientCert) and leaves the checking to this function, so that phones
// with certificates of their makers are not turned away.
func (i Identity) Server(state *tls.ConnectionState) string {
	if len(state.PeerCertificates) == 0 {
		return ""
	}
	leaf := state.PeerCertificates[0]
	server := i.named(leaf)
	if server == "" {
		return ""
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	opts := x509.VerifyOptions{Roots: i.Roots(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if i.Now != nil {
		opts.CurrentTime = i.Now()
	}
	if _, err := leaf.Verify(opts); err != nil {
		return ""
	}
	return server
}

// named is the first name in the certificate that is one of a server.
func (i Identity) named(leaf *x509.Certificate) string {
	for _, name := range leaf.DNSNames {
		if i.Known(uc.ServerFQDN(name)) {
			return name
		}
	}
	return ""
}
