package addressbook

import (
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
)

// attribute is a property by which people are found and which answers have, under
// its names in a directory of the product, [MS-ABS] 2.1.4; the first is the one of
// answers.
type attribute struct {
	names string // separated by spaces
	kind  kind
	get   func(u *directory.User) string
}

// kind says how the values of an attribute are compared.
type kind uint8

const (
	plain   kind = iota // from the beginning
	worded              // from the beginning of any word
	address             // from the beginning, without sip:
	mailbox             // from the beginning
	phone               // the digits
)

// attributes are all of them; the number of one is its place.
var attributes = [...]attribute{
	{"displayName", worded, func(u *directory.User) string { return u.DisplayName }},
	{"givenName", worded, func(u *directory.User) string { return u.FirstName }},
	{"sn", worded, func(u *directory.User) string { return u.LastName }},
	{"msRTCSIP-PrimaryUserAddress", address, sipAddress},
	{"mail", mailbox, func(u *directory.User) string { return u.WindowsEmailAddress }},
	{"mailNickname", plain, func(u *directory.User) string { return u.MailNickname }},
	{"company", worded, func(u *directory.User) string { return u.Company }},
	{"department", worded, func(u *directory.User) string { return u.Department }},
	{"title", worded, func(u *directory.User) string { return u.Title }},
	{"physicalDeliveryOfficeName office", worded, func(u *directory.User) string { return u.Office }},
	{"country c co", worded, func(u *directory.User) string { return u.Country }},
	{"city l", worded, func(u *directory.User) string { return u.City }},
	{"state st", worded, func(u *directory.User) string { return u.State }},
	{"telephoneNumber", phone, func(u *directory.User) string { return u.Phone }},
	{"mobile", phone, func(u *directory.User) string { return u.MobilePhone }},
	{"homePhone", phone, func(u *directory.User) string { return u.HomePhone }},
	{"otherTelephone", phone, func(u *directory.User) string { return u.OtherPhone }},
	{"ipPhone", phone, func(u *directory.User) string { return u.IPPhone }},
}

// named has the bits of the attributes in which every word counts.
var named = bitsOf(worded)

// phones has the bits of the phone numbers, addresses those of addresses.
var phones, addresses = bitsOf(phone), bitsOf(address) | bitsOf(mailbox)

func bitsOf(k kind) (set uint64) {
	for i, a := range attributes {
		if a.kind == k {
			set |= 1 << i
		}
	}
	return set
}

// sipAddress is the address of whoever can be reached there.
func sipAddress(u *directory.User) string {
	if !reachable(u) {
		return ""
	}
	return string(u.SipAddress)
}

// attributeNamed returns the number of an attribute by any of its names, in any case.
func attributeNamed(name string) (int, error) {
	for i, a := range attributes {
		for n := range strings.FieldsSeq(a.names) {
			if strings.EqualFold(n, name) {
				return i, nil
			}
		}
	}
	return 0, fault.New(fault.Invalid, "addressbook.attributeNamed",
		"a search is by displayName, givenName, sn, mail, company, c, msRTCSIP-PrimaryUserAddress and the like").About(name)
}

// texts are the attributes of a user as the index compares them.
func texts(u *directory.User) []string {
	out := make([]string, len(attributes))
	for i, a := range attributes {
		out[i] = a.kind.comparable(a.get(u))
	}
	return out
}

// comparable brings a value, or the beginning of one, to the form of the index.
func (k kind) comparable(s string) string {
	switch k {
	case address:
		s = strings.TrimSpace(s)
		if len(s) >= 4 && strings.EqualFold(s[:4], "sip:") {
			return s[4:]
		}
	case phone:
		return digits(s)
	}
	return s
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
}
