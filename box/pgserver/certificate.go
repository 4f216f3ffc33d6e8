package pgserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"

	"trivet/fault"
)

// years is how long the certificates of a laboratory last.
const years = 10

// certify makes the server's certificate for its address, and the authority if the
// folder has none.
func (s *Server) certify(op string) error {
	if err := s.makeCertificate(op); err != nil {
		return fault.New(fault.Unavailable, op, "the certificate of the server cannot be made").Because(err)
	}
	return nil
}

func (s *Server) makeCertificate(op string) error {
	ca, caKey, err := s.authority(op)
	if err != nil {
		return err
	}
	host, _ := s.host()
	leaf := template("PostgreSQL " + s.cfg.Addr)
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	return s.issue(op, "server", leaf, ca, caKey)
}

// authority returns that of the folder, which it makes when there is none.
func (s *Server) authority(op string) (*x509.Certificate, crypto.Signer, error) {
	certFile, err := os.ReadFile(s.CA())
	if errors.Is(err, fs.ErrNotExist) {
		ca := template("authority of a Back End")
		ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
		if err := s.issue(op, "ca", ca, ca, nil); err != nil {
			return nil, nil, err
		}
		return s.authority(op)
	}
	keyFile, err2 := os.ReadFile(s.path("ca.key"))
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certFile)
	keyBlock, _ := pem.Decode(keyFile)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, errors.New("ca.pem or ca.key is not a PEM file")
	}
	ca, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	signer, _ := key.(crypto.Signer)
	if err == nil && signer == nil {
		err = errors.New("ca.key is not a key that signs")
	}
	return ca, signer, err
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(years, 0, 0)}
}

// issue writes name.pem and name.key; without a parent's key it signs itself.
func (s *Server) issue(op, name string, cert, parent *x509.Certificate, parentKey crypto.Signer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), parentKey)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return errors.Join(s.write(op, name+".pem", string(pemCert)), s.write(op, name+".key", string(pemKey)))
}
