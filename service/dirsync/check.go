package dirsync

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"trivet/fault"
	"trivet/kit/turn"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
)

// Bounds of password checks.
const (
	checks   = 16               // at once
	rest     = 15 * time.Second // how long a server that did not answer is asked last
	maxBinds = 3                // servers one check is referred to
)

// door bounds the checks and remembers which servers do not answer.
type door struct {
	*turn.Queue
	mu   *sync.Mutex // guards down
	down map[string]time.Time
}

func newDoor() door {
	return door{turn.New(checks, "dirsync.Check", "too many sign-ins at once; try again soon"), &sync.Mutex{}, map[string]time.Time{}}
}

func (d *door) mark(server string, now time.Time) {
	d.mu.Lock()
	d.down[server] = now
	d.mu.Unlock()
}

// order puts servers that did not answer lately behind the others.
func (d *door) order(servers []string, now time.Time) (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var tired []string
	for _, s := range servers {
		if now.Sub(d.down[s]) < rest {
			tired = append(tired, s)
		} else {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return tired[:min(1, len(tired))] // one is enough to see whether they are back
	}
	return append(list, tired...)
}

// SignsIn reports whether passwords of any source are checked with it.
func (s *Service) SignsIn() bool {
	for _, x := range s.sources {
		if x.SignIn {
			return true
		}
	}
	return false
}

// proof is one bind to make.
type proof struct {
	source   *source
	dn       string
	id       string // SourceID that the entry needs to have
	password string
	origin   string // server that has the entry, "" = those of the source
	vain     bool   // for somebody whom it does not know: it never succeeds
}

// Check implements the External of service/auth: it binds as the entry of u. An
// empty password is never sent: with it a bind succeeds without proving anything
// (RFC 4513 5.1.2).
func (s *Service) Check(ctx context.Context, u directory.User, password string) (bool, error) {
	p, err := s.proof(ctx, u, password)
	if err != nil || p.source == nil {
		return false, err
	}
	if err := s.door.Enter(ctx); err != nil {
		return false, err
	}
	defer s.door.Leave()
	ok, err := s.prove(ctx, p)
	if err != nil {
		s.counted.check("unavailable")
		return false, err
	}
	ok = ok && !p.vain
	s.counted.check(map[bool]string{true: "right", false: "wrong"}[ok])
	return ok, nil
}

// proof decides who is bound as. Whoever is not known, or must not be, gets a bind
// that takes as long and proves nothing.
func (s *Service) proof(ctx context.Context, u directory.User, password string) (p proof, err error) {
	for _, x := range s.sources {
		if x.SignIn && (p.source == nil || x.Name == u.Source) {
			p.source = x
		}
	}
	k, err := s.cfg.State.Get(ctx, u.Source, u.SourceID)
	if err != nil || p.source == nil {
		return p, err
	}
	if p.source.Name == u.Source && k.DN != "" && password != "" {
		p.dn, p.id, p.origin, p.password = k.DN, u.SourceID, k.Origin, password
		return p, nil
	}
	p.inVain()
	return p, nil
}

// inVain makes p a bind as nobody.
func (p *proof) inVain() {
	p.dn, p.password, p.vain = "cn="+rand.Text()+","+p.source.Users.Bases[0], rand.Text(), true
}

// prove asks the servers in their order until one can say.
func (s *Service) prove(ctx context.Context, p proof) (bool, error) {
	servers := p.source.Servers
	if p.origin != "" {
		servers = []string{p.origin}
		if u, err := url.Parse(p.origin); err == nil {
			server, ok := p.source.trusted(u)
			if !ok { // it may not be given passwords
				p.inVain()
				servers = p.source.Servers
			} else {
				servers = []string{server}
			}
		}
	}
	var last error
	for _, server := range s.door.order(servers, s.cfg.Clock.Now()) {
		ok, err := p.source.bind(ctx, server, p, maxBinds)
		if err == nil {
			return ok && !p.vain, nil
		}
		if ctx.Err() != nil {
			return false, fault.New(fault.Timeout, "dirsync.Check", "the directory did not answer in time").Because(ctx.Err())
		}
		s.door.mark(server, s.cfg.Clock.Now())
		s.cfg.Log.Warn("a server of a directory does not check passwords", "source", p.source.Name, "server", server, "err", err)
		last = err
	}
	e := fault.New(fault.Unavailable, "dirsync.Check", "the directory that checks passwords does not answer; try again soon").Because(last)
	e.RetryAfter = rest
	return false, e
}

// refusals are the results by which a server says no (RFC 4511 A.1): the password is
// wrong, or this entry cannot sign in.
var refusals = []uint16{
	ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultInappropriateAuthentication,
	ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultNamingViolation,
}

// bind asks one server, and where that refers to. The name of an entry may have
// become that of somebody else since the last run: before the password goes there,
// the account of the source looks whether the entry is still the same.
func (x *source) bind(ctx context.Context, server string, p proof, hops int) (bool, error) {
	l, err := x.open(ctx, server, true)
	if err != nil {
		return false, err
	}
	defer l.close()
	same, err := x.holds(l, p)
	if err == nil {
		if !same {
			p.source = x
			p.inVain()
		}
		err = l.Bind(p.dn, p.password)
	}
	switch {
	case err == nil:
		return !p.vain, nil
	case ldap.IsErrorAnyOf(err, refusals...):
		return false, nil
	case !ldap.IsErrorWithCode(err, ldap.LDAPResultReferral):
		return false, because(err, "%s did not answer", server)
	}
	for _, r := range referralsOf(err) {
		u, err := url.Parse(r)
		if err != nil || hops == 0 || x.Referrals != "follow" {
			continue
		}
		if next, ok := x.trusted(u); ok {
			return x.bind(ctx, next, p, hops-1)
		}
	}
	return false, nil
}

// holds reports whether the entry that p is a bind as has the identifier of the user.
func (x *source) holds(l *link, p proof) (bool, error) {
	res, err := l.Search(ldap.NewSearchRequest(p.dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", x.mapping.IDAttributes(), nil))
	switch {
	case ldap.IsErrorAnyOf(err, refusals...):
		return false, nil
	case err != nil || len(res.Entries) != 1:
		return false, err
	}
	e := dirsync.Entry{Attributes: map[string][][]byte{}}
	for _, a := range res.Entries[0].Attributes {
		name, _, _ := strings.Cut(strings.ToLower(a.Name), ";")
		e.Attributes[name] = append(e.Attributes[name], a.ByteValues...)
	}
	id := x.mapping.ID(e)
	return id != "" && id == p.id, nil
}
