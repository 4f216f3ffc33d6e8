package pki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trivet/fault"
)

// entry is one certificate with its key.
type entry struct {
	leaf  *x509.Certificate
	chain [][]byte // leaf first
	key   crypto.Signer
	own   bool                // issued by the own authority
	roots []*x509.Certificate // brought along; not sent to clients
}

// Info describes a server certificate as Get-CsCertificate shows it.
type Info struct {
	Thumbprint string // SHA-1 of the certificate, upper case hex, as the product shows it
	Subject    string
	Issuer     string
	Serial     string
	Names      []string // subject alternative names: DNS names, then addresses
	NotBefore  time.Time
	NotAfter   time.Time
	Uses       []Use
	Own        bool     // issued by the own authority, renewed by itself
	Missing    []string // names this server should have and the certificate lacks
}

// Thumbprint of a certificate: SHA-1, upper case hex.
func Thumbprint(der []byte) string {
	h := sha1.Sum(der)
	return strings.ToUpper(hex.EncodeToString(h[:]))
}

// wanted lists the names of a server certificate, the subject first: the pool's
// where there is one, as the product has it.
func (n Names) wanted() (dns []string, ips []net.IP) {
	add := func(s string) {
		if s = strings.ToLower(s); s != "" && !slices.Contains(dns, s) {
			dns = append(dns, s)
		}
	}
	add(string(n.Pool))
	add(string(n.Server))
	for _, d := range n.Domains {
		add("sip." + d)
		add("lyncdiscover." + d)
		add("lyncdiscoverinternal." + d)
	}
	for _, w := range n.Web {
		add(w)
	}
	add("localhost")
	addrs := append(slices.Clone(n.Addrs), netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	for _, a := range addrs {
		ip := net.IP(a.Unmap().AsSlice())
		if a.IsValid() && !a.IsUnspecified() && !slices.ContainsFunc(ips, ip.Equal) {
			ips = append(ips, ip)
		}
	}
	return dns, ips
}

// missing lists the names of n that cert does not cover.
func (n Names) missing(cert *x509.Certificate) []string {
	var out []string
	dns, ips := n.wanted()
	for _, d := range dns {
		if cert.VerifyHostname(d) != nil {
			out = append(out, d)
		}
	}
	for _, ip := range ips {
		if cert.VerifyHostname(ip.String()) != nil {
			out = append(out, ip.String())
		}
	}
	return out
}

// Request has the own authority issue a server certificate with the names of
// this server and extra ones; it is kept but serves nothing until Use puts it in
// place (Request-CsCertificate -New).
func (a *Authority) Request(use Use, extra []string) (Info, error) {
	const op = "pki.Request"
	if position(use) < 0 {
		return Info{}, fault.Newf(fault.Invalid, op, "the type must be one of %v", Uses).About(string(use))
	}
	for _, name := range extra {
		if len(name) > 253 || strings.ContainsAny(name, " /:@\"") {
			return Info{}, fault.New(fault.Invalid, op, "an additional name must be a host name").About(name)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.issue(use, extra)
	if err != nil {
		return Info{}, fault.Wrap(op, err)
	}
	return a.describe(Thumbprint(e.chain[0]), e), nil
}

// issue makes a certificate of the own authority and writes it to the store.
func (a *Authority) issue(use Use, extra []string) (*entry, error) {
	makeKey := newECDSA
	if use == TLSDSK {
		makeKey = newRSA
	}
	key, err := makeKey()
	if err != nil {
		return nil, err
	}
	names := a.cfg.Names
	names.Web = append(slices.Clone(names.Web), extra...)
	dns, ips := names.wanted()
	now := a.cfg.Clock.Now()
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: clip64(dns[0])},
		DNSNames:     dns,
		IPAddresses:  ips,
		NotBefore:    now.Add(-backdate),
		NotAfter:     earlier(now.Add(serverLife), a.root.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if use != TLSDSK {
		t.KeyUsage = x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.root, key.Public(), a.rootKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	e := &entry{leaf: leaf, chain: [][]byte{der}, key: key, own: true}
	return e, a.keep(e)
}

// clip64 keeps a common name within the 64 characters X.520 allows.
func clip64(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// keep writes the certificate and its key to the store.
func (a *Authority) keep(e *entry) error {
	var b bytes.Buffer
	ders := slices.Clone(e.chain)
	for _, c := range e.roots {
		ders = append(ders, c.Raw)
	}
	for _, der := range ders {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	key, err := encodeKey(e.key)
	if err != nil {
		return err
	}
	b.Write(key)
	thumb := Thumbprint(e.chain[0])
	if err := writeFile(a.path("store", thumb+".pem"), b.Bytes(), 0o600); err != nil {
		return err
	}
	a.store[thumb] = e
	return nil
}

// loadStore reads every certificate of the store; one that cannot be read is
// named in the log and left where it is.
func (a *Authority) loadStore() error {
	files, err := filepath.Glob(a.path("store", "*.pem"))
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		e, err := a.parseEntry(b, b)
		if err != nil {
			a.cfg.Log.Error("a stored certificate cannot be used", "file", name, "err", err)
			continue
		}
		a.store[Thumbprint(e.chain[0])] = e
	}
	return a.loadPending()
}

// Use puts a stored certificate in place (Set-CsCertificate). It serves the next
// handshake of that use; standing connections stay.
func (a *Authority) Use(use Use, thumbprint string) error {
	const op = "pki.Use"
	if position(use) < 0 {
		return fault.Newf(fault.Invalid, op, "the type must be one of %v", Uses).About(string(use))
	}
	thumb := strings.ToUpper(strings.NewReplacer(" ", "", ":", "").Replace(thumbprint))
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.store[thumb]
	if e == nil {
		return fault.New(fault.NotFound, op, "no certificate has this thumbprint; Get-CsCertificate lists them, Import-CsCertificate brings one").About(thumbprint)
	}
	if err := a.fit(use, e); err != nil {
		return fault.Wrap(op, err)
	}
	return fault.Wrap(op, a.place(use, thumb, e))
}

// place makes the choice durable, then serves it.
func (a *Authority) place(use Use, thumb string, e *entry) error {
	before, had := a.inUse[use]
	a.inUse[use] = thumb
	if err := a.saveUses(); err != nil {
		if a.inUse[use] = before; !had {
			delete(a.inUse, use)
		}
		return err
	}
	a.serve(use, e)
	return nil
}

func (a *Authority) serve(use Use, e *entry) {
	a.current[position(use)].Store(&tls.Certificate{Certificate: e.chain, PrivateKey: e.key, Leaf: e.leaf})
}

// fit says whether the certificate may serve the use now.
func (a *Authority) fit(use Use, e *entry) error {
	const op = "pki.fit"
	now := a.cfg.Clock.Now()
	subject := e.leaf.Subject.String()
	if now.Before(e.leaf.NotBefore) {
		return fault.Newf(fault.Invalid, op, "the certificate is not valid before %s", e.leaf.NotBefore.UTC().Format(time.RFC3339)).About(subject)
	}
	if !now.Before(e.leaf.NotAfter) {
		return fault.Newf(fault.Invalid, op, "the certificate ended on %s; bring a newer one", e.leaf.NotAfter.UTC().Format(time.RFC3339)).About(subject)
	}
	if _, isRSA := e.key.(*rsa.PrivateKey); use == TLSDSK && !isRSA {
		return fault.New(fault.Invalid, op, "the certificate of TlsDsk needs an RSA key, because its handshake exchanges keys by RSA").About(subject)
	}
	if use == TLSDSK && e.leaf.KeyUsage != 0 && e.leaf.KeyUsage&x509.KeyUsageKeyEncipherment == 0 {
		return fault.New(fault.Invalid, op, "the certificate of TlsDsk needs the key usage key encipherment").About(subject)
	}
	for _, name := range []string{string(a.cfg.Names.Server), string(a.cfg.Names.Pool)} {
		if name != "" && use != TLSDSK && e.leaf.VerifyHostname(name) != nil {
			return fault.Newf(fault.Invalid, op, "the certificate lacks the name %s among its subject alternative names; request one that has it", name).About(subject)
		}
	}
	return nil
}

// Renew sees to it that each use has a valid certificate: what the own authority
// issued is issued anew 30 days before its end or when a name is missing; what an
// administrator brought stays until it ends, with a warning in the log from 30
// days before.
func (a *Authority) Renew() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Clock.Now()
	for _, use := range Uses {
		thumb := a.inUse[use]
		e := a.store[thumb]
		if e != nil && a.keeps(use, e, now) {
			a.serve(use, e)
			continue
		}
		var extra []string
		if e != nil && e.own {
			extra = e.leaf.DNSNames // what was requested for it beyond the server's own names
		}
		fresh, err := a.issue(use, extra)
		if err != nil {
			return err
		}
		if err := a.place(use, Thumbprint(fresh.chain[0]), fresh); err != nil {
			return err
		}
		if e != nil {
			a.cfg.Log.Info("certificate renewed", "use", use, "until", fresh.leaf.NotAfter)
		}
	}
	return a.sweep(now)
}

// keeps says whether e goes on serving use.
func (a *Authority) keeps(use Use, e *entry, now time.Time) bool {
	left := e.leaf.NotAfter.Sub(now)
	if e.own {
		return left > renewBefore && now.After(e.leaf.NotBefore) && len(a.cfg.Names.missing(e.leaf)) == 0 && a.issuedByRoot(e.leaf)
	}
	switch {
	case left <= 0:
		a.cfg.Log.Error("the certificate has ended; one of the own authority takes its place", "use", use, "subject", e.leaf.Subject.String(), "ended", e.leaf.NotAfter)
		return false
	case left < renewBefore:
		a.cfg.Log.Warn("the certificate ends soon; bring a newer one by Import-CsCertificate", "use", use, "subject", e.leaf.Subject.String(), "ends", e.leaf.NotAfter)
	}
	if use != TLSDSK {
		if missing := a.cfg.Names.missing(e.leaf); len(missing) > 0 {
			a.cfg.Log.Warn("the certificate lacks names that clients look for", "use", use, "missing", missing)
		}
	}
	return true
}

func (a *Authority) issuedByRoot(cert *x509.Certificate) bool {
	return cert.CheckSignatureFrom(a.root) == nil
}

// sweep removes certificates of the own authority that ended and serve nothing.
func (a *Authority) sweep(now time.Time) error {
	used := map[string]bool{}
	for _, thumb := range a.inUse {
		used[thumb] = true
	}
	for thumb, e := range a.store {
		if !e.own || used[thumb] || now.Before(e.leaf.NotAfter) {
			continue
		}
		if err := os.Remove(a.path("store", thumb+".pem")); err != nil {
			return err
		}
		delete(a.store, thumb)
	}
	return nil
}

// Run renews what is due, every hour until ctx ends. Give it to life.Group.Go.
func (a *Authority) Run(ctx context.Context) error {
	t := a.cfg.Clock.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
			if err := a.Renew(); err != nil {
				a.cfg.Log.Error("certificates could not be renewed; the next try is in an hour", "err", err)
			}
			if err := a.journal.compact(a.cfg.Clock.Now()); err != nil {
				a.cfg.Log.Error("the record of client certificates could not be shortened", "err", err)
			}
		}
	}
}

// List shows every stored certificate, those in use first, then by end.
func (a *Authority) List() []Info {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Info, 0, len(a.store))
	for thumb, e := range a.store {
		out = append(out, a.describe(thumb, e))
	}
	slices.SortFunc(out, func(x, y Info) int {
		if d := len(y.Uses) - len(x.Uses); d != 0 {
			return d
		}
		if d := x.NotAfter.Compare(y.NotAfter); d != 0 {
			return d
		}
		return strings.Compare(x.Thumbprint, y.Thumbprint)
	})
	return out
}

func (a *Authority) describe(thumb string, e *entry) Info {
	i := Info{
		Thumbprint: thumb,
		Subject:    e.leaf.Subject.String(),
		Issuer:     e.leaf.Issuer.String(),
		Serial:     strings.ToUpper(e.leaf.SerialNumber.Text(16)),
		Names:      slices.Clone(e.leaf.DNSNames),
		NotBefore:  e.leaf.NotBefore,
		NotAfter:   e.leaf.NotAfter,
		Own:        e.own,
		Missing:    a.cfg.Names.missing(e.leaf),
	}
	for _, ip := range e.leaf.IPAddresses {
		i.Names = append(i.Names, ip.String())
	}
	for _, use := range Uses {
		if a.inUse[use] == thumb {
			i.Uses = append(i.Uses, use)
		}
	}
	return i
}

// strong refuses keys too weak to be trusted.
func strong(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	}
	return false
}
