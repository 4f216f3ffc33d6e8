// Package uc has the nouns every floor shares: the names of users, endpoints,
// servers, pools and routing groups, each a type of its own so that the compiler
// tells them apart.
package uc

import (
	"strings"

	"trivet/fault"
)

// UserURI is a person's address of record in canonical form: "sip:" and a lower
// case user@domain without port, parameters or headers. Make one with ParseUserURI.
type UserURI string

// Limits of a UserURI, RFC 3261 leaves them open; the directory schema of the
// product ends at 454 characters.
const maxURI = 454

// ParseUserURI reads an address of record: "alice@example.test",
// "sip:alice@example.test", "sips:…", with or without parameters, which are
// dropped. The host part is not resolved.
func ParseUserURI(s string) (UserURI, error) {
	const op = "uc.ParseUserURI"
	if canonical(s) {
		return UserURI(s), nil
	}
	t := strings.TrimSpace(s)
	if len(t) > 5 && strings.EqualFold(t[:5], "sips:") {
		t = t[5:]
	} else if len(t) > 4 && strings.EqualFold(t[:4], "sip:") {
		t = t[4:]
	}
	at := strings.LastIndexByte(t, '@')
	if at <= 0 {
		return "", fault.New(fault.Invalid, op, "an address needs the form user@domain").About(clip(s))
	}
	user, host := t[:at], t[at+1:]
	if i := strings.IndexAny(user, ";:"); i >= 0 { // user parameters, password
		user = user[:i]
	}
	if i := strings.IndexAny(host, ":;?>"); i >= 0 {
		host = host[:i]
	}
	if user == "" || host == "" || len(user)+len(host)+5 > maxURI {
		return "", fault.New(fault.Invalid, op, "an address needs a user and a domain, together below 450 characters").About(clip(s))
	}
	for i := 0; i < len(user); i++ {
		if c := user[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`<>"@,`, c) >= 0 {
			return "", fault.New(fault.Invalid, op, "the user part has a character that an address may not have").About(clip(s))
		}
	}
	for i := 0; i < len(host); i++ {
		if c := host[i]; !(c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z') {
			return "", fault.New(fault.Invalid, op, "the domain has a character that a host name may not have").About(clip(s))
		}
	}
	return UserURI("sip:" + strings.ToLower(user) + "@" + strings.ToLower(host)), nil
}

// canonical reports whether s is a UserURI as it stands. Most addresses on the wire
// are, and need no copy.
func canonical(s string) bool {
	if len(s) < 7 || len(s) > maxURI || s[:4] != "sip:" {
		return false
	}
	at := 0
	for i := 4; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		case c == '@' && at == 0 && i > 4:
			at = i
		case at == 0 && (c == '+' || c == '=' || c == '~' || c == '!' || c == '%'):
		default:
			return false
		}
	}
	return at > 0 && at < len(s)-1
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// Bare returns the address without its scheme: "alice@example.test".
func (u UserURI) Bare() string { return strings.TrimPrefix(string(u), "sip:") }

// User returns the part before the @.
func (u UserURI) User() string { s, _, _ := strings.Cut(u.Bare(), "@"); return s }

// Domain returns the part after the @.
func (u UserURI) Domain() string { _, d, _ := strings.Cut(u.Bare(), "@"); return d }

// EndpointID names one device of one user for as long as it is registered: the
// epid of a Lync client, the +sip.instance of a SIP client, else its contact.
type EndpointID string

// GroupID numbers a routing group within its pool, from 1.
type GroupID uint32

// ServerFQDN is a computer of the topology, PoolFQDN a pool.
type (
	ServerFQDN string
	PoolFQDN   string
)
