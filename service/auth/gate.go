package auth

import (
	"context"
	"net/netip"
	"strings"

	"trivet/fault"
	"trivet/kit/turn"
	"trivet/link/pki"
	"trivet/link/sipauth"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/wire/ntlm"
)

const maxPassword = 512

// Password checks a login and a password that came from addr, then the policy.
// fault.Unauthenticated: not proved; fault.Forbidden: proved, but may not;
// fault.Overload: the source or the server must wait.
func (s *Service) Password(ctx context.Context, addr netip.Addr, login, password string) (directory.User, error) {
	const op = "auth.Password"
	device := strings.ToLower(login)
	if err := s.cfg.Brake.Check(addr, device, s.cfg.Clock.Now()); err != nil {
		return directory.User{}, fault.Wrap(op, err)
	}
	if len(password) > maxPassword {
		password = "" // never fits, and no longer text is hashed
	}
	u, secrets, err := s.look(ctx, login)
	if err != nil {
		return directory.User{}, fault.Wrap(op, err)
	}
	from := household(addr)
	ok, err := s.prove(turn.As(ctx, from.String(), s.familiar.knows(from, device)), u, secrets, password)
	if err != nil {
		s.charge(secrets, addr, device, err)
		return directory.User{}, fault.Wrap(op, err)
	}
	if ok {
		s.familiar.add(from, device)
	}
	return u, s.settle(ok, addr, device, u)
}

// settle books the outcome of a proof and applies the policy.
func (s *Service) settle(ok bool, addr netip.Addr, device string, u directory.User) error {
	if !ok {
		s.cfg.Brake.Failed(addr, device, s.cfg.Clock.Now())
		return refused("auth.settle")
	}
	s.cfg.Brake.Succeeded(addr, device)
	return MaySignIn(u)
}

// look finds user and secrets; both are empty for nobody.
func (s *Service) look(ctx context.Context, login string) (u directory.User, c users.Secrets, err error) {
	u, err = s.find(ctx, login)
	c, err = s.secretsOf(ctx, u, err)
	if fault.Is(err, fault.NotFound) {
		return u, users.Secrets{}, nil
	}
	return u, c, err
}

// ByLogin implements sipauth.Accounts.
func (s *Service) ByLogin(ctx context.Context, login string) (sipauth.Account, error) {
	u, err := s.find(ctx, login)
	c, err := s.secretsOf(ctx, u, err)
	if err != nil {
		return sipauth.Account{}, err
	}
	return s.account(u, c, login)
}

// ByPrincipal implements sipauth.Accounts.
func (s *Service) ByPrincipal(ctx context.Context, principal string) (sipauth.Account, error) {
	u, err := s.findPrincipal(ctx, principal)
	return sipauth.Account{User: u.SipAddress}, err
}

// ByCertificate implements sipauth.Accounts.
func (s *Service) ByCertificate(ctx context.Context, key [32]byte) (sipauth.Account, error) {
	const op = "auth.ByCertificate"
	c, err := s.cfg.Certificates.ClientOf(ctx, pki.KeyHash(key))
	if fault.Is(err, fault.Unauthenticated) {
		return sipauth.Account{}, fault.New(fault.NotFound, op, "no valid certificate was issued for this key").Because(err)
	}
	return sipauth.Account{User: c.User}, fault.Wrap(op, err)
}

// account opens the secrets of a user.
func (s *Service) account(u directory.User, c users.Secrets, login string) (_ sipauth.Account, err error) {
	a := sipauth.Account{User: u.SipAddress}
	var nt, strong, weak []byte
	for _, x := range []struct {
		what string
		blob []byte
		to   *[]byte
	}{{ntSecret, c.NTHash, &nt}, {sha256Secret, c.HA1SHA256, &strong}, {md5Secret, c.HA1MD5, &weak}} {
		if len(x.blob) == 0 {
			continue
		}
		if *x.to, err = s.vault.open(x.what, u.GUID, x.blob); err != nil {
			return sipauth.Account{}, err
		}
	}
	if len(nt) == len(ntlm.Hash{}) {
		a.HasNTHash, a.NTHash = true, ntlm.Hash(nt)
	}
	a.HA1SHA256, a.HA1MD5 = findHA1(strong, login, 32), findHA1(weak, login, 16)
	return a, nil
}

var _ sipauth.Accounts = (*Service)(nil)
