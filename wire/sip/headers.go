package sip

import (
	"strings"
)

// Via is one value of a Via header, RFC 3261 20.42.
type Via struct {
	Transport string // as sent: "TLS", "tls", "UDP"
	Host      string // IPv6 references keep their brackets
	Port      int    // 0 if absent
	Params    Params
}

// Branch returns the branch parameter, "" if absent.
func (v Via) Branch() string { return v.Params.Value("branch") }

// ParseVia reads one Via value; blanks around the slashes are legal.
func ParseVia(s string) (Via, error) {
	const op = "ParseVia"
	name, rest, ok := strings.Cut(s, "/")
	version, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || !strings.EqualFold(strings.TrimSpace(name), "SIP") || strings.TrimSpace(version) != "2.0" {
		return Via{}, bad(op, "Via needs the form SIP/2.0/TRANSPORT host")
	}
	rest = strings.TrimLeft(rest, " \t")
	end := strings.IndexAny(rest, " \t")
	if end <= 0 || !isToken(rest[:end]) {
		return Via{}, bad(op, "Via names no transport")
	}
	v := Via{Transport: rest[:end]}
	rest = strings.Trim(rest[end:], " \t")
	if i := strings.IndexByte(rest, ';'); i >= 0 {
		var err error
		if v.Params, err = parseParams(rest[i:]); err != nil {
			return v, err
		}
		rest = strings.TrimRight(rest[:i], " \t")
	}
	u := URI{}
	host, port, has := strings.Cut(rest, ":")
	if !strings.HasPrefix(rest, "[") && has { // "host : port" is legal
		rest = strings.TrimRight(host, " \t") + ":" + strings.TrimLeft(port, " \t")
	}
	if err := u.parseHost(rest); err != nil {
		return v, bad(op, "Via names no valid sender").Because(err)
	}
	v.Host, v.Port = u.Host, u.Port
	return v, nil
}

// Via parses the topmost Via.
func (m *Message) Via() (Via, error) {
	v, ok := m.Lookup("Via")
	if !ok {
		return Via{}, bad("Via", "the Via header is missing")
	}
	first, _, _ := cutList(v)
	return ParseVia(first)
}

// From parses the From header.
func (m *Message) From() (Addr, error) { return m.addr("From") }

// To parses the To header.
func (m *Message) To() (Addr, error) { return m.addr("To") }

func (m *Message) addr(name string) (Addr, error) {
	v, ok := m.Lookup(name)
	if !ok {
		return Addr{}, bad(name, "the %s header is missing", name)
	}
	a, err := ParseAddr(v)
	if err != nil {
		return a, bad(name, "the %s header is malformed", name).Because(err)
	}
	return a, nil
}

// Contacts parses every Contact value. "*" is an Addr whose URI is "*".
func (m *Message) Contacts() ([]Addr, error) { return m.addrs("Contact") }

func (m *Message) addrs(name string) ([]Addr, error) {
	var out []Addr
	for line := range m.All(name) {
		for item := range Split(line) {
			if item == "*" {
				out = append(out, Addr{URI: "*"})
				continue
			}
			a, err := ParseAddr(item)
			if err != nil {
				return out, bad(name, "the %s header is malformed", name).Because(err)
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// CSeq returns sequence number (below 2^31) and method of the CSeq header.
func (m *Message) CSeq() (uint32, string, error) {
	v, ok := m.Lookup("CSeq")
	if !ok {
		return 0, "", bad("CSeq", "the CSeq header is missing")
	}
	i := strings.IndexAny(v, " \t")
	if i < 0 {
		return 0, "", bad("CSeq", "CSeq needs a number and a method")
	}
	n, ok := number(v[:i], 1<<31-1)
	method := strings.Trim(v[i:], " \t")
	if !ok || !isToken(method) {
		return 0, method, bad("CSeq", "CSeq needs a number below 2147483648 and a method")
	}
	return uint32(n), method, nil
}

// CallID returns the Call-ID.
func (m *Message) CallID() string { return m.Get("Call-ID") }

// ContentType returns type/subtype in lower case without parameters.
func (m *Message) ContentType() string { return lowerToken(m.Get("Content-Type")) }

// Event returns the event package in lower case without parameters.
func (m *Message) Event() string { return lowerToken(m.Get("Event")) }

// lowerToken cuts parameters and lowers letters, without allocating when there
// is nothing to lower.
func lowerToken(s string) string {
	if i := strings.IndexByte(s, ';'); i >= 0 {
		s = s[:i]
	}
	return strings.ToLower(strings.TrimSpace(s))
}

// Expires returns the Expires header in seconds; a malformed or absent one is
// not there.
func (m *Message) Expires() (int, bool) {
	v, ok := m.Lookup("Expires")
	if !ok {
		return 0, false
	}
	return number(v, 1<<32-1)
}

// MaxForwards returns the Max-Forwards header (0–255), -1 if absent or malformed.
func (m *Message) MaxForwards() int {
	v, ok := m.Lookup("Max-Forwards")
	if !ok {
		return -1
	}
	n, ok := number(v, 255)
	if !ok {
		return -1
	}
	return n
}
