package ntlm

import (
	"encoding/binary"
	"unicode/utf16"

	"trivet/fault"
)

// Ids of AV_PAIR, [MS-NLMP] 2.2.2.1.
const (
	avEnd         = 0
	avNBComputer  = 1
	avNBDomain    = 2
	avDNSComputer = 3
	avDNSDomain   = 4
	avDNSTree     = 5
	avFlags       = 6
	avTimestamp   = 7
)

const flagMIC = 0x2 // of avFlags: the message carries an integrity code

// Target is what a server says of itself in a CHALLENGE. Empty names are left
// out, as is a Time of 0.
type Target struct {
	NetBIOSDomain   string // "CONTOSO"
	NetBIOSComputer string // "FE1"
	DNSDomain       string // "contoso.test"
	DNSComputer     string // "fe1.contoso.test"
	Time            uint64 // 100 ns since 1601, see FileTime
}

// FileTime converts Unix nanoseconds to 100 ns units since 1601.
func FileTime(unixNano int64) uint64 {
	const between = 116444736000000000 // 1601 to 1970
	return uint64(unixNano/100 + between)
}

func (t Target) append(b []byte) []byte {
	for _, p := range [...]struct {
		id   uint16
		text string
	}{
		{avNBDomain, t.NetBIOSDomain}, {avNBComputer, t.NetBIOSComputer},
		{avDNSDomain, t.DNSDomain}, {avDNSComputer, t.DNSComputer},
	} {
		if p.text != "" {
			b = appendPair(b, p.id, utf16le(p.text))
		}
	}
	if t.Time != 0 {
		b = appendPair(b, avTimestamp, binary.LittleEndian.AppendUint64(nil, t.Time))
	}
	return appendPair(b, avEnd, nil)
}

func appendPair(b []byte, id uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, id)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}

// pairs is a parsed AV_PAIR list.
type pairs struct {
	target Target
	flags  uint32
	size   int // bytes up to and with the end pair
}

func parsePairs(op string, b []byte) (p pairs, err error) {
	if len(b) > maxTargetInfo {
		return p, fault.New(fault.Invalid, op, "the target information is longer than 2048 bytes")
	}
	names := [...]*string{
		avNBComputer: &p.target.NetBIOSComputer, avNBDomain: &p.target.NetBIOSDomain,
		avDNSComputer: &p.target.DNSComputer, avDNSDomain: &p.target.DNSDomain,
	}
	for i := 0; i+4 <= len(b); {
		id, n := binary.LittleEndian.Uint16(b[i:]), int(binary.LittleEndian.Uint16(b[i+2:]))
		i += 4
		if n > len(b)-i {
			break
		}
		v := b[i : i+n]
		i += n
		switch {
		case id == avEnd:
			p.size = i
			return p, nil
		case int(id) < len(names) && names[id] != nil:
			*names[id] = fromUTF16(v)
		case id == avFlags && n == 4:
			p.flags = binary.LittleEndian.Uint32(v)
		case id == avTimestamp && n == 8:
			p.target.Time = binary.LittleEndian.Uint64(v)
		}
	}
	return p, fault.New(fault.Invalid, op, "the target information does not end with an end pair")
}

func utf16le(s string) []byte {
	b := make([]byte, 0, 2*len(s))
	for _, r := range s {
		if hi, lo := utf16.EncodeRune(r); hi != '\uFFFD' {
			b = binary.LittleEndian.AppendUint16(b, uint16(hi))
			b = binary.LittleEndian.AppendUint16(b, uint16(lo))
			continue
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return b
}

// fromUTF16 reads little-endian UTF-16; a lone surrogate becomes U+FFFD and an
// odd last byte is dropped (fields of odd length are refused before).
func fromUTF16(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}
