package dirsync

import (
	"encoding/hex"
	"strings"
)

// maxDN bounds the names that are looked at.
const maxDN = 4096

// DNKey brings a distinguished name (RFC 4514) to a form in which names of the
// same entry are equal: case, spaces around separators and the way of escaping do
// not count. "" for what is no name or longer than 4096 bytes, in this form too.
func DNKey(dn string) string {
	if len(dn) > maxDN {
		return ""
	}
	var b strings.Builder
	b.Grow(len(dn))
	for rest := dn; ; {
		kind, after, ok := strings.Cut(rest, "=")
		kind = strings.ToLower(strings.TrimSpace(kind))
		if !ok || kind == "" || strings.ContainsAny(kind, `,+\";`) {
			return ""
		}
		value, sep, next, ok := dnValue(after)
		if !ok {
			return ""
		}
		b.WriteString(kind)
		b.WriteByte('=')
		for _, c := range []byte(value) {
			if strings.IndexByte("\",;+=\\", c) >= 0 || c < ' ' {
				b.WriteString("\\" + hex.EncodeToString([]byte{c}))
				continue
			}
			b.WriteByte(c)
		}
		switch {
		case b.Len() > maxDN:
			return ""
		case sep == 0:
			return b.String()
		}
		b.WriteByte(sep)
		rest = next
	}
}

// dnValue reads a value up to a separator (0 at the end), unescaped, in lower
// case, without spaces around it and doubled ones inside.
func dnValue(s string) (value string, sep byte, next string, ok bool) {
	s = strings.TrimLeft(s, " ")
	out := make([]byte, 0, len(s))
	quoted, solid := false, 0 // solid: bytes that trimming leaves
	i := 0
scan:
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i+1 >= len(s) {
				return "", 0, "", false
			}
			if i+2 < len(s) {
				if b, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
					out, i = append(out, b...), i+2
					solid = len(out)
					continue
				}
			}
			i++
			out = append(out, s[i])
			solid = len(out)
		case c == '"':
			quoted = !quoted
			solid = len(out)
		case !quoted && (c == ',' || c == ';' || c == '+'):
			sep = c
			if c == ';' {
				sep = ','
			}
			break scan
		default:
			out = append(out, c)
		}
	}
	if quoted {
		return "", 0, "", false
	}
	for len(out) > solid && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	value = strings.ToLower(strings.Join(strings.Fields(string(out)), " "))
	if sep != 0 {
		next = s[i+1:]
	}
	return value, sep, next, true
}
