package ntlm

import (
	"encoding/binary"

	"trivet/fault"
)

// Authenticate is the AUTHENTICATE message, [MS-NLMP] 2.2.1.3. Its byte slices
// point into the message that was parsed.
type Authenticate struct {
	Flags       Flags
	User        string
	Domain      string
	Workstation string

	raw        []byte
	proof      []byte // first 16 bytes of the NT response
	blob       []byte // the rest of it
	sessionKey []byte // encrypted random session key; empty without KeyExchange
	hasMIC     bool
}

const (
	authHead   = 64 // without version and integrity code
	micAt      = 72 // offset of the integrity code
	micEnd     = 88
	blobFixed  = 28 // the fixed part of NTLMv2_CLIENT_CHALLENGE
	proofSize  = 16
	keySize    = 16
	ntlm1Reply = 24 // size of an NT response of version 1
)

var (
	ntSlot   = slot{"NT response", 20, authHead, 16 + blobFixed + maxTargetInfo, false}
	domSlot  = slot{"domain", 28, authHead, maxName, true}
	userSlot = slot{"user name", 36, authHead, maxName, true}
	wsSlot   = slot{"workstation", 44, authHead, maxName, true}
	keySlot  = slot{"session key", 52, authHead, keySize, false}
)

// ParseAuthenticate reads a client's message with every length checked. An
// anonymous message, one of version 1 and one that gave up what SIP signatures
// need are refused with fault.Unsupported.
func ParseAuthenticate(b []byte) (*Authenticate, error) {
	const op = "ntlm.ParseAuthenticate"
	if err := checkHead(op, b, typeAuthenticate, authHead); err != nil {
		return nil, err
	}
	a := &Authenticate{raw: b, Flags: Flags(binary.LittleEndian.Uint32(b[60:]))}
	if a.Flags&sipNeeds != sipNeeds {
		return nil, fault.New(fault.Unsupported, op, "the flags must keep Unicode, signing, NTLM and extended session security")
	}
	for _, n := range [...]struct {
		s  slot
		to *string
	}{{domSlot, &a.Domain}, {userSlot, &a.User}, {wsSlot, &a.Workstation}} {
		v, err := field(op, b, n.s)
		if err != nil {
			return nil, err
		}
		*n.to = fromUTF16(v)
	}
	if a.User == "" {
		return nil, fault.New(fault.Unsupported, op, "anonymous sign-in is not possible: the user name is empty")
	}
	if err := a.parseProof(op); err != nil {
		return nil, err
	}
	return a, a.parseKey(op)
}

func (a *Authenticate) parseProof(op string) error {
	nt, err := field(op, a.raw, ntSlot)
	switch {
	case err != nil:
		return err
	case len(nt) == ntlm1Reply:
		return fault.New(fault.Unsupported, op, "NTLM version 1 is not accepted; allow version 2 on the client")
	case len(nt) < proofSize+blobFixed+4:
		return fault.New(fault.Invalid, op, "the NT response is too short for NTLM version 2")
	}
	a.proof, a.blob = nt[:proofSize], nt[proofSize:]
	if a.blob[0] != 1 || a.blob[1] != 1 {
		return fault.New(fault.Invalid, op, "the NT response is not of version 1.1 of the NTLMv2 form")
	}
	p, err := parsePairs(op, a.blob[blobFixed:])
	if err != nil {
		return err
	}
	a.hasMIC = p.flags&flagMIC != 0
	if a.hasMIC && len(a.raw) < micEnd {
		return fault.New(fault.Invalid, op, "the message announces an integrity code and is too short for one")
	}
	return nil
}

func (a *Authenticate) parseKey(op string) (err error) {
	if a.sessionKey, err = field(op, a.raw, keySlot); err != nil {
		return err
	}
	if a.Flags&KeyExchange != 0 && len(a.sessionKey) != keySize {
		return fault.New(fault.Invalid, op, "the exchanged session key must have 16 bytes")
	}
	return nil
}
