package groupstate

import (
	"encoding/binary"
	"net/netip"

	"trivet/fault"
)

// codec walks the fields of a command or of a noun once, in one order, and either
// writes or reads them, so that the two directions cannot drift apart. After the
// first error it does nothing more. Every length is bounded before anything is
// allocated for it.
type codec struct {
	buf     []byte // writing: what was written; reading: what is left
	reading bool
	version uint8 // of the record being walked; fields of later versions test it
	err     *fault.Error
}

const opDecode = "groupstate.decode"

func (c *codec) fail(field, why string) {
	if c.err == nil {
		c.err = fault.Newf(fault.Invalid, opDecode, "field %s %s", field, why)
	}
	c.buf = c.buf[:0]
}

// u64 walks an unsigned number as a varint.
func (c *codec) u64(field string, v *uint64) {
	if c.err != nil {
		return
	}
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	x, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail(field, "is cut off or too large; send it complete")
		return
	}
	*v, c.buf = x, c.buf[n:]
}

// number walks any unsigned number that must not be above most.
func number[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *codec, field string, v *T, most uint64) {
	x := uint64(*v)
	c.u64(field, &x)
	if c.reading && c.err == nil {
		if x > most {
			c.fail(field, "is larger than allowed")
			return
		}
		*v = T(x)
	}
}

func (c *codec) u32(field string, v *uint32) { number(c, field, v, 1<<32-1) }

// i64 walks a signed number, mostly a time in Unix milliseconds.
func (c *codec) i64(field string, v *int64) {
	if c.err != nil {
		return
	}
	if !c.reading {
		c.buf = binary.AppendVarint(c.buf, *v)
		return
	}
	x, n := binary.Varint(c.buf)
	if n <= 0 {
		c.fail(field, "is cut off or too large; send it complete")
		return
	}
	*v, c.buf = x, c.buf[n:]
}

func (c *codec) flag(field string, v *bool) {
	var x uint8
	if *v {
		x = 1
	}
	number(c, field, &x, 1)
	if c.reading {
		*v = x == 1
	}
}

// text walks a string of at most most bytes.
func text[T ~string](c *codec, field string, v *T, most int) {
	n := uint64(len(*v))
	c.u64(field, &n)
	switch {
	case c.err != nil:
	case !c.reading:
		c.buf = append(c.buf, *v...)
	case n > uint64(most):
		c.fail(field, "is longer than allowed; shorten it")
	case n > uint64(len(c.buf)):
		c.fail(field, "is cut off; send it complete")
	default:
		*v = T(c.buf[:n])
		c.buf = c.buf[n:]
	}
}

// list walks a slice of at most most elements, each by one.
func list[T any](c *codec, field string, v *[]T, most int, one func(*T, *codec)) {
	n := uint64(len(*v))
	c.u64(field, &n)
	if c.err != nil {
		return
	}
	if c.reading {
		*v = nil
		if n > uint64(most) {
			c.fail(field, "has more entries than allowed")
			return
		}
		if n > uint64(len(c.buf)) { // every element takes at least one byte
			c.fail(field, "is cut off; send it complete")
			return
		}
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		if one(&(*v)[i], c); c.err != nil {
			return
		}
	}
}

// texts walks a list of strings.
func texts[T ~string](c *codec, field string, v *[]T, most, longest int) {
	list(c, field, v, most, func(s *T, c *codec) { text(c, field, s, longest) })
}

// addr walks an IP address and port; the zero value is allowed.
func (c *codec) addr(field string, v *netip.AddrPort) {
	var s string
	if !c.reading && v.IsValid() {
		b, _ := v.MarshalBinary()
		s = string(b)
	}
	text(c, field, &s, 64)
	if !c.reading || c.err != nil {
		return
	}
	*v = netip.AddrPort{}
	if s == "" {
		return
	}
	if err := v.UnmarshalBinary([]byte(s)); err != nil || !v.IsValid() {
		c.fail(field, "is not an address and port")
	}
}

// end refuses bytes behind the last field.
func (c *codec) end() {
	if c.reading && c.err == nil && len(c.buf) > 0 {
		c.fail("end", "is followed by bytes that belong to no field")
	}
}
