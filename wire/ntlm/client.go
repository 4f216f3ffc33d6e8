package ntlm

import (
	"encoding/binary"
	"strings"

	"trivet/fault"
)

// Client is what the signing-in side knows: names, the hash of the password and
// fresh random numbers for one answer.
type Client struct {
	User        string // "alice@example.test" with an empty Domain, or "alice"
	Domain      string
	Workstation string
	Hash        Hash
	Time        uint64  // FileTime of now; used when the challenge has none
	Nonce       [8]byte // random
	Key         Key     // random: the session key to be, with KeyExchange
}

// Respond answers a CHALLENGE. It returns the AUTHENTICATE message and the
// session it leads to. The message carries an integrity code when the challenge
// carried a time, as [MS-NLMP] 3.1.5.1.2 asks, or announced a code itself: what it
// carries comes back in the answer.
func (c Client) Respond(challenge []byte) ([]byte, *Session, error) {
	const op = "ntlm.Respond"
	ch, err := ParseChallenge(challenge)
	if err != nil {
		return nil, nil, err
	}
	if ch.Flags&sipNeeds != sipNeeds {
		return nil, nil, fault.New(fault.Unsupported, op, "the challenge lacks signing, NTLM or extended session security")
	}
	withMIC := ch.Target.Time != 0 || ch.flags&flagMIC != 0
	blob := c.blob(ch, withMIC)
	rk := c.Hash.responseKey(c.User, c.Domain, strings.ToUpper)
	proof := mac(rk, ch.Nonce[:], blob)
	key := Key(mac(rk, proof))
	var sealed []byte
	if ch.Flags&KeyExchange != 0 {
		wrapped := rc4Once(key[:], c.Key[:])
		key, sealed = c.Key, wrapped[:]
	}
	lm := make([]byte, 24)
	if !withMIC {
		copy(lm, mac(rk, ch.Nonce[:], c.Nonce[:]))
		copy(lm[16:], c.Nonce[:])
	}
	msg := c.message(ch.Flags, lm, append(proof, blob...), sealed)
	if withMIC {
		copy(msg[micAt:micEnd], integrity(key, challenge, msg))
	}
	return msg, NewClientSession(ch.Flags, key), nil
}

// blob is NTLMv2_CLIENT_CHALLENGE with the server's target information.
func (c Client) blob(ch Challenge, withMIC bool) []byte {
	le := binary.LittleEndian
	now := c.Time
	if ch.Target.Time != 0 {
		now = ch.Target.Time
	}
	b := append([]byte(nil), 1, 1, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint64(b, now)
	b = append(b, c.Nonce[:]...)
	b = le.AppendUint32(b, 0)
	b = append(b, ch.info[:len(ch.info)-4]...)
	if withMIC {
		b = appendPair(b, avFlags, []byte{flagMIC, 0, 0, 0})
	}
	b = appendPair(b, avEnd, nil)
	return le.AppendUint32(b, 0)
}

// message lays the parts out behind a head of 88 bytes. The order of the
// payload is that of Windows: domain, user, workstation, LM, NT, key.
func (c Client) message(f Flags, lm, nt, key []byte) []byte {
	parts := [...]struct {
		at   int
		data []byte
	}{{28, utf16le(c.Domain)}, {36, utf16le(c.User)}, {44, utf16le(c.Workstation)}, {12, lm}, {20, nt}, {52, key}}
	b := make([]byte, micEnd)
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[8:], typeAuthenticate)
	binary.LittleEndian.PutUint32(b[60:], uint32(f))
	copy(b[64:], version)
	for _, p := range parts {
		appendField(b[p.at:p.at], len(p.data), len(b))
		b = append(b, p.data...)
	}
	return b
}
