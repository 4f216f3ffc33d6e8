package auth

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
)

const diagDisabled = 4141 // ms-diagnostics: the user is disabled

// MaySignIn is the policy of sign-in, for every method: the user is enabled and
// has an address. Otherwise fault.Forbidden.
func MaySignIn(u directory.User) error {
	const op = "auth.MaySignIn"
	switch {
	case u.SipAddress == "":
		return fault.New(fault.Forbidden, op, "the user has no SIP address; Enable-CsUser gives one").About(u.UserPrincipalName).Diagnosed(diagDisabled)
	case !u.Enabled:
		return fault.New(fault.Forbidden, op, "the user is disabled for SIP").About(string(u.SipAddress)).Diagnosed(diagDisabled)
	}
	return nil
}

// Gate lets a known user in, or says why not. fault.Unauthenticated for nobody.
func (s *Service) Gate(ctx context.Context, user uc.UserURI) error {
	u, err := s.cfg.Directory.ByAddress(ctx, user)
	if fault.Is(err, fault.NotFound) {
		return refused("auth.Gate")
	}
	if err != nil {
		return fault.Wrap("auth.Gate", err)
	}
	return MaySignIn(u)
}

// refused is the one answer to every failed proof.
func refused(op string) *fault.Error {
	return fault.New(fault.Unauthenticated, op, "the user name or the password is wrong")
}

const maxLogin = 512

// find looks up what a person types: an address ("alice@contoso.test", with or
// without sip:), a user principal name, "CONTOSO\alice", or an account name. The
// GUID or display name of a user is not a login. fault.NotFound for nobody.
func (s *Service) find(ctx context.Context, login string) (directory.User, error) {
	const op = "auth.find"
	nobody := fault.New(fault.NotFound, op, "nobody signs in by this name")
	if login == "" || len(login) > maxLogin {
		return directory.User{}, nobody
	}
	name := login
	if i := strings.IndexAny(login, `\/`); i >= 0 {
		if name = login[i+1:]; !s.logins[strings.ToUpper(login[:i])] {
			return directory.User{}, nobody
		}
	}
	u, err := s.cfg.Directory.ByLogin(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return directory.User{}, nobody
	}
	return u, err
}

// secretsOf reads the credentials of u, the result of find; where it found nobody
// it does the same work in vain, so that the time tells nothing.
func (s *Service) secretsOf(ctx context.Context, u directory.User, err error) (users.Secrets, error) {
	if err != nil && !fault.Is(err, fault.NotFound) {
		return users.Secrets{}, err
	}
	c, missing := s.cfg.Directory.Secrets(ctx, u.GUID)
	if err == nil {
		err = missing
	}
	return c, err
}

// findPrincipal looks up a Kerberos client principal: by user principal name, or
// by account name when the realm is one of Logins.
func (s *Service) findPrincipal(ctx context.Context, principal string) (directory.User, error) {
	u, err := s.find(ctx, principal)
	if !fault.Is(err, fault.NotFound) {
		return u, err
	}
	name, realm, ok := strings.Cut(principal, "@")
	if !ok || !s.logins[strings.ToUpper(realm)] || strings.ContainsAny(name, `@/\`) {
		return directory.User{}, err
	}
	return s.find(ctx, name)
}
