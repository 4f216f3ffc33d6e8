package sipauth

import (
	"encoding/base64"
	"strconv"
	"strings"

	"trivet/fault"
)

// param numbers the parameters of Authorization this package reads.
type param int

const (
	pRealm param = iota
	pTarget
	pOpaque
	pData
	pRand
	pNum
	pResponse
	pVersion
	pQop
	pUser
	pURI
	pNonce
	pNC
	pCNonce
	pAlgorithm
	params
)

var paramNames = [params]string{
	"realm", "targetname", "opaque", "gssapi-data", "crand", "cnum", "response", "version", "qop",
	"username", "uri", "nonce", "nc", "cnonce", "algorithm",
}

// Credentials are one parsed Authorization value. Values are the text between
// the quotes, escapes kept: that is what signatures and hashes cover.
type credentials struct {
	scheme scheme
	value  [params]string
	has    [params]bool
}

// scheme is an authentication scheme.
type scheme int

const (
	unknown scheme = iota
	ntlmScheme
	kerberosScheme
	tlsdskScheme
	digestScheme
)

var schemeNames = [...]string{ntlmScheme: "NTLM", kerberosScheme: "Kerberos", tlsdskScheme: "TLS-DSK", digestScheme: "Digest"}

func (s scheme) String() string { return schemeNames[s] }

// parseCredentials reads an Authorization value. ok is false for a scheme we do
// not know; such a value is not for us.
func parseCredentials(v string) (c credentials, ok bool, err error) {
	const op = "sipauth.parseCredentials"
	if len(v) > maxHeader {
		return c, false, fault.New(fault.Invalid, op, "the Authorization header is too long")
	}
	name, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
	for s := ntlmScheme; s <= digestScheme; s++ {
		if strings.EqualFold(name, schemeNames[s]) {
			c.scheme = s
		}
	}
	if c.scheme == unknown {
		return c, false, nil
	}
	for rest = trimList(rest); rest != ""; rest = trimList(rest) {
		var key, val string
		var good bool
		if key, val, rest, good = nextParam(rest); !good {
			return c, false, fault.New(fault.Invalid, op, "the Authorization header must be a list of name=value or name=\"value\"")
		}
		for p, n := range paramNames {
			if !strings.EqualFold(key, n) {
				continue
			}
			if c.has[p] {
				return c, false, fault.Newf(fault.Invalid, op, "the Authorization header has %s twice", n)
			}
			c.value[p], c.has[p] = val, true
		}
	}
	return c, true, nil
}

func trimList(s string) string { return strings.TrimLeft(s, " \t,") }

// nextParam cuts name=token or name="quoted" off s.
func nextParam(s string) (key, val, rest string, ok bool) {
	key, s, ok = strings.Cut(s, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" || strings.ContainsAny(key, "\", ") {
		return "", "", "", false
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, ',')
		if end < 0 {
			end = len(s)
		}
		return key, strings.TrimSpace(s[:end]), s[end:], true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return key, s[1:i], s[i+1:], true
		}
	}
	return "", "", "", false
}

// number reads a decimal parameter.
func (c *credentials) number(p param) (uint32, bool) {
	n, err := strconv.ParseUint(c.value[p], 10, 32)
	return uint32(n), err == nil
}

// token decodes gssapi-data, at most limit bytes.
func (c *credentials) token(limit int) ([]byte, error) {
	const op = "sipauth.token"
	v := c.value[pData]
	if base64.StdEncoding.DecodedLen(len(v)) > limit+2 {
		return nil, fault.Newf(fault.Invalid, op, "gssapi-data is longer than %d bytes", limit)
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "gssapi-data is not base64")
	}
	return b, nil
}

// unescape removes the backslashes of a quoted string.
func unescape(s string) string {
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
