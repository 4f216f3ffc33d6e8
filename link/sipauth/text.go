package sipauth

import (
	"strconv"
	"strings"

	"trivet/wire/sip"
)

// Seal names the values of a signature that do not come from the message:
// [MS-SIPAE] 3.1.4.2. Rand and Num are crand and cnum of a client, or srand and
// snum of a server.
type Seal struct {
	Scheme  string // "NTLM", "Kerberos", "TLS-DSK"
	Rand    string // 8 hex digits
	Num     string // decimal
	Realm   string
	Target  string
	Version int // below 3 the text has neither To URI nor asserted identities
}

// AppendText writes the text that is signed for m as it stands.
func AppendText(b []byte, s Seal, m *sip.Message) []byte {
	num, method := cseq(m.Get("CSeq"))
	if m.IsRequest() {
		method = m.Method
	}
	from, to := m.Get("From"), m.Get("To")
	for _, f := range [...]string{s.Scheme, s.Rand, s.Num, s.Realm, s.Target, m.CallID(), num, method, between(from), tagOf(from)} {
		b = appendField(b, f)
	}
	if s.Version >= 3 {
		b = appendField(b, between(to))
	}
	b = appendField(b, tagOf(to))
	if s.Version >= 3 {
		sip, tel := asserted(m)
		b = appendField(appendField(b, sip), tel)
	}
	b = appendField(b, m.Get("Expires"))
	if !m.IsRequest() {
		b = append(strconv.AppendInt(append(b, '<'), int64(m.Status), 10), '>')
	}
	return b
}

func appendField(b []byte, s string) []byte {
	return append(append(append(b, '<'), s...), '>')
}

func cseq(v string) (num, method string) {
	num, method, _ = strings.Cut(strings.TrimSpace(v), " ")
	return num, strings.TrimSpace(method)
}

// open returns where the "<" outside quotes stands, -1 if nowhere.
func open(v string) int {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch {
		case quoted && v[i] == '\\':
			i++
		case v[i] == '"':
			quoted = !quoted
		case v[i] == '<' && !quoted:
			return i
		}
	}
	return -1
}

// between returns the text between the angle brackets of an address header,
// unchanged; without brackets what stands before the parameters.
func between(v string) string {
	i := open(v)
	if i < 0 {
		uri, _, _ := strings.Cut(v, ";")
		return strings.TrimSpace(uri)
	}
	uri, _, _ := strings.Cut(v[i+1:], ">")
	return uri
}

// headerParam returns a parameter of an address header, "" if absent.
func headerParam(v, name string) string {
	if i := open(v); i >= 0 {
		_, v, _ = strings.Cut(v[i:], ">")
	} else {
		_, v, _ = strings.Cut(v, ";")
	}
	for v != "" {
		var p string
		p, v, _ = strings.Cut(v, ";")
		if n, val, ok := strings.Cut(p, "="); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(val)
		}
	}
	return ""
}

func tagOf(v string) string { return headerParam(v, "tag") }

// asserted returns the first sip: and the first tel: URI of
// P-Asserted-Identity, or else of P-Preferred-Identity.
func asserted(m *sip.Message) (sipURI, telURI string) {
	for _, name := range [...]string{"P-Asserted-Identity", "P-Preferred-Identity"} {
		found := false
		for line := range m.All(name) {
			found = true
			for one := range sip.Split(line) {
				switch uri := between(one); {
				case sipURI == "" && hasScheme(uri, "sip:"):
					sipURI = uri
				case telURI == "" && hasScheme(uri, "tel:"):
					telURI = uri
				}
			}
		}
		if found {
			break
		}
	}
	return sipURI, telURI
}

func hasScheme(uri, scheme string) bool {
	return len(uri) > len(scheme) && strings.EqualFold(uri[:len(scheme)], scheme)
}
