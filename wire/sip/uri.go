package sip

import (
	"strconv"
	"strings"
)

// URI is a SIP, SIPS or TEL URI, RFC 3261 19.1. Other schemes keep everything
// behind the colon in Host. User, Password and Host are as sent (escapes kept).
type URI struct {
	Scheme         string // lower case
	User, Password string
	Host           string // IPv6 references keep their brackets
	Port           int    // 0 if absent
	Params         Params
	Headers        string // text behind '?'
}

// IsSIP reports whether the scheme is sip or sips.
func (u URI) IsSIP() bool { return u.Scheme == "sip" || u.Scheme == "sips" }

// ParseURI reads a URI.
func ParseURI(s string) (URI, error) {
	const op = "ParseURI"
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !isToken(scheme) || rest == "" {
		return URI{}, bad(op, "a URI needs a scheme and a colon")
	}
	u := URI{Scheme: strings.ToLower(scheme)}
	if strings.IndexAny(rest, " \t<>\"\r\n") >= 0 {
		return u, bad(op, "a URI has a character that must be escaped")
	}
	if !u.IsSIP() {
		u.Host = rest
		return u, nil
	}
	if at := userEnd(rest); at >= 0 {
		u.User, u.Password, _ = strings.Cut(rest[:at], ":")
		if u.User == "" {
			return u, bad(op, "the URI has an empty user part")
		}
		rest = rest[at+1:]
	}
	rest, u.Headers, _ = strings.Cut(rest, "?")
	host := rest
	if i := strings.IndexByte(rest, ';'); i >= 0 {
		host = rest[:i]
		var err error
		if u.Params, err = parseParams(rest[i:]); err != nil {
			return u, err
		}
	}
	return u, u.parseHost(host)
}

// userEnd finds the @ that ends the user part; parameters and headers may have
// one of their own only escaped, so the last before '?' counts.
func userEnd(s string) int {
	if q := strings.IndexByte(s, '?'); q >= 0 && strings.IndexByte(s[:q], '@') >= 0 {
		s = s[:q]
	}
	return strings.LastIndexByte(s, '@')
}

func (u *URI) parseHost(s string) error {
	const op = "ParseURI"
	host, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") { // RFC 5118 4.1: an IPv6 reference stands in brackets
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return bad(op, "an IPv6 address needs a closing bracket")
		}
		host, port = s[:end+1], s[end+1:]
		if port != "" {
			if port[0] != ':' {
				return bad(op, "text behind an IPv6 address")
			}
			port, hasPort = port[1:], true
		}
		if !isIPv6(host[1 : len(host)-1]) {
			return bad(op, "the IPv6 address is malformed")
		}
	} else {
		host, port, hasPort = strings.Cut(s, ":")
		if !isHostName(host) {
			return bad(op, "the host name is malformed")
		}
	}
	u.Host = host
	if hasPort {
		n, ok := number(port, 65535)
		if !ok {
			return bad(op, "the port must be a number from 0 to 65535")
		}
		u.Port = n
	}
	return nil
}

func isHostName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') {
			return false
		}
	}
	return s != ""
}

func isIPv6(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c == ':' || c == '.' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return false
		}
	}
	return strings.Count(s, ":") >= 2
}

// Append writes the URI.
func (u URI) Append(b []byte) []byte {
	b = append(append(b, u.Scheme...), ':')
	if u.User != "" {
		b = append(b, u.User...)
		if u.Password != "" {
			b = append(append(b, ':'), u.Password...)
		}
		b = append(b, '@')
	}
	b = append(b, u.Host...)
	if u.Port != 0 {
		b = strconv.AppendInt(append(b, ':'), int64(u.Port), 10)
	}
	b = u.Params.append(b)
	if u.Headers != "" {
		b = append(append(b, '?'), u.Headers...)
	}
	return b
}

func (u URI) String() string { return string(u.Append(nil)) }

func (p Params) append(b []byte) []byte {
	for _, q := range p {
		b = append(append(b, ';'), q.Name...)
		if q.HasValue {
			b = append(append(b, '='), q.Value...)
		}
	}
	return b
}
