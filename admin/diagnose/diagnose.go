// Package diagnose goes a client's way to a server, step by step, and says at the
// first step that fails what is wrong and what mends it: names (RFC 2782 and the
// product's order), the port, TLS, the certificate, SIP, the ways to sign in
// ([MS-SIPAE]), the web services behind TLS-DSK, autodiscover ([MS-OCDISCWS]), the
// account, and the sign-in itself. It knows of the server what a client can see; only
// the owner of the data folder is told whether a user exists.
//
// A run is one goroutine, every step has a limit in time. It changes nothing but for
// the sign-in, which is only tried with a password and signs out again.
package diagnose

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"trivet/uc"
)

// Result of a check.
type Result string

// The results. Skipped means that an earlier failure, or something that was not
// given, kept the check from being made.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Failed  Result = "failed"
	Skipped Result = "skipped"
)

// Finding is what a check found.
type Finding struct {
	Check    string // "port"
	Result   Result
	Evidence string // what was seen: one sentence or a part of one
	Mend     string // what to do, for failures and warnings
}

// Account is what the owner of a server knows of a user.
type Account struct {
	Known     bool
	Enabled   bool // may sign in
	HasSIP    bool // has an address to sign in with
	Endpoints int  // signed in now
}

// Config says what is examined, and with what eyes.
type Config struct {
	User     uc.UserURI // whose sign-in; "" for a server
	Domain   string     // SIP domain; "" is that of User, else that of Server
	Server   string     // "host" or "host:port" as a person types it into a client; "" = found by DNS
	Name     string     // what the certificate has to be for; "" is the host of Server
	Login    string     // "" is the address
	Password string     // "" = no sign-in is tried
	Method   string     // the one the client knows: Ntlm, Kerberos, TlsDsk, Digest; "" = any

	Lookup *net.Resolver // nil = the system's
	Roots  *x509.CertPool
	Now    func() time.Time
	// Account asks the server's owner; nil = it is not the owner who asks.
	Account func(ctx context.Context, user uc.UserURI) (Account, error)
	// DiscoverPort is where autodiscover is asked; 0 is 443, where clients ask.
	DiscoverPort int
	// Patience is how long one step may take; 0 is 5 seconds.
	Patience time.Duration
}

// check is one step. It is made when none of those it needs failed or was skipped.
type check struct {
	name  string
	needs []string
	run   func(*walk, context.Context) Finding
}

// The steps that every way to a server begins with.
var (
	resolving   = check{"name", []string{"server"}, (*walk).resolve}
	connecting  = check{"port", []string{"name"}, (*walk).connect}
	securing    = check{"TLS", []string{"port"}, (*walk).secure}
	inTime      = check{"certificate dates", []string{"TLS"}, (*walk).dates}
	named       = check{"certificate name", []string{"TLS"}, (*walk).names}
	trusted     = check{"certificate issuer", []string{"TLS"}, (*walk).issuer}
	answering   = check{"SIP", []string{"TLS"}, (*walk).answers}
	offering    = check{"sign-in methods", []string{"SIP"}, (*walk).methods}
	provisioned = check{"web services", []string{"sign-in methods"}, (*walk).provisioning}
	ready       = check{"readiness", []string{"web services"}, (*walk).readiness}
	clocks      = check{"clocks", []string{"web services"}, (*walk).skew}
	discovered  = check{"autodiscover", nil, (*walk).discover}
)

// The checks for each kind of question, in the order of a client's way.
var (
	forUser = []check{
		{"account", nil, (*walk).account}, {"server", nil, (*walk).find}, resolving, connecting, securing, inTime, named, trusted, answering, offering, provisioned, ready, clocks, discovered,
		{"sign-in", []string{"certificate dates", "certificate name", "certificate issuer", "sign-in methods"}, (*walk).signIn},
	}
	forServer      = []check{{"server", nil, (*walk).given}, resolving, connecting, securing, inTime, named, trusted, answering, offering, provisioned, ready, clocks}
	forCertificate = []check{{"server", nil, (*walk).given}, resolving, connecting, securing, inTime, named, trusted}
)

// User examines all that a user's sign-in needs.
func User(ctx context.Context, cfg Config) []Finding { return run(ctx, cfg, forUser) }

// Server examines what every client of Config.Server needs.
func Server(ctx context.Context, cfg Config) []Finding { return run(ctx, cfg, forServer) }

// Certificate examines what Config.Server, which may speak any protocol over TLS,
// shows to clients.
func Certificate(ctx context.Context, cfg Config) []Finding { return run(ctx, cfg, forCertificate) }

func run(ctx context.Context, cfg Config, checks []check) []Finding {
	w := newWalk(cfg)
	found := make([]Finding, 0, len(checks))
	results := map[string]Result{}
	for _, c := range checks {
		f := w.step(ctx, c, results)
		f.Check = c.name
		results[c.name] = f.Result
		found = append(found, f)
	}
	return found
}

func (w *walk) step(ctx context.Context, c check, results map[string]Result) Finding {
	for _, n := range c.needs {
		if r := results[n]; r == Failed || r == Skipped {
			return skip("needs the check " + n)
		}
	}
	return c.run(w, ctx)
}

// Failures counts the checks that failed.
func Failures(list []Finding) (n int) {
	for _, f := range list {
		if f.Result == Failed {
			n++
		}
	}
	return n
}
