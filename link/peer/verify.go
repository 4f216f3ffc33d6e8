package peer

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"trivet/fault"
	"trivet/uc"
)

// serverTLS asks for a certificate of a server of the pool and shows our own.
func (n *Net) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, SessionTicketsDisabled: true,
		GetCertificate: n.cfg.Certificate, ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			return n.verify(s, func(cert *x509.Certificate) bool {
				for name := range n.cfg.Servers() {
					if name != n.cfg.Self && names(cert, name) {
						return true
					}
				}
				return false
			}, "a server of the pool")
		},
	}
}

// clientTLS is for a connection to the server called to.
func (n *Net) clientTLS(to uc.ServerFQDN) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, SessionTicketsDisabled: true, ServerName: string(to),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return n.cfg.Certificate(&tls.ClientHelloInfo{ServerName: string(n.cfg.Self)})
		},
		InsecureSkipVerify: true, // verify does it: the name is compared exactly, and the same way on both sides
		VerifyConnection: func(s tls.ConnectionState) error {
			return n.verify(s, func(cert *x509.Certificate) bool { return names(cert, to) }, string(to))
		},
	}
}

// verify wants a chain to the pool's authority, a certificate for servers (those
// that users get for their devices come from the same authority), the right name
// and the protocol.
func (n *Net) verify(s tls.ConnectionState, named func(*x509.Certificate) bool, who string) error {
	const op = "peer.verify"
	if len(s.PeerCertificates) == 0 || s.NegotiatedProtocol != protocol {
		return fault.New(fault.Forbidden, op, "the other side does not speak "+protocol+" with a certificate; all servers of a pool need the same release series")
	}
	leaf, between := s.PeerCertificates[0], x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: n.cfg.Roots, Intermediates: between, CurrentTime: n.cfg.Clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	switch {
	case err != nil:
		return fault.New(fault.Forbidden, op, "the certificate of the other side is not one that the pool's authority issued for a server; give all servers the keys of one trivet pool-keys").
			About(leaf.Subject.CommonName).Because(err)
	case !named(leaf):
		return fault.Newf(fault.Forbidden, op, "the certificate of the other side lacks the name of %s", who).About(strings.Join(leaf.DNSNames, ", "))
	}
	return nil
}

// names reports whether the certificate has the server's name, letter by letter.
func names(cert *x509.Certificate, server uc.ServerFQDN) bool {
	for _, d := range cert.DNSNames {
		if strings.EqualFold(d, string(server)) {
			return true
		}
	}
	return false
}
