package sipauth

import (
	"strings"

	"trivet/wire/sip"
)

// calm takes characters out of display names that mislead clients which look
// for the first "<" and the first ";tag=" without regard to quotes: they would
// sign another text than we do and end the connection over it. Otherwise anybody
// could disconnect such a client by the choice of a name.
func calm(m *sip.Message) {
	for i := range m.Headers {
		if h := &m.Headers[i]; strings.IndexByte(h.Value, '"') >= 0 && isAddress(h.Name) && misleading(h.Value) {
			h.Value = calmed(h.Value)
		}
	}
}

// isAddress reports whether the header with the name enters the signed text with
// an address. From and To have compact forms.
func isAddress(name string) bool {
	for _, n := range [...]string{"From", "f", "To", "t", "P-Asserted-Identity", "P-Preferred-Identity"} {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

const misleads = `<>;,`

// misleading reports whether a quoted part of v has such a character. An
// unfinished quote counts.
func misleading(v string) bool {
	for {
		_, rest, ok := strings.Cut(v, `"`)
		if !ok {
			return false
		}
		n := quotedLen(rest)
		if strings.ContainsAny(rest[:n], misleads) {
			return true
		}
		v = rest[min(n+1, len(rest)):]
	}
}

// quotedLen is the length of quoted text up to its end quote.
func quotedLen(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(s)
}

func calmed(v string) string {
	b := []byte(v)
	quoted := false
	for i := 0; i < len(b); i++ {
		switch {
		case quoted && b[i] == '\\':
			i++
			if i < len(b) && strings.IndexByte(misleads, b[i]) >= 0 {
				b[i] = ' '
			}
		case b[i] == '"':
			quoted = !quoted
		case quoted && strings.IndexByte(misleads, b[i]) >= 0:
			b[i] = ' '
		}
	}
	return string(b)
}
