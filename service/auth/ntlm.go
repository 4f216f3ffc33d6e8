package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/wire/ntlm"
)

// httpFlags are those of a challenge over a stream: no datagrams.
const httpFlags = ntlm.SIPFlags &^ (ntlm.Datagram | ntlm.Identify)

const (
	maxNTLM       = 8 << 10 // bytes of a message
	challengeSlot = time.Minute
)

// proveNTLM is NTLM over HTTP ([MS-NTHT]) without memory of the connection: the
// challenge is derived from the client's address and port and the minute, so the
// answer is checked against the challenge of this minute and of the one before.
func (s *Service) proveNTLM(r *http.Request, credentials string) (directory.User, answer, error) {
	const op = "auth.proveNTLM"
	var nobody directory.User
	if len(credentials) > 2*maxNTLM {
		return nobody, s.challenge(), fault.New(fault.Limit, op, "the NTLM message is too long")
	}
	msg, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil || len(msg) < 12 || string(msg[:8]) != "NTLMSSP\x00" {
		return nobody, s.challenge(), fault.New(fault.Invalid, op, "the credentials of NTLM must be an NTLM message in base64")
	}
	slot := s.cfg.Clock.Now().Truncate(challengeSlot)
	if binary.LittleEndian.Uint32(msg[8:]) == 1 {
		next := "NTLM " + base64.StdEncoding.EncodeToString(s.ntlmChallenge(r, slot))
		return nobody, answer{status: http.StatusUnauthorized, header: http.Header{"Www-Authenticate": {next}}}, fault.New(fault.Unauthenticated, op, "log in to get a web ticket")
	}
	m, err := ntlm.ParseAuthenticate(asSigning(msg))
	if err != nil {
		return nobody, s.challenge(), err
	}
	return s.loggedIn(s.checkNTLM(r, m, slot))
}

const flagsAt = 60 // offset of the flags in AUTHENTICATE, [MS-NLMP] 2.2.1.3

// asSigning sets the Sign flag in an AUTHENTICATE. Clients leave it out over
// HTTP, where nothing is signed; the parser, made for SIP, insists on it. The proof
// of the password does not cover the flags, and there is no integrity code that
// would: clients send one only when the challenge has a time, and ours has none
// ([MS-NLMP] 3.1.5.1.2).
func asSigning(msg []byte) []byte {
	if len(msg) >= flagsAt+4 {
		f := binary.LittleEndian.Uint32(msg[flagsAt:])
		binary.LittleEndian.PutUint32(msg[flagsAt:], f|uint32(ntlm.Sign))
	}
	return msg
}

func (s *Service) checkNTLM(r *http.Request, m *ntlm.Authenticate, slot time.Time) (directory.User, error) {
	const op = "auth.checkNTLM"
	login := ntlm.Login(m.User, m.Domain)
	addr, device := source(r), strings.ToLower(login)
	if err := s.cfg.Brake.Check(addr, device, s.cfg.Clock.Now()); err != nil {
		return directory.User{}, fault.Wrap(op, err)
	}
	u, secrets, err := s.look(r.Context(), login)
	if err != nil {
		return u, fault.Wrap(op, err)
	}
	var hash ntlm.Hash // of an unknown user: no password has it
	known := len(secrets.NTHash) > 0
	if known {
		nt, err := s.vault.open(ntSecret, u.GUID, secrets.NTHash)
		if err != nil || len(nt) != len(hash) {
			return u, fault.Wrap(op, err)
		}
		hash = ntlm.Hash(nt)
	}
	ok := false
	for _, at := range [...]time.Time{slot, slot.Add(-challengeSlot)} {
		_, err := m.Verify(s.ntlmChallenge(r, at), hash)
		ok = ok || err == nil
	}
	return u, s.settle(ok && known, addr, device, u)
}

// ntlmChallenge is the CHALLENGE for one client's connection in one minute.
func (s *Service) ntlmChallenge(r *http.Request, slot time.Time) []byte {
	h := hmac.New(sha256.New, s.nonces)
	h.Write([]byte(r.RemoteAddr))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(slot.Unix())))
	host, domain, _ := strings.Cut(s.cfg.Server, ".")
	netbios, _, _ := strings.Cut(domain, ".")
	c := ntlm.Challenge{Flags: httpFlags, Name: strings.ToUpper(netbios), Target: ntlm.Target{NetBIOSDomain: strings.ToUpper(netbios), NetBIOSComputer: strings.ToUpper(host), DNSDomain: domain, DNSComputer: s.cfg.Server}}
	copy(c.Nonce[:], h.Sum(nil))
	return c.Append(nil)
}
