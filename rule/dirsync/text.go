package dirsync

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes one line of valid text of a value.
func clean(v []byte) string {
	s := strings.ToValidUTF8(string(v), "\uFFFD")
	if strings.ContainsFunc(s, unicode.IsControl) {
		s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) }), " ")
	}
	return strings.TrimSpace(s)
}

// cut shortens s to at most n bytes without breaking a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimSpace(s[:n])
}

// maxID is the length of a SourceID, as of directory.User.
const maxID = 128

// ID makes text of an identifier: objectGUID in the form of RFC 9562 with the
// byte order of [MS-DTYP] 2.3.4, text as it is, in lower case, anything else in
// hexadecimal. "" for an identifier that is empty or too long.
func ID(attribute string, v []byte) string {
	var s string
	switch {
	case len(v) == 16 && strings.EqualFold(attribute, "objectGUID"):
		s = uuidText([]byte{v[3], v[2], v[1], v[0], v[5], v[4], v[7], v[6], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15]})
	case utf8.Valid(v) && !strings.ContainsFunc(string(v), func(r rune) bool { return !unicode.IsPrint(r) }):
		s = strings.ToLower(strings.TrimSpace(string(v)))
	default:
		s = hex.EncodeToString(v)
	}
	if len(s) > maxID {
		return ""
	}
	return s
}

func uuidText(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
