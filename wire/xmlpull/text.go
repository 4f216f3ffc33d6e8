package xmlpull

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

var entities = [...]struct{ name, text string }{{"lt", "<"}, {"gt", ">"}, {"amp", "&"}, {"quot", `"`}, {"apos", "'"}}

// unescape resolves the references of a text or attribute value.
func (s *Scanner) unescape(raw string) string {
	if strings.IndexByte(raw, '&') < 0 {
		return raw
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(raw, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, rest, found := strings.Cut(after, ";")
		t := reference(name)
		if !found || t == "" {
			s.Fail("the document has an entity other than lt, gt, amp, quot, apos or a number")
			return ""
		}
		b.WriteString(t)
		raw = rest
	}
}

// reference returns the text of an entity, "" for one that is not allowed.
func reference(name string) string {
	for _, e := range entities {
		if e.name == name {
			return e.text
		}
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return ""
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if err != nil || !character(rune(n)) {
		return ""
	}
	return string(rune(n))
}

// character reports whether XML 1.0 has the character.
func character(r rune) bool {
	return utf8.ValidRune(r) && (r >= ' ' || r == '\t' || r == '\n' || r == '\r') && r != 0xFFFE && r != 0xFFFF
}

// printable returns what is wrong with the characters of a document, "" for nothing.
func printable(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return "the document has a control character"
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return "the document is not UTF-8"
	}
	if !ascii && (strings.Contains(s, "\ufffe") || strings.Contains(s, "\uffff")) {
		return "the document has a character that XML does not allow"
	}
	return ""
}

// Escape appends s so that it may stand in a text or between the double quotes of
// an attribute. Characters that XML cannot carry become U+FFFD.
func Escape(b []byte, s string) []byte {
	plain := 0
	for i := 0; i < len(s); {
		width, with := 1, escapes[s[i]]
		if s[i] >= utf8.RuneSelf {
			with, width = replace(s[i:])
		}
		if with != "" {
			b = append(append(b, s[plain:i]...), with...)
			plain = i + width
		}
		i += width
	}
	return append(b, s[plain:]...)
}

func replace(s string) (with string, width int) {
	r, width := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && width == 1 || !character(r) {
		return "\ufffd", width
	}
	return "", width
}

// escapes has what stands for a byte, "" for itself.
var escapes = func() (t [256]string) {
	for c := range ' ' {
		t[c] = "\ufffd"
	}
	t['\t'], t['\n'], t['\r'] = "&#9;", "&#10;", "&#13;"
	t['<'], t['>'], t['&'], t['"'] = "&lt;", "&gt;", "&amp;", "&quot;"
	return t
}()

// AppendAttr appends a space, the name and the escaped value in quotes.
func AppendAttr(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	return append(Escape(b, value), '"')
}

// AppendUint appends a numeric attribute.
func AppendUint(b []byte, name string, n uint64) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	return append(strconv.AppendUint(b, n, 10), '"')
}

// AppendElement appends an element that has only text.
func AppendElement(b []byte, name, text string) []byte {
	b = append(append(append(b, '<'), name...), '>')
	b = append(Escape(b, text), "</"...)
	return append(append(b, name...), '>')
}

// Uint32 reads a decimal number with space around it; "" is 0.
func Uint32(s string) (uint32, bool) {
	if s = strings.Trim(s, space); s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// Bool reads an xs:boolean; "" is false.
func Bool(s string) (value, ok bool) {
	switch strings.ToLower(strings.Trim(s, space)) {
	case "true", "1":
		return true, true
	case "false", "0", "":
		return false, true
	}
	return false, false
}
