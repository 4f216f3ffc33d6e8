package absfile

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode/utf16"

	"trivet/fault"
)

var le = binary.LittleEndian

// Append writes the header with the descriptions of the attributes.
func (h Header) Append(b []byte) ([]byte, error) {
	const op = "absfile.Header.Append"
	if len(h.Attributes) > MaxAttributes {
		return b, fault.Newf(fault.Limit, op, "a file may have at most %d attributes", MaxAttributes)
	}
	kind, base := deltaType, h.Base
	if h.Full {
		kind, base = fullType, 0
	}
	b = append(b, kind[:]...)
	b = le.AppendUint16(b, uint16(base))
	b = le.AppendUint16(b, uint16(h.Day))
	largest := uint8(0)
	for _, a := range h.Attributes {
		largest = max(largest, a.ID)
	}
	b = le.AppendUint16(b, uint16(len(h.Attributes)))
	b = le.AppendUint16(b, uint16(largest))
	b = le.AppendUint16(b, map[bool]uint16{true: 1}[h.Normalized])
	b = appendSource(b, h.Source)
	for _, a := range h.Attributes {
		if a.ID == 0 || a.Name == "" || len(a.Name) > maxName || strings.IndexByte(a.Name, 0) >= 0 {
			return b, fault.New(fault.Invalid, op, "an attribute needs an ID from 1 and a name").About(a.Name)
		}
		b = le.AppendUint16(b, uint16(attributeFixed+len(a.Name)+1))
		b = le.AppendUint16(b, uint16(a.ID))
		b = le.AppendUint32(b, uint32(a.Field)<<24)
		b = append(append(b, a.Name...), 0)
	}
	return b, nil
}

// appendSource writes a text in UTF-16 with zeros up to its size; longer ones are
// cut.
func appendSource(b []byte, s string) []byte {
	var field [sourceSize]byte
	for i, u := range utf16.Encode([]rune(s)) {
		if 2*i+4 > sourceSize {
			break
		}
		le.PutUint16(field[2*i:], u)
	}
	return append(b, field[:]...)
}

// Append writes the contact: the length of what follows, the GUID, the CRC-32 (IEEE
// 802.3) of the values, the values. fault.Limit for a contact that is too long.
func (c *Contact) Append(b []byte) ([]byte, error) {
	const op = "absfile.Contact.Append"
	start := len(b)
	b = append(b, make([]byte, 2+contactFixed)...)
	for _, v := range c.Values {
		if v.ID == 0 || strings.IndexByte(v.Text, 0) >= 0 {
			return b[:start], fault.New(fault.Invalid, op, "a value needs the ID of an attribute and a text without zeros")
		}
		b = append(append(append(b, v.ID), v.Text...), 0)
	}
	values := b[start+2+contactFixed:]
	if len(values) > MaxContact {
		return b[:start], fault.Newf(fault.Limit, op, "a contact may have at most %d bytes of values", MaxContact)
	}
	le.PutUint16(b[start:], uint16(contactFixed+len(values)))
	guid := swap(c.GUID)
	copy(b[start+2:], guid[:])
	le.PutUint32(b[start+2+16:], crc32.ChecksumIEEE(values))
	return b, nil
}

// swap turns a GUID from the order of RFC 9562 to that of Windows, and back.
func swap(g [16]byte) [16]byte {
	return [16]byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}
