package directory

import (
	"slices"
	"strconv"
	"strings"

	"trivet/uc"
)

// Field is one property of a User as text. Switches are "True" or "False".
type Field struct {
	Name string // the product's spelling
	Max  int    // most bytes of a text property, 0 for the others
	Get  func(u *User) string
	text func(u *User) *string // where a plain text property lies, nil for the others
	flag func(u *User) *bool   // where a switch lies, nil for the others
}

func text(name string, max int, at func(u *User) *string) Field {
	return Field{Name: name, Max: max, Get: func(u *User) string { return *at(u) }, text: at}
}

func flag(name string, at func(u *User) *bool) Field {
	return Field{Name: name, flag: at, Get: func(u *User) string {
		if *at(u) {
			return "True"
		}
		return "False"
	}}
}

// fields is every property an administrator can filter by. Lengths are those of
// the product's directory schema.
var fields = []Field{
	{Name: "Guid", Get: func(u *User) string { return u.GUID }},
	{Name: "SipAddress", Get: func(u *User) string { return string(u.SipAddress) }},
	text("UserPrincipalName", 1024, func(u *User) *string { return &u.UserPrincipalName }),
	text("SamAccountName", 20, func(u *User) *string { return &u.SamAccountName }),
	text("DisplayName", 256, func(u *User) *string { return &u.DisplayName }),
	text("FirstName", 64, func(u *User) *string { return &u.FirstName }),
	text("LastName", 64, func(u *User) *string { return &u.LastName }),
	text("WindowsEmailAddress", 256, func(u *User) *string { return &u.WindowsEmailAddress }),
	text("Title", 128, func(u *User) *string { return &u.Title }),
	text("Company", 64, func(u *User) *string { return &u.Company }),
	text("Department", 64, func(u *User) *string { return &u.Department }),
	text("Office", 128, func(u *User) *string { return &u.Office }),
	text("Phone", 64, func(u *User) *string { return &u.Phone }),
	text("MobilePhone", 64, func(u *User) *string { return &u.MobilePhone }),
	text("HomePhone", 64, func(u *User) *string { return &u.HomePhone }),
	text("OtherPhone", 64, func(u *User) *string { return &u.OtherPhone }),
	text("IPPhone", 64, func(u *User) *string { return &u.IPPhone }),
	text("LineURI", 128, func(u *User) *string { return &u.LineURI }),
	flag("Enabled", func(u *User) *bool { return &u.Enabled }),
	flag("EnabledForRichPresence", func(u *User) *bool { return &u.EnabledForRichPresence }),
	flag("EnabledForFederation", func(u *User) *bool { return &u.EnabledForFederation }),
	flag("EnabledForInternetAccess", func(u *User) *bool { return &u.EnabledForInternet }),
	flag("EnterpriseVoiceEnabled", func(u *User) *bool { return &u.EnterpriseVoiceEnabled }),
	flag("AudioVideoDisabled", func(u *User) *bool { return &u.AudioVideoDisabled }),
	{Name: "RegistrarPool", Get: func(u *User) string { return string(u.RegistrarPool) }},
	text("HomeServer", 256, func(u *User) *string { return &u.HomeServer }),
	{Name: "RoutingGroupId", Get: func(u *User) string { return strconv.FormatUint(uint64(u.RoutingGroup), 10) }},
	{Name: "AdminRoles", Get: func(u *User) string { return strings.Join(u.AdminRoles, ",") }},
	text("MailNickname", 64, func(u *User) *string { return &u.MailNickname }),
	text("Country", 128, func(u *User) *string { return &u.Country }),
	text("City", 128, func(u *User) *string { return &u.City }),
	text("State", 128, func(u *User) *string { return &u.State }),
	text("Description", 1024, func(u *User) *string { return &u.Description }),
	text("Manager", 456, func(u *User) *string { return &u.Manager }),
	{Name: "ProxyAddresses", Get: func(u *User) string { return strings.Join(u.ProxyAddresses, ",") }},
	flag("HideFromAddressLists", func(u *User) *bool { return &u.HideFromAddressLists }),
	text("ClientPolicy", 256, func(u *User) *string { return &u.ClientPolicy }),
	text("PresencePolicy", 256, func(u *User) *string { return &u.PresencePolicy }),
	text("ConferencingPolicy", 256, func(u *User) *string { return &u.ConferencingPolicy }),
	text("Source", 64, func(u *User) *string { return &u.Source }),
	text("SourceID", 128, func(u *User) *string { return &u.SourceID }),
}

// Fields returns the properties of a user, in the order in which they are shown.
func Fields() []Field { return slices.Clone(fields) }

// FieldNamed returns the property called name, in any case. LineUri and Identity
// are the product's other spellings of LineURI and DisplayName.
func FieldNamed(name string) (Field, bool) {
	if strings.EqualFold(name, "Identity") || strings.EqualFold(name, "Name") {
		name = "DisplayName"
	}
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return Field{}, false
}

// Identities returns the names by which u can be asked for, the most specific
// first: GUID, SIP address, UPN, account name, display name.
func (u *User) Identities() []string {
	list := []string{u.GUID}
	for _, s := range []string{string(u.SipAddress), u.UserPrincipalName, u.SamAccountName, u.DisplayName} {
		if s != "" {
			list = append(list, s)
		}
	}
	return list
}

// Address reads a SIP address as an administrator writes it, with or without
// "sip:". It differs from uc.ParseUserURI in refusing what that would drop.
func Address(s string) (uc.UserURI, error) {
	a, err := uc.ParseUserURI(s)
	if err != nil {
		return "", invalid("SipAddress", "an address like sip:alice@example.test", s)
	}
	if bare := strings.ToLower(strings.TrimSpace(s)); bare != string(a) && bare != a.Bare() {
		return "", invalid("SipAddress", "an address without port and parameters, like sip:alice@example.test", s)
	}
	return a, nil
}
