package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"trivet/fault"
)

// openRoot reads the authority, or makes it. The key is written before the
// certificate, so a certificate without its key means that somebody lost it.
func (a *Authority) openRoot() error {
	const op = "pki.openRoot"
	certFile, keyFile := filepath.Join(a.cfg.Dir, "ca.pem"), a.path("ca.key")
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	for _, err := range []error{certErr, keyErr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch {
	case certErr == nil && keyErr != nil:
		return fault.New(fault.Invalid, op, "pki/ca.key is missing beside ca.pem; restore it, or remove ca.pem to begin a new authority").About(keyFile)
	case keyErr != nil:
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if key, err = encodeKey(k); err != nil {
			return err
		}
		if err := writeFile(keyFile, key, 0o600); err != nil {
			return err
		}
	}
	signer, err := parseKey(key)
	if err != nil {
		return fault.New(fault.Invalid, op, "the key of the authority cannot be read; restore it from a copy").About(keyFile).Because(err)
	}
	a.rootKey = signer
	if certErr != nil {
		a.newRoot = true
		if cert, err = a.makeRoot(); err != nil {
			return err
		}
		if err := writeFile(certFile, cert, 0o644); err != nil {
			return err
		}
	}
	return a.useRoot(cert, certFile)
}

func (a *Authority) useRoot(file []byte, name string) error {
	const op = "pki.openRoot"
	block, _ := pem.Decode(file)
	if block == nil || block.Type != "CERTIFICATE" {
		return fault.New(fault.Invalid, op, "ca.pem has no certificate in PEM form; restore it, or remove it to have it made again").About(name)
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fault.New(fault.Invalid, op, "ca.pem cannot be read; restore it, or remove it to have it made again").About(name).Because(err)
	}
	if !samePublic(root.PublicKey, a.rootKey.Public()) {
		return fault.New(fault.Invalid, op, "ca.pem and pki/ca.key do not belong together; restore both from one copy").About(name)
	}
	if !root.IsCA || root.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fault.New(fault.Invalid, op, "the certificate in ca.pem is not one of an authority").About(name)
	}
	a.root, a.pool = root, x509.NewCertPool()
	a.pool.AddCert(root)
	return nil
}

func (a *Authority) makeRoot() ([]byte, error) {
	id := sha256.Sum256(publicBytes(a.rootKey.Public()))
	now := a.cfg.Clock.Now()
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Trivet authority of " + string(a.cfg.Names.Server)},
		NotBefore:             now.Add(-24 * backdate),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          id[:20],
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, a.rootKey.Public(), a.rootKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// serial makes a positive serial number of 127 random bits.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b)
}

func encodeKey(k crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads the first private key of a PEM file: PKCS#8, PKCS#1 or SEC 1.
func parseKey(file []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		if s, ok := key.(crypto.Signer); ok {
			return s, nil
		}
		return nil, errors.New("a key that cannot sign")
	}
	return nil, errNoKey
}

var errNoKey = errors.New("no private key in PEM form")

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func publicBytes(k crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil // only keys that crypto/x509 itself has made or read come here
	}
	return der
}

func newRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }
func newECDSA() (crypto.Signer, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}
