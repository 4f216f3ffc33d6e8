package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"

	"trivet/fault"
)

const (
	maxBrought = 256 << 10 // bytes of an administrator's file
	maxChain   = 10        // certificates in it
	maxPending = 32        // requests that wait for their certificate
)

// Import takes an administrator's certificate into the store
// (Import-CsCertificate): a PEM file with the server's certificate first or
// anywhere, the certificates of its issuers, and the private key there or in
// keyFile; without a key the one of an earlier SigningRequest is used. Nothing is
// served until Use puts it in place.
//
// fault.Invalid says what does not fit: the key, the chain, the time, the names.
func (a *Authority) Import(certFile, keyFile []byte) (Info, error) {
	const op = "pki.Import"
	if len(certFile) > maxBrought || len(keyFile) > maxBrought {
		return Info{}, fault.New(fault.Limit, op, "the file is larger than 256 KiB; give only the certificate, its issuers and the key")
	}
	if len(keyFile) == 0 {
		keyFile = certFile
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.parseEntry(certFile, keyFile)
	if err != nil {
		return Info{}, fault.Wrap(op, err)
	}
	for _, check := range []error{a.fit(Default, e), a.verify(e)} {
		if check != nil {
			return Info{}, fault.Wrap(op, check)
		}
	}
	if err := a.keep(e); err != nil {
		return Info{}, fault.Wrap(op, err)
	}
	if err := a.settlePending(e.key.Public()); err != nil {
		return Info{}, fault.Wrap(op, err)
	}
	return a.describe(Thumbprint(e.chain[0]), e), nil
}

// Remove drops a stored certificate that serves nothing (Remove-CsCertificate).
func (a *Authority) Remove(thumbprint string) error {
	const op = "pki.Remove"
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.store[thumbprint]
	if e == nil {
		return fault.New(fault.NotFound, op, "no certificate has this thumbprint").About(thumbprint)
	}
	for use, thumb := range a.inUse {
		if thumb == thumbprint {
			return fault.Newf(fault.Invalid, op, "the certificate serves %s; put another in its place first", use).About(thumbprint)
		}
	}
	if err := os.Remove(a.path("store", thumbprint+".pem")); err != nil {
		return fault.Wrap(op, err)
	}
	delete(a.store, thumbprint)
	return nil
}

// parseEntry reads certificates and key and finds the leaf by the key.
func (a *Authority) parseEntry(certFile, keyFile []byte) (*entry, error) {
	const op = "pki.parse"
	certs, err := parseCerts(certFile)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyFile)
	if errors.Is(err, errNoKey) {
		key = a.pendingFor(certs)
		switch {
		case key == nil && hasEncryptedKey(keyFile):
			return nil, fault.New(fault.Invalid, op, "the private key is locked by a password; unlock it first, for example with openssl pkey")
		case key == nil:
			return nil, fault.New(fault.Invalid, op, "the file has no private key, and no request of this server waits for this certificate")
		}
	} else if err != nil {
		return nil, fault.New(fault.Invalid, op, "the private key cannot be read; it must be PKCS#8, PKCS#1 or SEC 1 in PEM form").Because(err)
	}
	for i, c := range certs {
		if !samePublic(c.PublicKey, key.Public()) {
			continue
		}
		certs[0], certs[i] = certs[i], certs[0]
		return a.newEntry(certs, key)
	}
	return nil, fault.New(fault.Invalid, op, "the private key belongs to none of the certificates in the file").About(certs[0].Subject.String())
}

func (a *Authority) newEntry(certs []*x509.Certificate, key crypto.Signer) (*entry, error) {
	leaf := certs[0]
	if leaf.IsCA {
		return nil, fault.New(fault.Invalid, "pki.parse", "the key is the one of an authority's certificate; give the server's certificate and key").About(leaf.Subject.String())
	}
	if !strong(leaf.PublicKey) {
		return nil, fault.New(fault.Invalid, "pki.parse", "the key must be RSA of 2048 to 8192 bits or ECDSA of at least 256 bits").About(leaf.Subject.String())
	}
	e := &entry{leaf: leaf, key: key, own: a.issuedByRoot(leaf)}
	e.chain = append(e.chain, leaf.Raw)
	for _, c := range certs[1:] {
		if selfSigned(c) { // clients have the root, or do not want it
			e.roots = append(e.roots, c)
		} else {
			e.chain = append(e.chain, c.Raw)
		}
	}
	return e, nil
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) && c.CheckSignatureFrom(c) == nil
}

func parseCerts(file []byte) ([]*x509.Certificate, error) {
	const op = "pki.parse"
	var certs []*x509.Certificate
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(certs) == maxChain {
			return nil, fault.Newf(fault.Limit, op, "the file has more than %d certificates; give the server's and those of its issuers only", maxChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, op, "certificate %d of the file cannot be read", len(certs)+1).Because(err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fault.New(fault.Invalid, op, "the file has no certificate in PEM form (BEGIN CERTIFICATE)")
	}
	return certs, nil
}

func hasEncryptedKey(file []byte) bool {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return true
		}
	}
	return false
}

// verify follows the chain to a root: the own authority's, one that this machine
// trusts, or one that the administrator put into the file.
func (a *Authority) verify(e *entry) error {
	const op = "pki.verify"
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AddCert(a.root)
	between := x509.NewCertPool()
	last := e.leaf
	for _, der := range e.chain[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
		if string(c.RawSubject) == string(last.RawIssuer) {
			last = c
		}
	}
	for _, c := range e.roots {
		roots.AddCert(c)
	}
	_, err = e.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: a.cfg.Clock.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return fault.Newf(fault.Invalid, op, "the chain breaks at %q; add the certificate of this issuer to the file", last.Issuer.String()).About(e.leaf.Subject.String()).Because(err)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fault.New(fault.Invalid, op, "the certificate is not one for servers: its extended key usage lacks server authentication").About(e.leaf.Subject.String())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fault.New(fault.Invalid, op, "the certificate or one of its issuers is not valid at this time; "+invalid.Detail).About(e.leaf.Subject.String())
	}
	return fault.New(fault.Invalid, op, "the chain of the certificate does not hold: "+err.Error()).About(e.leaf.Subject.String())
}

// SigningRequest makes a key and a PKCS#10 request in PEM form for an authority
// elsewhere (Request-CsCertificate -Output). The key waits here for Import.
func (a *Authority) SigningRequest(use Use, extra []string) ([]byte, error) {
	const op = "pki.SigningRequest"
	if position(use) < 0 {
		return nil, fault.Newf(fault.Invalid, op, "the type must be one of %v", Uses).About(string(use))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) >= maxPending {
		return nil, fault.Newf(fault.Limit, op, "%d requests wait for their certificates already; import these or remove files of pki/pending", maxPending)
	}
	key, err := newRSA() // what every authority signs and every use takes
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	names := a.cfg.Names
	names.Web = append(append([]string{}, names.Web...), extra...)
	dns, _ := names.wanted()
	dns = dns[:len(dns)-1] // no authority signs localhost, the last of them
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: clip64(dns[0])}, DNSNames: dns}, key)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	id := sha256.Sum256(publicBytes(key.Public()))
	file, err := encodeKey(key)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := writeFile(a.path("pending", hex.EncodeToString(id[:])+".key"), file, 0o600); err != nil {
		return nil, fault.Wrap(op, err)
	}
	a.pending[id] = key
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

func (a *Authority) loadPending() error {
	files, err := filepath.Glob(a.path("pending", "*.key"))
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		key, err := parseKey(b)
		if err != nil {
			a.cfg.Log.Error("the key of a certificate request cannot be used", "file", name, "err", err)
			continue
		}
		a.pending[sha256.Sum256(publicBytes(key.Public()))] = key
	}
	return nil
}

func (a *Authority) pendingFor(certs []*x509.Certificate) crypto.Signer {
	for _, c := range certs {
		if key := a.pending[sha256.Sum256(c.RawSubjectPublicKeyInfo)]; key != nil {
			return key
		}
	}
	return nil
}

func (a *Authority) settlePending(public crypto.PublicKey) error {
	id := sha256.Sum256(publicBytes(public))
	if a.pending[id] == nil {
		return nil
	}
	delete(a.pending, id)
	return os.Remove(a.path("pending", hex.EncodeToString(id[:])+".key"))
}
