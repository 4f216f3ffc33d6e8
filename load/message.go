package load

import (
	"bytes"
	"errors"
	"strconv"
)

// message is a SIP message as it stands in a buffer that belongs to the reader.
type message struct {
	raw    []byte
	head   []byte // start line and headers, each with its CRLF
	body   []byte
	status int    // 0 for requests
	method []byte // of a request
}

// maxMessage bounds what a server may send in one message.
const maxMessage = 4 << 20

var errFraming = errors.New("the server's message has no boundaries")

var endOfHead = []byte("\r\n\r\n")

// cut takes the first message off b; its head is nil when there is none yet.
func cut(b []byte) (m message, rest []byte, err error) {
	for len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	end := bytes.Index(b, endOfHead)
	if end < 0 {
		if len(b) > maxMessage {
			err = errFraming
		}
		return m, b, err
	}
	head := b[:end+2]
	length := 0
	if v := header(head, "Content-Length"); v != nil {
		if length, err = strconv.Atoi(string(v)); err != nil || length < 0 || length > maxMessage {
			return m, b, errFraming
		}
	}
	total := end + len(endOfHead) + length
	if len(b) < total {
		return m, b, nil
	}
	m = message{raw: b[:total], head: head, body: b[end+len(endOfHead) : total]}
	return m, b[total:], m.start()
}

// start reads the start line.
func (m *message) start() error {
	line, _, _ := bytes.Cut(m.head, []byte("\r\n"))
	first, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return errFraming
	}
	if string(first) != "SIP/2.0" {
		m.method = first
		return nil
	}
	n, err := strconv.Atoi(string(rest[:min(3, len(rest))]))
	if err != nil || n < 100 {
		return errFraming
	}
	m.status = n
	return nil
}

// get is the value of the first header with the name, nil if there is none.
func (m *message) get(name string) []byte { return header(m.head, name) }

func header(head []byte, name string) []byte {
	_, rest, _ := bytes.Cut(head, []byte("\r\n"))
	v, _ := nextHeader(rest, name)
	return v
}

// all calls f with every value of the header.
func (m *message) all(name string, f func(v []byte)) {
	_, rest, _ := bytes.Cut(m.head, []byte("\r\n"))
	for {
		v, after := nextHeader(rest, name)
		if v == nil {
			return
		}
		f(v)
		rest = after
	}
}

// nextHeader finds a header among whole lines, and what is behind it.
func nextHeader(lines []byte, name string) (value, rest []byte) {
	for len(lines) > 0 {
		i := bytes.IndexByte(lines, '\n')
		if i < 0 {
			return nil, nil
		}
		line := lines[:i]
		lines = lines[i+1:]
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name)+1:]), lines
		}
	}
	return nil, nil
}

// equalFold compares header names, which have no letters beyond ASCII.
func equalFold(b []byte, s string) bool {
	for i := range b {
		if b[i] != s[i] && b[i]|0x20 != s[i]|0x20 {
			return false
		}
	}
	return true
}

// param is a parameter of an address header behind the angle bracket.
func param(v []byte, name string) []byte {
	if i := bytes.IndexByte(v, '>'); i >= 0 {
		v = v[i+1:]
	}
	for len(v) > 0 {
		var p []byte
		p, v, _ = bytes.Cut(v, []byte(";"))
		n, value, ok := bytes.Cut(p, []byte("="))
		if ok && string(bytes.TrimSpace(n)) == name {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

// uri is what stands between the angle brackets.
func uri(v []byte) []byte {
	if i := bytes.IndexByte(v, '<'); i >= 0 {
		v = v[i+1:]
		if j := bytes.IndexByte(v, '>'); j >= 0 {
			return v[:j]
		}
	}
	v, _, _ = bytes.Cut(v, []byte(";"))
	return bytes.TrimSpace(v)
}

// quoted is the value of a parameter in a challenge or a Contact.
func quoted(v []byte, name string) string {
	i := bytes.Index(v, []byte(name+`="`))
	if i < 0 || i > 0 && v[i-1] != ' ' && v[i-1] != ';' && v[i-1] != ',' {
		return ""
	}
	v = v[i+len(name)+2:]
	if j := bytes.IndexByte(v, '"'); j >= 0 {
		return string(v[:j])
	}
	return ""
}

// number reads a decimal number, -1 if there is none.
func number(v []byte) int {
	n := 0
	if len(v) == 0 {
		return -1
	}
	for i, c := range v {
		if c < '0' || c > '9' {
			if i == 0 {
				return -1
			}
			break
		}
		if n = n*10 + int(c-'0'); n > 1<<31 {
			return -1
		}
	}
	return n
}
