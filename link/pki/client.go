package pki

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// ClientCert is the record of a client certificate: whose device holds which key.
type ClientCert struct {
	User    uc.UserURI `json:"user"`
	Device  string     `json:"device"` // the DeviceId of GetAndPublishCert
	Key     KeyHash    `json:"key"`
	Serial  string     `json:"serial"` // upper case hex
	Issued  time.Time  `json:"issued"`
	Expires time.Time  `json:"expires"`
}

// KeyHash is SHA-256 over a SubjectPublicKeyInfo.
type KeyHash [32]byte

// HashKey names the key of a certificate.
func HashKey(c *x509.Certificate) KeyHash { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// Ledger keeps the records of client certificates. The one in the data folder
// serves a single server; servers of a pool share one in their database. What Add
// and Revoke return for is durable.
type Ledger interface {
	// Add records a certificate. The same key of the same user is replaced; a
	// key that another user holds is fault.Forbidden.
	Add(ctx context.Context, c ClientCert) error
	// ByKey returns fault.NotFound for a key that was never issued or is revoked.
	ByKey(ctx context.Context, key KeyHash) (ClientCert, error)
	// Of lists the certificates of a user, oldest first.
	Of(ctx context.Context, user uc.UserURI) ([]ClientCert, error)
	// Revoke ends the certificates of a user, or of one device, and counts them.
	Revoke(ctx context.Context, user uc.UserURI, device string) (int, error)
}

const (
	maxRequest = 16 << 10 // bytes of a PKCS#10 request
	maxDevice  = 128      // bytes of a device's name
	perUser    = 32       // live certificates of one user; the oldest gives way
)

// IssueClient signs the key of a PKCS#10 request for a user's device and records
// it ([MS-OCAUTHWS] GetAndPublishCert). The names in the request are ignored: who
// asks was established before. The same key again gets a new certificate; a key
// that another user holds is refused. The record is on disk before IssueClient
// returns.
func (a *Authority) IssueClient(ctx context.Context, request []byte, user uc.UserURI, device string) ([]byte, ClientCert, error) {
	const op = "pki.IssueClient"
	none := ClientCert{}
	csr, err := parseRequest(request)
	if err != nil {
		return nil, none, fault.Wrap(op, err)
	}
	if device == "" || len(device) > maxDevice {
		return nil, none, fault.Newf(fault.Invalid, op, "the device needs a name of at most %d characters", maxDevice).About(string(user))
	}
	now := a.cfg.Clock.Now()
	uri := &url.URL{Scheme: "sip", Opaque: user.Bare()}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: clip64(user.Bare())},
		URIs:         []*url.URL{uri},
		NotBefore:    now.Add(-backdate),
		NotAfter:     earlier(now.Add(a.cfg.ClientLife), a.root.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.root, csr.PublicKey, a.rootKey)
	if err != nil {
		return nil, none, fault.New(fault.Invalid, op, "the certificate request cannot be signed").About(string(user)).Because(err)
	}
	c := ClientCert{User: user, Device: device, Key: sha256.Sum256(csr.RawSubjectPublicKeyInfo), Serial: serialText(t), Issued: now.UTC().Truncate(time.Second), Expires: t.NotAfter.UTC().Truncate(time.Second)}
	if err := a.clients.Add(ctx, c); err != nil {
		return nil, none, fault.Wrap(op, err)
	}
	return der, c, nil
}

func serialText(c *x509.Certificate) string { return upperHex(c.SerialNumber.Bytes()) }

func parseRequest(b []byte) (*x509.CertificateRequest, error) {
	const op = "pki.parseRequest"
	if len(b) > maxRequest {
		return nil, fault.New(fault.Limit, op, "the certificate request is larger than 16 KiB")
	}
	csr, err := x509.ParseCertificateRequest(b)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "the certificate request is not PKCS#10").Because(err)
	}
	key, ok := csr.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 || key.N.BitLen() > 4096 {
		return nil, fault.New(fault.Invalid, op, "the certificate request needs an RSA key of 2048 to 4096 bits")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fault.New(fault.Invalid, op, "the certificate request is not signed by its own key").Because(err)
	}
	return csr, nil
}

// ClientOf says whose key a client showed in its certificate.
// fault.Unauthenticated: the key was never issued, was revoked, or its time is over.
func (a *Authority) ClientOf(ctx context.Context, key KeyHash) (ClientCert, error) {
	const op = "pki.ClientOf"
	c, err := a.clients.ByKey(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return ClientCert{}, fault.New(fault.Unauthenticated, op, "the client certificate is unknown or revoked; get a new one from the certificate provisioning service")
	case err != nil:
		return ClientCert{}, fault.Wrap(op, err)
	case !a.cfg.Clock.Now().Before(c.Expires):
		return ClientCert{}, fault.New(fault.Unauthenticated, op, "the client certificate has expired; get a new one from the certificate provisioning service").About(string(c.User))
	}
	return c, nil
}

// Clients lists the valid client certificates of a user, oldest first
// (Get-CsClientCertificate).
func (a *Authority) Clients(ctx context.Context, user uc.UserURI) ([]ClientCert, error) {
	all, err := a.clients.Of(ctx, user)
	now := a.cfg.Clock.Now()
	return slices.DeleteFunc(all, func(c ClientCert) bool { return !now.Before(c.Expires) }), fault.Wrap("pki.Clients", err)
}

// Revoke ends all client certificates of a user, or those of one device when
// device is not empty (Revoke-CsClientCertificate), and returns how many. A
// running association lives on until its end; the next handshake is refused.
func (a *Authority) Revoke(ctx context.Context, user uc.UserURI, device string) (int, error) {
	n, err := a.clients.Revoke(ctx, user, device)
	return n, fault.Wrap("pki.Revoke", err)
}
