package directory

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"trivet/fault"
)

// Limits of ProxyAddresses.
const (
	MaxProxyAddresses = 200
	maxProxyAddress   = 1123 // bytes, as in the product's directory schema
)

// IsGUID reports whether s has the text form of RFC 9562 4, in any case.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'):
			return false
		}
	}
	return true
}

// normalManager is a manager in the stored form: "sip:…" or a GUID, lower case.
func normalManager(s string) string {
	if IsGUID(s) {
		return strings.ToLower(s)
	}
	if a, err := Address(s); err == nil {
		return string(a)
	}
	return s
}

func checkManager(u *User) error {
	if u.Manager == "" || IsGUID(u.Manager) {
		return nil
	}
	if a, err := Address(u.Manager); err != nil || string(a) != u.Manager {
		return invalid("Manager", "the SIP address or the GUID of a user", u.Manager)
	}
	return nil
}

// normalProxies trims, gives a bare address the type smtp, sorts and drops what is
// there twice.
func normalProxies(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if !strings.Contains(s, ":") {
			s = "smtp:" + s
		}
		out = append(out, s)
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 {
		return nil
	}
	return out
}

func checkProxies(u *User) error {
	const property = "ProxyAddresses"
	if len(u.ProxyAddresses) > MaxProxyAddresses {
		return fault.Newf(fault.Invalid, op, "%s may have at most %d addresses; it has %d", property, MaxProxyAddresses, len(u.ProxyAddresses)).About(property)
	}
	for _, s := range u.ProxyAddresses {
		kind, rest, _ := strings.Cut(s, ":")
		if kind == "" || rest == "" || len(s) > maxProxyAddress || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return invalid(property, "addresses like smtp:alice@example.test", s)
		}
	}
	return nil
}

func checkSource(u *User) error {
	if (u.Source == "") != (u.SourceID == "") {
		return fault.New(fault.Invalid, op, "Source and SourceID need to be given together").About("SourceID")
	}
	return nil
}
