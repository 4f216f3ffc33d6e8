// Package auth says who may sign in, by whatever method, and keeps what signing in
// needs: credential sets made of a password and sealed for the database, web
// tickets, client certificates, and the web services through which Lync clients
// get both ([MS-OCAUTHWS], [MS-OCDISCWS]).
//
// There is one policy, MaySignIn, and one gate in front of it, used by SIP
// (Service implements the accounts of link/sipauth) and by the web services.
// Nobody learns from an answer, or from how long it took, whether a user exists:
// a wrong password, an unknown user and a user without a password cost the same
// and read the same. Guessing is slowed by source, never by account.
//
// A web ticket carries all it says, signed with a key of the pool: any server of
// the pool takes it, none remembers it. Tickets end with their time or when their
// user may no longer sign in.
//
// A Service may be used from any goroutine. It starts none.
package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/link/sipauth"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
	"trivet/wire/soap"
)

// Directory is where users and their sealed credentials are; store/users is one.
type Directory interface {
	ByAddress(ctx context.Context, a uc.UserURI) (directory.User, error)
	ByGUID(ctx context.Context, guid string) (directory.User, error)
	ByLogin(ctx context.Context, name string) (directory.User, error)
	Secrets(ctx context.Context, guid string) (users.Secrets, error)
}

// Certificates issues and recognises client certificates; link/pki does.
type Certificates interface {
	IssueClient(ctx context.Context, request []byte, user uc.UserURI, device string) ([]byte, pki.ClientCert, error)
	ClientOf(ctx context.Context, key pki.KeyHash) (pki.ClientCert, error)
}

// Config makes a Service. Functions are asked each time.
type Config struct {
	Directory    Directory
	Certificates Certificates
	SealKey      []byte        // 32 bytes, of a file outside the database: seals credentials
	TicketKey    []byte        // 32 bytes, the same on all servers of the pool: signs web tickets
	External     External      // checks the passwords that are not kept here; nil: there are none
	Brake        sipauth.Brake // shared with SIP; nil: one of its own

	Server  string   // FQDN of this server, the issuer of tickets
	Realm   string   // of Digest; empty: sipauth.DefaultRealm
	Domains []string // SIP domains served here
	Logins  []string // what may stand before \ in a login or as a Kerberos realm: NetBIOS and DNS names, any case

	WebHost  string   // "fe1.contoso.test:8443": where URLs lead when the request does not say
	WebHosts []string // host names under which the web services of this pool are reached, without port

	Inside  soap.Access           // SIP entrance for clients inside
	Outside soap.Access           // for clients outside; no FQDN: none
	Within  func(netip.Addr) bool // whether a client is inside; nil: all are

	Keytab func() *keytab.Keytab // for Negotiate with Kerberos; nil or a nil result: not offered
	NTLM   func() bool           // whether NTLM is offered on the web ticket service now; nil: it is not

	TicketLife time.Duration // 15 minutes to 24 hours; 0: 8 hours
	Clock      clock.Clock
	Log        *slog.Logger
}

// Service is the sign-in of one server.
type Service struct {
	cfg      Config
	vault    *vault
	work     *work
	familiar *familiar
	sign     []byte // key of ticket signatures
	keys     *vault // seals the keys inside tickets
	nonces   []byte // key of NTLM challenges
	replays  *replays
	hosts    map[string]bool
	logins   map[string]bool // upper case
}

const defaultTicketLife = 8 * time.Hour

// New makes a Service. fault.Invalid for a key that is not 32 bytes long or a
// ticket life out of range.
func New(cfg Config) (*Service, error) {
	const op = "auth.New"
	if len(cfg.SealKey) != 32 || len(cfg.TicketKey) != 32 {
		return nil, fault.New(fault.Invalid, op, "the keys of credentials and of web tickets must have 32 bytes each")
	}
	if cfg.TicketLife == 0 {
		cfg.TicketLife = defaultTicketLife
	}
	if cfg.TicketLife < 15*time.Minute || cfg.TicketLife > 24*time.Hour {
		return nil, fault.Newf(fault.Invalid, op, "the life of web tickets must be 15 minutes to 24 hours, not %s", cfg.TicketLife)
	}
	if cfg.Realm == "" {
		cfg.Realm = sipauth.DefaultRealm
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Brake == nil {
		cfg.Brake = sipauth.NewBrakes()
	}
	s := &Service{cfg: cfg, work: newWork(), familiar: newFamiliar(), replays: newReplays(), hosts: map[string]bool{}, logins: map[string]bool{}}
	for _, h := range cfg.WebHosts {
		s.hosts[strings.ToLower(h)] = true
	}
	for _, l := range cfg.Logins {
		s.logins[strings.ToUpper(l)] = true
	}
	return s, s.deriveKeys()
}

func (s *Service) deriveKeys() error {
	var seal []byte
	for _, k := range []struct {
		name string
		to   *[]byte
	}{{"trivet web ticket signature", &s.sign}, {"trivet web ticket key", &seal}, {"trivet http challenge", &s.nonces}} {
		b, err := hkdf.Key(sha256.New, s.cfg.TicketKey, nil, k.name, 32)
		if err != nil {
			return fault.Wrap("auth.deriveKeys", err)
		}
		*k.to = b
	}
	var err error
	if s.keys, err = newVault(seal); err != nil {
		return err
	}
	s.vault, err = newVault(s.cfg.SealKey)
	return err
}
