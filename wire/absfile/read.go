package absfile

import (
	"bufio"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"

	"trivet/fault"
)

// Reader reads a file contact by contact.
type Reader struct {
	Header
	in *bufio.Reader
}

func bad(text string) error { return fault.New(fault.Invalid, "absfile.Reader", text) }

// NewReader reads the header. fault.Invalid for what is no address book file.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReader(in)}
	var b [headerSize]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return nil, bad("the file ends within its header")
	}
	switch [16]byte(b[:16]) {
	case fullType:
		r.Full = true
	case deltaType:
		r.Base = Day(le.Uint16(b[16:]))
	default:
		return nil, bad("the file is no address book file")
	}
	r.Day = Day(le.Uint16(b[18:]))
	n, largest := int(le.Uint16(b[20:])), le.Uint16(b[22:])
	r.Normalized = le.Uint16(b[24:]) != 0
	r.Source = readSource(b[26:])
	if n > MaxAttributes {
		return nil, bad("the file has too many attributes")
	}
	for range n {
		a, err := r.attribute()
		if err != nil {
			return nil, err
		}
		if uint16(a.ID) > largest {
			return nil, bad("an attribute has a larger ID than the header allows")
		}
		r.Attributes = append(r.Attributes, a)
	}
	return r, nil
}

func readSource(b []byte) string {
	var units []uint16
	for i := 0; i+3 < sourceSize; i += 2 { // the last unit is a zero
		u := le.Uint16(b[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// record reads a length and as many bytes.
func (r *Reader) record() ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r.in, size[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, bad("the file ends within a record")
	}
	b := make([]byte, le.Uint16(size[:]))
	if _, err := io.ReadFull(r.in, b); err != nil {
		return nil, bad("the file ends within a record")
	}
	return b, nil
}

func (r *Reader) attribute() (Attribute, error) {
	b, err := r.record()
	if err != nil {
		return Attribute{}, bad("the file ends within its attributes")
	}
	if len(b) < attributeFixed+2 || len(b) > attributeFixed+maxName+1 || bytes.IndexByte(b[attributeFixed:], 0) != len(b)-attributeFixed-1 {
		return Attribute{}, bad("an attribute has no name that ends with a zero")
	}
	id := le.Uint16(b)
	if id == 0 || id > 255 {
		return Attribute{}, bad("an attribute has an ID beyond 255")
	}
	return Attribute{ID: uint8(id), Field: Field(le.Uint32(b[2:]) >> 24), Name: string(b[attributeFixed : len(b)-1])}, nil
}

// Next returns the next contact, io.EOF after the last one.
func (r *Reader) Next() (Contact, error) {
	var c Contact
	b, err := r.record()
	if err != nil {
		return c, err
	}
	if len(b) < contactFixed {
		return c, bad("a contact is too short")
	}
	c.GUID = swap([16]byte(b[:16]))
	values := string(b[contactFixed:])
	if crc32.ChecksumIEEE(b[contactFixed:]) != le.Uint32(b[16:]) {
		return Contact{}, bad("a contact does not fit its checksum")
	}
	for values != "" {
		end := strings.IndexByte(values[1:], 0)
		if end < 0 || values[0] == 0 {
			return Contact{}, bad("a value has no ID or does not end with a zero")
		}
		c.Values = append(c.Values, Value{values[0], values[1 : 1+end]})
		values = values[end+2:]
	}
	return c, nil
}
