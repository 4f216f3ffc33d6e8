// Package pki owns the certificates and the keys of a server: an authority of its
// own that comes into being at the first start, the server certificates of each
// use (issued by that authority or brought by an administrator), and the client
// certificates of TLS-DSK ([MS-SIPAE] 3, [MS-OCAUTHWS]) with their revocation.
//
// Everything lies in the data folder: ca.pem, the root's certificate, for
// everybody to read; the folder pki, all else, for the owner alone. Files are
// replaced whole (written beside, synced, renamed), client certificates are one
// journal that is synced before a certificate is given out: a crash at any moment
// leaves the old or the new.
//
// An Authority may be used from any goroutine. Its sources hand out certificates
// without a lock; a certificate put in place of another serves the next handshake
// and leaves standing connections alone.
package pki

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/uc"
)

// Use says what a server certificate is for, in the words of Set-CsCertificate
// -Type; TLSDSK is ours.
type Use string

// The uses. Default is SIP between clients and servers; the web uses are HTTPS;
// TLSDSK is the handshake inside REGISTER, which needs an RSA key ([MS-SIPAE]).
const (
	Default             Use = "Default"
	WebServicesInternal Use = "WebServicesInternal"
	WebServicesExternal Use = "WebServicesExternal"
	TLSDSK              Use = "TlsDsk"
)

// Uses lists all uses in the order in which they are shown.
var Uses = [...]Use{Default, WebServicesInternal, WebServicesExternal, TLSDSK}

// Names is what the certificates of a server have to say.
type Names struct {
	Server  uc.ServerFQDN
	Pool    uc.PoolFQDN
	Domains []string     // SIP domains: sip.<d>, lyncdiscover.<d>, lyncdiscoverinternal.<d>
	Addrs   []netip.Addr // addresses it listens on; 127.0.0.1 and localhost are always there
	Web     []string     // further names of the web services
}

// Config makes an Authority.
type Config struct {
	Dir   string // the data folder; must exist
	Names Names
	Clock clock.Clock
	Log   *slog.Logger
	// ClientLife is how long a client certificate is valid, 8 hours to one year;
	// 0 means 180 days, the product's default.
	ClientLife time.Duration
	Clients    Ledger // nil: a journal in the data folder
}

// Authority is the certificates of one server.
type Authority struct {
	cfg  Config
	keys string // folder of private things

	root    *x509.Certificate
	rootKey crypto.Signer
	pool    *x509.CertPool // root only
	newRoot bool           // made by this Open

	mu      sync.Mutex        // guards the fields below and every change of a file
	store   map[string]*entry // by thumbprint
	inUse   map[Use]string    // thumbprints
	pending map[[32]byte]crypto.Signer

	current [len(Uses)]atomic.Pointer[tls.Certificate] // by position in Uses
	clients Ledger
	journal *journal // clients, when it is the one of the data folder
}

const (
	rootLife    = 20 * 365 * 24 * time.Hour
	serverLife  = 397 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour // an own certificate is issued anew so long before its end
	backdate    = time.Hour           // clocks of clients may be behind

	minClientLife     = 8 * time.Hour
	maxClientLife     = 366 * 24 * time.Hour
	defaultClientLife = 180 * 24 * time.Hour
)

// Open reads the data folder, or fills it at the first start, and sees to it that
// each use has a valid certificate. Errors: fault.Invalid for a folder whose parts
// do not fit together (Text says which and how to mend it), else of the disk.
func Open(cfg Config) (*Authority, error) {
	const op = "pki.Open"
	if cfg.ClientLife == 0 {
		cfg.ClientLife = defaultClientLife
	}
	if cfg.ClientLife < minClientLife || cfg.ClientLife > maxClientLife {
		return nil, fault.Newf(fault.Invalid, op, "the life of client certificates must be 8 hours to one year, not %s", cfg.ClientLife)
	}
	if cfg.Names.Server == "" {
		return nil, fault.New(fault.Invalid, op, "the server needs a name before it can have a certificate")
	}
	a := &Authority{cfg: cfg, keys: filepath.Join(cfg.Dir, "pki"), store: map[string]*entry{}, inUse: map[Use]string{}, pending: map[[32]byte]crypto.Signer{}}
	for _, dir := range []string{a.keys, a.path("store"), a.path("pending")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fault.Wrap(op, err)
		}
	}
	for _, step := range []func() error{a.openRoot, a.loadStore, a.loadUses, a.openClients, a.Renew} {
		if err := step(); err != nil {
			return nil, fault.Wrap(op, err)
		}
	}
	return a, nil
}

// Close releases the journal of client certificates.
func (a *Authority) Close() error { return a.journal.close() }

// Still runs f while no file of the authority changes. f may not use the Authority.
func (a *Authority) Still(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return f()
}

func (a *Authority) path(elem ...string) string {
	return filepath.Join(append([]string{a.keys}, elem...)...)
}

// GetCertificate is the source of the Default certificate for a tls.Config.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return a.current[0].Load(), nil
}

// Source returns the GetCertificate function of a use for a tls.Config; nil for
// a use that does not exist.
func (a *Authority) Source(use Use) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	i := position(use)
	if i < 0 {
		return nil
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.current[i].Load(), nil }
}

func position(use Use) int {
	for i, u := range Uses {
		if u == use {
			return i
		}
	}
	return -1
}

// ParseUse reads a use as an administrator types it, in any case.
func ParseUse(s string) (Use, error) {
	for _, u := range Uses {
		if strings.EqualFold(string(u), s) {
			return u, nil
		}
	}
	return "", fault.Newf(fault.Invalid, "pki.ParseUse", "the type must be one of %v", Uses).About(s)
}

// Roots trusts the own authority and nothing else.
func (a *Authority) Roots() *x509.CertPool { return a.pool.Clone() }

// Folder is the data folder that the authority lies in.
func (a *Authority) Folder() string { return a.cfg.Dir }

// Root is the certificate of the own authority.
func (a *Authority) Root() *x509.Certificate { return a.root }

func (a *Authority) loadUses() error {
	b, err := os.ReadFile(a.path("uses.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &a.inUse); err != nil {
		return fault.New(fault.Invalid, "pki.loadUses", "pki/uses.json cannot be read; remove it to go back to certificates of the own authority").Because(err)
	}
	for use, thumb := range a.inUse {
		e := a.store[thumb]
		if position(use) < 0 || e == nil || a.newRoot && a.verify(e) != nil {
			delete(a.inUse, use) // Renew finds another
		}
	}
	return nil
}

func (a *Authority) saveUses() error {
	b, err := json.MarshalIndent(a.inUse, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(a.path("uses.json"), append(b, '\n'), 0o600)
}
