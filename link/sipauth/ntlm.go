package sipauth

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/wire/ntlm"
)

// ntlmHandshake is the connectionless form: an empty token is answered with a
// CHALLENGE, the AUTHENTICATE leads to keys ([MS-SIPAE] 3.2).
type ntlmHandshake struct {
	a         *Authenticator
	challenge []byte
	over      bool
}

func (h *ntlmHandshake) step(ctx context.Context, token []byte) ([]byte, *keys, error) {
	switch {
	case h.over:
		return nil, nil, fault.New(fault.Invalid, opHandshake, "the handshake is over")
	case h.challenge == nil && len(token) > 0:
		return nil, nil, fault.New(fault.Invalid, opHandshake, "the first NTLM message inside SIP must be empty")
	case h.challenge == nil:
		h.challenge = h.makeChallenge()
		return h.challenge, nil, nil
	}
	h.over = true // a challenge is good for one guess
	auth, err := ntlm.ParseAuthenticate(token)
	if err != nil {
		return nil, nil, err
	}
	login := ntlm.Login(auth.User, auth.Domain)
	acc, known, err := found(h.a.cfg.Accounts.ByLogin(ctx, login))
	if err != nil {
		return nil, nil, err
	}
	known = known && acc.HasNTHash
	key, err := auth.Verify(h.challenge, h.a.decoy.fill(login, acc).NTHash)
	if err != nil || !known {
		return nil, nil, errPassword()
	}
	return nil, &keys{user: acc.User, mac: ntlmMAC{ntlm.NewServerSession(auth.Flags, key)}}, nil
}

const opHandshake = "sipauth.handshake"

func errPassword() error {
	return fault.New(fault.Unauthenticated, opHandshake, "the user name or the password is wrong")
}

// found turns fault.NotFound into a flag.
func found(acc Account, err error) (Account, bool, error) {
	if fault.Is(err, fault.NotFound) {
		return Account{}, false, nil
	}
	return acc, err == nil, err
}

func (h *ntlmHandshake) makeChallenge() []byte {
	cfg := &h.a.cfg
	computer, _, _ := strings.Cut(cfg.FQDN, ".")
	c := ntlm.Challenge{
		Name: cfg.NetBIOS,
		Target: ntlm.Target{
			NetBIOSDomain: cfg.NetBIOS, NetBIOSComputer: strings.ToUpper(computer),
			DNSDomain: cfg.Domain, DNSComputer: cfg.FQDN,
			Time: ntlm.FileTime(cfg.Clock.Now().UnixNano()),
		},
	}
	copy(c.Nonce[:], randomBytes(8))
	return c.Append(nil)
}

func (h *ntlmHandshake) close() {}

type ntlmMAC struct{ s *ntlm.Session }

func (m ntlmMAC) sign(b, text []byte) []byte {
	sig := m.s.Sign(text)
	return append(b, sig[:]...)
}

func (m ntlmMAC) verify(text, sig []byte) bool { return m.s.Verify(text, sig) }
