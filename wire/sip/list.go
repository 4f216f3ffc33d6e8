package sip

import (
	"iter"
	"strings"
)

// Split yields the members of a comma separated header value, trimmed. Commas in
// quotes and angle brackets do not separate. Use it only for headers that are
// lists: never for credentials, challenges, Date or Subject.
func Split(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			first, rest, more := cutList(s)
			if first != "" && !yield(first) || !more {
				return
			}
			s = rest
		}
	}
}

// cutList returns the first member of a list and what follows its comma.
func cutList(s string) (first, rest string, more bool) {
	quoted, angle := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			return strings.Trim(s[:i], " \t"), strings.TrimLeft(s[i+1:], " \t"), true
		}
	}
	return strings.Trim(s, " \t"), "", false
}

// Param is one ;name=value. Value is unquoted text as sent; HasValue tells
// ";lr" from ";lr=".
type Param struct {
	Name, Value string
	HasValue    bool
}

// Params is a parameter list in its order.
type Params []Param

// Get returns the value of the parameter, quotes removed, and whether it is there.
func (p Params) Get(name string) (string, bool) {
	for i := range p {
		if strings.EqualFold(p[i].Name, name) {
			return Unquote(p[i].Value), true
		}
	}
	return "", false
}

// Value returns the value of the parameter, "" if absent.
func (p Params) Value(name string) string { v, _ := p.Get(name); return v }

// parseParams reads ";a=b;c" up to the end of s.
func parseParams(s string) (Params, error) {
	var out Params
	for s = strings.TrimLeft(s, " \t"); s != ""; {
		if s[0] != ';' {
			return out, bad("Params", "a parameter must begin with a semicolon")
		}
		s = strings.TrimLeft(s[1:], " \t")
		part, rest := cutParam(s)
		s = rest
		if part == "" {
			continue
		}
		name, value, has := strings.Cut(part, "=")
		name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t")
		if name == "" || strings.IndexAny(name, " \t\"<>") >= 0 {
			return out, bad("Params", "a parameter has no valid name")
		}
		if strings.HasPrefix(value, `"`) && !closed(value) {
			return out, bad("Params", "a quoted parameter value does not end")
		}
		if len(out) == maxParams {
			return out, bad("Params", "more than %d parameters", maxParams)
		}
		out = append(out, Param{name, value, has})
	}
	return out, nil
}

const maxParams = 64

// cutParam cuts at the next semicolon outside quotes.
func cutParam(s string) (part, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return strings.TrimRight(s[:i], " \t"), s[i:]
		}
	}
	return strings.TrimRight(s, " \t"), ""
}

// closed reports whether the quoted string that s begins with ends at its end.
func closed(s string) bool {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i == len(s)-1
		}
	}
	return false
}

// Unquote removes the quotes and escapes of a quoted string; other text is
// returned as it is.
func Unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// Quote makes a quoted string of s.
func Quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\r' || c == '\n':
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
