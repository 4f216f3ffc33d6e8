package ntlm

import (
	"encoding/binary"

	"trivet/fault"
)

// Challenge is the CHALLENGE message, [MS-NLMP] 2.2.1.2.
type Challenge struct {
	Flags  Flags
	Nonce  [8]byte // the server challenge: eight random bytes
	Name   string  // the target name; the NetBIOS domain as a rule
	Target Target

	flags uint32 // of avFlags, as received
	info  []byte // target information as received, for the answer
}

const challengeHead = 56 // with the version field

// Append writes the message to b. With Flags 0 it writes SIPFlags.
func (c Challenge) Append(b []byte) []byte {
	if c.Flags == 0 {
		c.Flags = SIPFlags
	}
	le := binary.LittleEndian
	name, info := utf16le(c.Name), c.Target.append(nil)
	b = append(b, signature...)
	b = le.AppendUint32(b, typeChallenge)
	b = appendField(b, len(name), challengeHead)
	b = le.AppendUint32(b, uint32(c.Flags))
	b = append(b, c.Nonce[:]...)
	b = le.AppendUint64(b, 0)
	b = appendField(b, len(info), challengeHead+len(name))
	b = append(b, version...)
	b = append(b, name...)
	return append(b, info...)
}

// version says Windows Server 2008 R2 (6.1.7600), NTLM revision 15.
const version = "\x06\x01\xb0\x1d\x00\x00\x00\x0f"

// ParseChallenge reads a server's message on behalf of a client.
func ParseChallenge(b []byte) (Challenge, error) {
	const op = "ntlm.ParseChallenge"
	var c Challenge
	if err := checkHead(op, b, typeChallenge, 48); err != nil {
		return c, err
	}
	c.Flags = Flags(binary.LittleEndian.Uint32(b[20:]))
	copy(c.Nonce[:], b[24:32])
	if c.Flags&Unicode == 0 {
		return c, fault.New(fault.Unsupported, op, "the challenge does not offer Unicode")
	}
	name, err := field(op, b, nameField)
	if err != nil {
		return c, err
	}
	c.Name = fromUTF16(name)
	if c.info, err = field(op, b, infoField); err != nil {
		return c, err
	}
	p, err := parsePairs(op, c.info)
	if err != nil {
		return c, err
	}
	c.Target, c.flags, c.info = p.target, p.flags, c.info[:p.size]
	return c, nil
}

// slot describes one (length, space, offset) triple of a message head.
type slot struct {
	name string
	at   int // offset of the triple
	low  int // the payload starts no earlier
	max  int // bytes
	text bool
}

var (
	nameField = slot{"target name", 12, 48, maxName, true}
	infoField = slot{"target information", 40, 48, maxTargetInfo, false}
)

// field returns the bytes a slot points to. Empty fields may point anywhere.
func field(op string, b []byte, s slot) ([]byte, error) {
	n := int(binary.LittleEndian.Uint16(b[s.at:]))
	off := uint64(binary.LittleEndian.Uint32(b[s.at+4:]))
	switch {
	case n == 0:
		return nil, nil
	case n > s.max:
		return nil, fault.Newf(fault.Invalid, op, "the %s is longer than %d bytes", s.name, s.max)
	case s.text && n%2 != 0:
		return nil, fault.Newf(fault.Invalid, op, "the %s has an odd number of bytes", s.name)
	case off < uint64(s.low) || off+uint64(n) > uint64(len(b)):
		return nil, fault.Newf(fault.Invalid, op, "the %s lies outside the message", s.name)
	}
	return b[off : off+uint64(n)], nil
}

func appendField(b []byte, n, offset int) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	return binary.LittleEndian.AppendUint32(b, uint32(offset))
}

func checkHead(op string, b []byte, kind uint32, size int) error {
	switch {
	case len(b) < size:
		return fault.Newf(fault.Invalid, op, "the message is shorter than %d bytes", size)
	case len(b) > maxMessage:
		return fault.Newf(fault.Invalid, op, "the message is longer than %d bytes", maxMessage)
	case string(b[:8]) != signature:
		return fault.New(fault.Invalid, op, "the message does not start with NTLMSSP")
	case binary.LittleEndian.Uint32(b[8:]) != kind:
		return fault.Newf(fault.Invalid, op, "the message is not of type %d", kind)
	}
	return nil
}
