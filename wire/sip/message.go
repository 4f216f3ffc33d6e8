// Package sip reads and writes SIP messages: RFC 3261 with the framing of RFC
// 3261 18.3, the grammar corrections of RFC 5118 and the leniency that RFC 4475
// asks for.
//
// A Message is one owned buffer and a list of (name, value) pairs that point into
// it. Order, spelling, compact forms, repeated and unknown headers survive a relay
// byte for byte; values are parsed only when an accessor asks, and a bad value is
// an error of that accessor, not of the message. Messages are not safe for
// concurrent use. Strings taken from a message stay valid until Reset.
package sip

import (
	"iter"
	"strings"

	"trivet/fault"
)

// Version is the protocol version of start lines, RFC 3261 7.1.
const Version = "SIP/2.0"

// Header is one header line: the name as spelt by the sender and the value with
// folding undone and outer white space cut.
type Header struct {
	Name, Value string
	id          headerID // notLooked until asked for
}

// Message is a request (Status 0) or a response.
type Message struct {
	Method     string // requests: as sent; methods are case-sensitive
	RequestURI string // requests: as sent
	Status     int    // responses: 100–699
	Reason     string // responses: may be empty
	Headers    []Header
	Body       []byte

	buf []byte // owned copy of the bytes the strings above point into
}

// IsRequest reports whether m has a request line.
func (m *Message) IsRequest() bool { return m.Status == 0 }

// Reset empties m for reuse. Every string and slice taken from m becomes invalid.
func (m *Message) Reset() {
	*m = Message{Headers: m.Headers[:0], buf: m.buf[:0]}
}

// Get returns the value of the first header with the (long) name, "" if absent.
// Compact forms match.
func (m *Message) Get(name string) string {
	if i := m.index(name, 0); i >= 0 {
		return m.Headers[i].Value
	}
	return ""
}

// Lookup is Get that tells an absent header from an empty one.
func (m *Message) Lookup(name string) (string, bool) {
	if i := m.index(name, 0); i >= 0 {
		return m.Headers[i].Value, true
	}
	return "", false
}

// All yields the values of every header line with the name, in order.
func (m *Message) All(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := m.index(name, 0); i >= 0; i = m.index(name, i+1) {
			if !yield(m.Headers[i].Value) {
				return
			}
		}
	}
}

// Count returns the number of header lines with the name.
func (m *Message) Count(name string) (n int) {
	for i := m.index(name, 0); i >= 0; i = m.index(name, i+1) {
		n++
	}
	return n
}

// Has reports whether token is a member of the comma separated list that the
// header lines with the name form together. Parameters of members are ignored,
// case too.
func (m *Message) Has(name, token string) bool {
	for v := range m.All(name) {
		for item := range Split(v) {
			if t, _, _ := strings.Cut(item, ";"); strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// index finds the header line with the name from position from on, -1 if none.
func (m *Message) index(name string, from int) int {
	id := lookupID(name)
	for i := from; i < len(m.Headers); i++ {
		h := &m.Headers[i]
		if h.id == notLooked {
			h.id = lookupID(h.Name)
		}
		if h.id == id && (id != otherHeader || strings.EqualFold(h.Name, name)) {
			return i
		}
	}
	return -1
}

// Add appends a header line.
func (m *Message) Add(name, value string) {
	m.Headers = append(m.Headers, Header{name, value, lookupID(name)})
}

// Set gives the first header line with the name the value and removes the
// others; without one it appends.
func (m *Message) Set(name, value string) {
	i := m.index(name, 0)
	if i < 0 {
		m.Add(name, value)
		return
	}
	m.Headers[i].Value = value
	m.del(name, i+1)
}

// Del removes every header line with the name.
func (m *Message) Del(name string) { m.del(name, 0) }

func (m *Message) del(name string, from int) {
	i := m.index(name, from)
	if i < 0 {
		return
	}
	out := i
	id := lookupID(name)
	for ; i < len(m.Headers); i++ {
		h := &m.Headers[i]
		if h.id == notLooked {
			h.id = lookupID(h.Name)
		}
		if h.id == id && (id != otherHeader || strings.EqualFold(h.Name, name)) {
			continue
		}
		m.Headers[out] = *h
		out++
	}
	m.Headers = m.Headers[:out]
}

// Prepend inserts a header line before the first one with the same name, or
// before all headers: the place for Via, Record-Route and Path.
func (m *Message) Prepend(name, value string) {
	i := max(m.index(name, 0), 0)
	m.Headers = append(m.Headers, Header{})
	copy(m.Headers[i+1:], m.Headers[i:])
	m.Headers[i] = Header{name, value, lookupID(name)}
}

// PopVia removes the topmost Via value (RFC 3261 16.7 step 3), whether the Vias
// stand on lines of their own or in one list.
func (m *Message) PopVia() bool {
	i := m.index("Via", 0)
	if i < 0 {
		return false
	}
	if _, rest, ok := cutList(m.Headers[i].Value); ok {
		m.Headers[i].Value = rest
		return true
	}
	m.Headers = append(m.Headers[:i], m.Headers[i+1:]...)
	return true
}

// PopRoute removes the topmost Route value (RFC 3261 16.4) and returns it.
func (m *Message) PopRoute() string {
	i := m.index("Route", 0)
	if i < 0 {
		return ""
	}
	first, rest, more := cutList(m.Headers[i].Value)
	if more {
		m.Headers[i].Value = rest
	} else {
		m.Headers = append(m.Headers[:i], m.Headers[i+1:]...)
	}
	return first
}

// Clone copies m so that both can be edited; the strings are shared, so neither
// may be Reset while the other lives. Body is shared too and must not be changed
// in place.
func (m *Message) Clone() *Message {
	c := *m
	c.Headers = append(make([]Header, 0, len(m.Headers)+4), m.Headers...)
	c.buf = nil
	return &c
}

// bad makes the fault of a malformed part.
func bad(op, format string, args ...any) *fault.Error {
	return fault.Newf(fault.Invalid, "sip."+op, format, args...)
}
