package directory

import (
	"slices"
	"strings"
	"unicode/utf8"

	"trivet/fault"
)

const op = "directory.Validate"

func invalid(property, needs, got string) error {
	if len(got) > 80 {
		got = got[:80] + "…"
	}
	return fault.Newf(fault.Invalid, op, "%s needs %s, not %q", property, needs, got).About(property)
}

// Normalize brings u's properties to their stored form: no space around texts,
// sorted roles without doubles, tel: before a bare number of LineURI.
func Normalize(u *User) {
	for _, f := range fields {
		if f.text != nil {
			p := f.text(u)
			*p = strings.TrimSpace(*p)
		}
	}
	if u.LineURI != "" && !strings.Contains(u.LineURI, ":") {
		u.LineURI = "tel:" + u.LineURI
	}
	if len(u.LineURI) > 4 && strings.EqualFold(u.LineURI[:4], "tel:") {
		u.LineURI = "tel:" + u.LineURI[4:]
	}
	slices.Sort(u.AdminRoles)
	u.AdminRoles = slices.Compact(u.AdminRoles)
	u.Manager = normalManager(u.Manager)
	u.ProxyAddresses = normalProxies(u.ProxyAddresses)
	if u.SipAddress == "" {
		u.RoutingGroup = 0
	}
}

// Validate checks every property of a normalized u by itself. Errors are
// fault.Invalid, with the property as subject.
func Validate(u *User) error {
	for _, f := range fields {
		if f.text == nil {
			continue
		}
		if err := checkText(f.Name, f.Max, *f.text(u)); err != nil {
			return err
		}
	}
	for _, check := range []func(*User) error{checkNames, checkAddresses, checkLine, checkRoles, checkManager, checkProxies, checkSource} {
		if err := check(u); err != nil {
			return err
		}
	}
	return nil
}

func checkNames(u *User) error {
	switch {
	case u.DisplayName == "":
		return invalid("DisplayName", "a name", "")
	case u.SamAccountName == "" || strings.ContainsAny(u.SamAccountName, "\"/\\[]:;|=,+*?<>@ "):
		return invalid("SamAccountName", "1 to 20 characters without space and any of \"/\\[]:;|=,+*?<>@", u.SamAccountName)
	}
	return nil
}

func checkAddresses(u *User) error {
	if !isMail(u.UserPrincipalName) {
		return invalid("UserPrincipalName", "a name like alice@example.test", u.UserPrincipalName)
	}
	if u.WindowsEmailAddress != "" && !isMail(u.WindowsEmailAddress) {
		return invalid("WindowsEmailAddress", "an e-mail address like alice@example.test", u.WindowsEmailAddress)
	}
	if u.SipAddress != "" {
		if a, err := Address(string(u.SipAddress)); err != nil || a != u.SipAddress {
			return invalid("SipAddress", "an address like sip:alice@example.test", string(u.SipAddress))
		}
	}
	if u.SipAddress == "" && u.Enabled {
		return fault.New(fault.Invalid, op, "Enabled needs a SipAddress; run Enable-CsUser first").About("Enabled")
	}
	return nil
}

// checkLine checks "tel:+14255550100;ext=100" (RFC 3966, global or local number)
// or "sip:…".
func checkLine(u *User) error {
	const needs = "a number like tel:+14255550100 or tel:+14255550100;ext=100"
	if u.LineURI == "" {
		return nil
	}
	number, ok := strings.CutPrefix(u.LineURI, "tel:")
	if !ok {
		if strings.HasPrefix(u.LineURI, "sip:") && strings.Contains(u.LineURI, "@") {
			return nil
		}
		return invalid("LineURI", needs, u.LineURI)
	}
	number, params, _ := strings.Cut(number, ";")
	digits := strings.TrimPrefix(number, "+")
	if digits == "" || strings.Trim(digits, "0123456789-.()") != "" || !strings.ContainsAny(digits, "0123456789") {
		return invalid("LineURI", needs, u.LineURI)
	}
	for _, p := range strings.FieldsFunc(params, func(r rune) bool { return r == ';' }) {
		if name, value, _ := strings.Cut(p, "="); name == "" || value == "" || strings.ContainsAny(p, " <>\"") {
			return invalid("LineURI", needs, u.LineURI)
		}
	}
	return nil
}

func checkRoles(u *User) error {
	for _, r := range u.AdminRoles {
		if !slices.Contains(roles[:], r) {
			return invalid("AdminRoles", "roles out of "+strings.Join(roles[:], ", "), r)
		}
	}
	return nil
}

// CheckPassword says whether a password may be set: 8 to 127 characters, not a
// name of the user.
func CheckPassword(u *User, password string) error {
	n := utf8.RuneCountInString(password)
	if n < 8 || n > 127 || !utf8.ValidString(password) {
		return fault.New(fault.Invalid, op, "Password needs 8 to 127 characters").About("Password")
	}
	for _, name := range u.Identities() {
		if strings.EqualFold(name, password) {
			return fault.New(fault.Invalid, op, "Password may not be a name of the user").About("Password")
		}
	}
	return nil
}
