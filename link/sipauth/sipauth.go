// Package sipauth finds out who speaks on a SIP connection and vouches for what
// we say on it. Lync clients get security associations with signed messages
// ([MS-SIPAE]: NTLM, Kerberos, TLS-DSK), other SIP clients get Digest (RFC 3261
// 22, RFC 8760). It is the Authenticator of link/sipmux and the Signer of the
// connections of link/siptrans.
//
// One gate, Accounts.Gate, is asked for every method before somebody is let in.
// Wrong password, unknown user and disabled user get the same answer after the
// same work. Brakes are per source address and device, never per account.
//
// TLS-DSK is TLS 1.0 to 1.2 inside SIP headers, with RSA key exchange. Its
// configuration names versions and suites itself, so that no other listener is
// touched; only the export of keying material needs a process-wide setting:
// the main package, and tests, must say //go:debug tlsunsafeekm=1.
//
// An Authenticator is safe for concurrent use.
package sipauth

import (
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"trivet/kit/clock"
	"trivet/uc"
)

// DefaultRealm is the realm Lync servers use.
const DefaultRealm = "SIP Communications Service"

// Policy says which sign-in methods are offered; the field names are those of
// the administrator's cmdlets.
type Policy struct {
	UseNtlm        bool
	UseKerberos    bool
	UseCertificate bool // TLS-DSK
	UseDigest      bool
	DigestMD5      bool   // with UseDigest: MD5 beside SHA-256
	Realm          string // DefaultRealm if empty
}

func (p Policy) realm() string {
	if p.Realm == "" {
		return DefaultRealm
	}
	return p.Realm
}

// Config is what an Authenticator needs. Functions are asked each time, so that
// keys and policies can change while running.
type Config struct {
	Accounts Accounts
	Policy   func() Policy
	FQDN     string // the targetname: this server (or pool), "fe1.example.test"
	Domain   string // DNS domain of the NTLM target; behind the first label of FQDN if empty
	NetBIOS  string // NetBIOS domain of the NTLM target; first label of Domain if empty
	// STSURI is where a client that reached us at the address local finds the
	// certificate provisioning service. TLS-DSK needs it.
	STSURI      func(local netip.Addr) string
	Keytab      func() *keytab.Keytab   // nil, or a nil result, withdraws Kerberos
	Certificate func() *tls.Certificate // RSA, for TLS-DSK; nil, or a nil result, withdraws it
	// Server and Partner name the owner of a verified client certificate of a TLS
	// connection, "" if it is none. Either may be nil: there are none then.
	Server   func(*tls.ConnectionState) string
	Partner  func(*tls.ConnectionState) string
	NonceKey []byte // key of Digest nonces, shared by a pool; random if empty
	Brake    Brake  // nil: one of its own
	Clock    clock.Clock
	Log      *slog.Logger
}

// Limits that bound what strangers may cost. Sizes are bytes.
const (
	maxPending  = 4                // handshakes under way on one connection
	maxUsers    = 1024             // associations, or Digest users, on one connection
	maxLife     = 8 * time.Hour    // of an association, [MS-SIPAE] 3.3
	maxAnswer   = 30 * time.Second // from the first to the last message of a handshake
	maxHeader   = 64 << 10
	sipVersion4 = 4 // of the signed text
)

// Authenticator implements the authenticator of link/sipmux.
type Authenticator struct {
	cfg    Config
	brakes Brake
	nonces *nonces
	krb    replays
	spare  sync.Pool // of *scratch
	decoy  decoy

	mu    sync.Mutex
	users map[uc.UserURI]map[*peer]struct{} // who is signed in where
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	host, domain, _ := strings.Cut(cfg.FQDN, ".")
	if cfg.Domain == "" {
		cfg.Domain = domain
	}
	if cfg.Domain == "" {
		cfg.Domain = host
	}
	if cfg.NetBIOS == "" {
		first, _, _ := strings.Cut(cfg.Domain, ".")
		cfg.NetBIOS = strings.ToUpper(first)
	}
	if cfg.Brake == nil {
		cfg.Brake = NewBrakes()
	}
	if len(cfg.NonceKey) == 0 {
		cfg.NonceKey = randomBytes(32)
	}
	return &Authenticator{
		cfg:    cfg,
		brakes: cfg.Brake,
		nonces: newNonces(cfg.NonceKey),
		decoy:  newDecoy(),
		users:  map[uc.UserURI]map[*peer]struct{}{},
	}
}

// scratch is memory for making one signature; a connection at rest owns none.
type scratch struct{ text, signature, line []byte }

func (a *Authenticator) scratch() *scratch {
	if s, ok := a.spare.Get().(*scratch); ok {
		return s
	}
	return new(scratch)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	return b
}

// offers reports which schemes the policy and our keys allow now.
func (a *Authenticator) offers() (p Policy) {
	p = a.cfg.Policy()
	p.UseKerberos = p.UseKerberos && a.cfg.Keytab != nil && a.cfg.Keytab() != nil
	p.UseCertificate = p.UseCertificate && a.cfg.Certificate != nil && a.cfg.Certificate() != nil
	return p
}

// DropUser ends every association and Digest sign-in of the user at once and
// closes the connections that carry nobody else. It returns how many
// connections the user was signed in on. Call it after the gate was closed.
func (a *Authenticator) DropUser(user uc.UserURI) int {
	a.mu.Lock()
	peers := a.users[user]
	delete(a.users, user)
	a.mu.Unlock()
	for p := range peers {
		if p.drop(user) && p.hangUp != nil {
			p.hangUp("the user was signed out by the administrator")
		}
	}
	return len(peers)
}

// enter notes that user signs in on p. A connection that is gone is not listed.
func (a *Authenticator) enter(user uc.UserURI, p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.gone {
		return
	}
	p.listed[user] = struct{}{}
	at := a.users[user]
	if at == nil {
		at = map[*peer]struct{}{}
		a.users[user] = at
	}
	at[p] = struct{}{}
}

func (a *Authenticator) leave(user uc.UserURI, p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leaveLocked(user, p)
}

func (a *Authenticator) leaveLocked(user uc.UserURI, p *peer) {
	delete(p.listed, user)
	delete(a.users[user], p)
	if len(a.users[user]) == 0 {
		delete(a.users, user)
	}
}

// lists reports whether user is noted as signed in on p.
func (a *Authenticator) lists(user uc.UserURI, p *peer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.users[user][p]
	return ok
}

// leaveAll takes a connection that is gone off every list.
func (a *Authenticator) leaveAll(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.gone = true
	for user := range p.listed {
		a.leaveLocked(user, p)
	}
}
