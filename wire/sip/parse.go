package sip

import (
	"bytes"
	"errors"
	"strings"
	"unsafe"
)

// Limits bound what a message may cost before anybody is authenticated.
type Limits struct {
	Head    int // bytes of start line and headers
	Body    int // bytes
	Headers int // header lines
}

// DefaultLimits are the limits of Parse and of listeners that set none.
var DefaultLimits = Limits{Head: 64 << 10, Body: 1 << 20, Headers: 300}

// Parse reads one whole message: a datagram, or what Frame measured. b is copied.
func Parse(b []byte) (*Message, error) {
	m := new(Message)
	if err := m.Parse(b, DefaultLimits); err != nil {
		return nil, err
	}
	return m, nil
}

// Parse reads one whole message into m, which keeps nothing of its former
// content but its capacity. b is copied. Bytes beyond Content-Length are dropped
// (RFC 3261 18.3); fewer are an error. When the error is met after the headers
// that identify the request were read, m holds them, so that a 400 can be sent.
func (m *Message) Parse(b []byte, lim Limits) error {
	b = trimLeadingCRLF(b)
	m.Reset()
	head, bodyAt := splitHead(b)
	switch {
	case bodyAt < 0:
		return bad("Parse", "no empty line ends the headers")
	case head > lim.Head:
		return bad("Parse", "the headers are longer than %d bytes", lim.Head)
	case len(b)-bodyAt > lim.Body:
		return bad("Parse", "the body is longer than %d bytes", lim.Body)
	}
	m.buf = append(m.buf, b...)
	text := unsafe.String(unsafe.SliceData(m.buf), len(m.buf))

	stray := blankStrayCR(m.buf[:head])
	line, rest := cutLine(text[:head])
	startErr := m.parseStartLine(line)
	if stray {
		startErr = bad("Parse", "a carriage return stands alone within a line")
	}
	if err := m.parseHeaders(rest, lim.Headers); err != nil {
		return err
	}
	if startErr != nil {
		return startErr
	}
	return m.takeBody(m.buf[bodyAt:])
}

func trimLeadingCRLF(b []byte) []byte {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// splitHead returns the length of the head without its empty line, and where the
// body starts, -1 if the empty line is missing. Bare LF line ends are accepted.
func splitHead(b []byte) (head, body int) {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return len(b), -1
		}
		i += n + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i, i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i, i + 2
		}
	}
}

// cutLine returns the text before the first line end, and what follows it.
func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return strings.TrimSuffix(s, "\r"), ""
	}
	return strings.TrimSuffix(s[:i], "\r"), s[i+1:]
}

// blankStrayCR finds a CR that ends no line and makes a blank of it. Whoever takes
// it for a line end would read headers that we did not see, so such a message goes
// no further (RFC 3261 25.1 allows it nowhere, not even escaped) and is not echoed.
func blankStrayCR(b []byte) (found bool) {
	for {
		i := bytes.IndexByte(b, '\r')
		if i < 0 || i+1 == len(b) {
			return found
		}
		if b[i+1] != '\n' {
			b[i], found = ' ', true
		}
		b = b[i+1:]
	}
}

func (m *Message) parseStartLine(s string) error {
	if len(s) >= 4 && strings.EqualFold(s[:4], "SIP/") {
		return m.parseStatusLine(s)
	}
	method, rest, ok := strings.Cut(s, " ")
	uri, version, ok2 := cutLast(rest, ' ')
	if !ok || !ok2 || !isToken(method) || uri == "" {
		m.Method, m.RequestURI = method, uri
		return bad("Parse", "the request line needs the form METHOD URI SIP/2.0")
	}
	m.Method, m.RequestURI = method, uri
	if strings.IndexByte(uri, ' ') >= 0 || strings.IndexByte(uri, '\t') >= 0 {
		return bad("Parse", "the request line has white space in or around the request URI")
	}
	if uri[0] == '<' {
		return bad("Parse", "the request URI must not stand in angle brackets")
	}
	if !strings.EqualFold(version, Version) {
		if len(version) > 4 && strings.EqualFold(version[:4], "SIP/") {
			return versionFault()
		}
		return bad("Parse", "the request line needs the form METHOD URI SIP/2.0")
	}
	return nil
}

// errVersion marks the one fault that is not answered with 400.
var errVersion = errors.New("sip: unknown protocol version")

func versionFault() error {
	return bad("Parse", "the version is not SIP/2.0").Because(errVersion)
}

// IsVersion reports whether Parse failed for the protocol version: such a request
// is answered with 505 (RFC 3261 21.5.6), other failures with 400.
func IsVersion(err error) bool { return errors.Is(err, errVersion) }

func (m *Message) parseStatusLine(s string) error {
	version, rest, _ := strings.Cut(s, " ")
	if !strings.EqualFold(version, Version) {
		return bad("Parse", "the version is not SIP/2.0")
	}
	code, reason, _ := strings.Cut(rest, " ")
	n, ok := number(code, 699)
	if !ok || len(code) != 3 || n < 100 {
		m.Status = 999 // never a request
		return bad("Parse", "the status code must be a number from 100 to 699")
	}
	m.Status, m.Reason = n, reason
	return nil
}

func cutLast(s string, c byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func (m *Message) parseHeaders(s string, limit int) error {
	for s != "" {
		line, rest := cutLine(s)
		for rest != "" && (rest[0] == ' ' || rest[0] == '\t') { // folded, RFC 3261 7.3.1
			var more string
			more, rest = cutLine(rest)
			line = strings.TrimRight(line, " \t") + " " + strings.TrimLeft(more, " \t")
		}
		s = rest
		if line == "" {
			continue
		}
		if len(m.Headers) >= limit {
			return bad("Parse", "more than %d header lines", limit)
		}
		colon := strings.IndexByte(line, ':')
		if colon < 0 {
			return bad("Parse", "a header line has no colon")
		}
		name := strings.TrimRight(line[:colon], " \t")
		if !isToken(name) {
			return bad("Parse", "a header name has a character that is not allowed")
		}
		m.Headers = append(m.Headers, Header{name, strings.Trim(line[colon+1:], " \t"), lookupID(name)})
	}
	return nil
}

// takeBody applies Content-Length. Without one a datagram's body is the rest.
func (m *Message) takeBody(rest []byte) error {
	length, present, err := m.contentLength()
	switch {
	case err != nil:
		return err
	case !present:
		m.Body = rest
	case length > len(rest):
		return bad("Parse", "Content-Length says %d bytes, only %d came", length, len(rest))
	default:
		m.Body = rest[:length]
	}
	if len(m.Body) == 0 {
		m.Body = nil
	}
	return nil
}

func (m *Message) contentLength() (n int, present bool, err error) {
	for v := range m.All("Content-Length") {
		k, ok := number(v, 1<<31-1)
		if !ok {
			return 0, true, bad("Parse", "Content-Length must be a number of bytes")
		}
		if present && k != n {
			return 0, true, bad("Parse", "Content-Length occurs twice with different values")
		}
		if present {
			return 0, true, bad("Parse", "Content-Length occurs twice")
		}
		n, present = k, true
	}
	return n, present, nil
}

// number reads an unsigned decimal up to limit; leading zeros are fine.
func number(s string, limit int) (int, bool) {
	if s == "" {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		if n = n*10 + int(c); n > limit {
			return 0, false
		}
	}
	return n, true
}

// tokenChar marks the characters of a token, RFC 3261 25.1.
var tokenChar = func() (t [256]bool) {
	for _, c := range "-.!%*_+`'~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenChar[s[i]] {
			return false
		}
	}
	return s != ""
}
