package sip

import "strings"

// Addr is a name-addr or addr-spec with header parameters, RFC 3261 20.10.
type Addr struct {
	Display string // quotes removed
	URI     string // text of the URI, without angle brackets
	Params  Params // header parameters
}

// Tag returns the tag parameter, "" if absent.
func (a Addr) Tag() string { return a.Params.Value("tag") }

// ParseAddr reads one name-addr or addr-spec. Without angle brackets everything
// behind the first semicolon is a header parameter (RFC 3261 20).
func ParseAddr(s string) (Addr, error) {
	const op = "ParseAddr"
	s = strings.Trim(s, " \t")
	var a Addr
	if strings.IndexAny(s, "\r\n") >= 0 {
		return a, bad(op, "an address has a line end in it")
	}
	open := -1
	if strings.HasPrefix(s, `"`) {
		end := quoteEnd(s)
		if end < 0 {
			return a, bad(op, "a display name in quotes does not end")
		}
		a.Display = Unquote(s[:end+1])
		s = strings.TrimLeft(s[end+1:], " \t")
		if !strings.HasPrefix(s, "<") {
			return a, bad(op, "a display name in quotes must be followed by <URI>")
		}
		open = 0
	} else {
		open = strings.IndexByte(s, '<')
	}
	var params string
	if open >= 0 {
		end := strings.IndexByte(s[open:], '>')
		if end < 0 {
			return a, bad(op, "an angle bracket is not closed")
		}
		if a.Display == "" {
			a.Display = strings.TrimRight(s[:open], " \t")
			if strings.IndexAny(a.Display, `,;"@`) >= 0 {
				return a, bad(op, "a display name with special characters must stand in quotes")
			}
		}
		a.URI, params = s[open+1:open+end], s[open+end+1:]
	} else {
		a.URI = s
		if i := strings.IndexByte(s, ';'); i >= 0 {
			a.URI, params = strings.TrimRight(s[:i], " \t"), s[i:]
		}
		if strings.IndexAny(a.URI, "?,") >= 0 {
			return a, bad(op, "a URI with a comma or question mark must stand in angle brackets")
		}
	}
	if i := strings.IndexByte(a.URI, ':'); i <= 0 || !isToken(a.URI[:i]) {
		return a, bad(op, "an address needs a URI with a scheme")
	}
	if strings.IndexAny(a.URI, " \t\r\n<>\"") >= 0 {
		return a, bad(op, "a URI has a character that must be escaped")
	}
	var err error
	a.Params, err = parseParams(params)
	return a, err
}

// quoteEnd finds the quote that ends the quoted string s begins with.
func quoteEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// Append writes the address with its URI in angle brackets.
func (a Addr) Append(b []byte) []byte {
	if a.Display != "" {
		b = append(append(b, Quote(a.Display)...), ' ')
	}
	b = append(append(append(b, '<'), a.URI...), '>')
	return a.Params.append(b)
}

func (a Addr) String() string { return string(a.Append(nil)) }
