package ntlm

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"crypto/subtle"
	"strings"

	"golang.org/x/crypto/md4"

	"trivet/fault"
)

// Hash is the NT hash of a password: MD4 over its UTF-16 form. It is as good as
// the password itself; treat it so.
type Hash [16]byte

// Key is an exported session key, shared by client and server.
type Key [16]byte

// NewHash makes the NT hash of a password ([MS-NLMP] 3.3.2, NTOWFv2).
func NewHash(password string) Hash {
	h := md4.New()
	h.Write(utf16le(password))
	return Hash(h.Sum(nil))
}

// responseKey is ResponseKeyNT: the NT hash bound to the names. upper is how
// user is brought to upper case.
func (h Hash) responseKey(user, domain string, upper func(string) string) []byte {
	return mac(h[:], utf16le(upper(user)+domain))
}

func mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(md5.New, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// asciiUpper leaves all but a to z alone; some clients spell user names so.
func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// spellings are the ways in which clients bring a user name to upper case.
var spellings = [...]func(string) string{strings.ToUpper, asciiUpper}

// Verify checks the proof of the password against the CHALLENGE that was sent
// (its whole bytes) and the NT hash, and returns the session key. The amount of
// work does not depend on whether, or how far, the proof is right. Failures are
// all the same fault.Unauthenticated.
func (a *Authenticate) Verify(challenge []byte, h Hash) (Key, error) {
	const op = "ntlm.Verify"
	if err := checkHead(op, challenge, typeChallenge, 48); err != nil {
		return Key{}, err
	}
	nonce := challenge[24:32]
	var key Key
	right := 0
	for _, upper := range spellings {
		rk := h.responseKey(a.User, a.Domain, upper)
		ok := subtle.ConstantTimeCompare(mac(rk, nonce, a.blob), a.proof)
		base := mac(rk, a.proof) // session base key
		subtle.ConstantTimeCopy(ok, key[:], base)
		right |= ok
	}
	if a.Flags&KeyExchange != 0 {
		key = rc4Once(key[:], a.sessionKey)
	}
	right &= a.checkMIC(key, challenge)
	if right != 1 {
		return Key{}, fault.New(fault.Unauthenticated, op, "the user name or the password is wrong")
	}
	return key, nil
}

// checkMIC returns 1 when the integrity code is right or none was announced.
// There is no NEGOTIATE message in the connectionless form, so the code covers
// CHALLENGE and AUTHENTICATE only ([MS-NLMP] 3.2.5.1.2).
func (a *Authenticate) checkMIC(key Key, challenge []byte) int {
	if !a.hasMIC {
		return 1
	}
	return subtle.ConstantTimeCompare(integrity(key, challenge, a.raw), a.raw[micAt:micEnd])
}

func integrity(key Key, challenge, authenticate []byte) []byte {
	return mac(key[:], challenge, authenticate[:micAt], make([]byte, micEnd-micAt), authenticate[micEnd:])
}

func rc4Once(key, in []byte) (out Key) {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic("ntlm: " + err.Error()) // only for keys of a wrong size, and ours have 16 bytes
	}
	c.XORKeyStream(out[:], in)
	return out
}
