package auth

import (
	"context"
	"crypto/subtle"
	"net/netip"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/wire/ntlm"
)

// External proves the passwords of users whose passwords are kept elsewhere, as
// in the LDAP directory that they come from. Nothing of a password is kept here.
type External interface {
	// Check reports whether password is that of u. For a user whose password it
	// does not know, also for the zero user and for an empty password, it does the
	// same work in vain and reports false, so that the time tells nothing. Faults:
	// fault.Unavailable when nobody can say, fault.Overload when too many ask.
	Check(ctx context.Context, u directory.User, password string) (bool, error)
}

// prove compares a password with the hash that is kept here, then asks External.
// Whoever fails has failed at both.
func (s *Service) prove(ctx context.Context, u directory.User, c users.Secrets, password string) (bool, error) {
	ok, err := s.known(ctx, u, c, password)
	if err != nil || ok && password != "" || s.cfg.External == nil {
		return ok && password != "", err
	}
	ok, err = s.cfg.External.Check(ctx, u, password)
	return ok && password != "", err
}

// known compares a password with what is kept here: the slow hash or, of users made
// many at once, the sealed NT hash. Either costs as much as the slow one.
func (s *Service) known(ctx context.Context, u directory.User, c users.Secrets, password string) (bool, error) {
	ok, err := s.work.check(ctx, c.Argon2id, password)
	if err != nil || c.Argon2id != "" || len(c.NTHash) == 0 {
		return ok, err
	}
	want, err := s.vault.open(ntSecret, u.GUID, c.NTHash)
	if err != nil {
		return false, err
	}
	got := ntlm.NewHash(password)
	return subtle.ConstantTimeCompare(got[:], want) == 1, nil
}

// charge books a wrong password for a user of ours, although nobody could say
// whether it was the one kept elsewhere: an outage there is no free time for
// guessing here, and does not lock out those who are waiting for its end.
func (s *Service) charge(c users.Secrets, addr netip.Addr, device string, err error) {
	if fault.Is(err, fault.Unavailable) && (c.Argon2id != "" || len(c.NTHash) > 0) {
		s.cfg.Brake.Failed(addr, device, s.cfg.Clock.Now())
	}
}
