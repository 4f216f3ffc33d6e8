package dirsync

import (
	"strings"

	"trivet/rule/directory"
	"trivet/uc"
)

// property is one property of a user that a directory can give, as text.
type property struct {
	name string
	get  func(u *directory.User) string
	set  func(u *directory.User, s string)
	// unique is the prefix of the keys that no two users share, "" for others. The
	// names that somebody signs in with are of one prefix: the address of one user
	// must not be the login name of another.
	unique string
}

func text(name, unique string, at func(u *directory.User) *string) property {
	return property{name: name, unique: unique, get: func(u *directory.User) string { return *at(u) }, set: func(u *directory.User, s string) { *at(u) = s }}
}

// sipAddress and manager are found in their own ways; the others by attribute.
var sipAddress = property{
	name: "SipAddress", unique: "name:",
	get: func(u *directory.User) string { return string(u.SipAddress) },
	set: func(u *directory.User, s string) { u.SipAddress = uc.UserURI(s) },
}

var manager = text("Manager", "", func(u *directory.User) *string { return &u.Manager })

var properties = []property{
	text("DisplayName", "", func(u *directory.User) *string { return &u.DisplayName }),
	text("FirstName", "", func(u *directory.User) *string { return &u.FirstName }),
	text("LastName", "", func(u *directory.User) *string { return &u.LastName }),
	text("UserPrincipalName", "name:", func(u *directory.User) *string { return &u.UserPrincipalName }),
	text("SamAccountName", "name:", func(u *directory.User) *string { return &u.SamAccountName }),
	text("WindowsEmailAddress", "", func(u *directory.User) *string { return &u.WindowsEmailAddress }),
	text("Title", "", func(u *directory.User) *string { return &u.Title }),
	text("Company", "", func(u *directory.User) *string { return &u.Company }),
	text("Department", "", func(u *directory.User) *string { return &u.Department }),
	text("Office", "", func(u *directory.User) *string { return &u.Office }),
	text("Phone", "", func(u *directory.User) *string { return &u.Phone }),
	text("MobilePhone", "", func(u *directory.User) *string { return &u.MobilePhone }),
	text("HomePhone", "", func(u *directory.User) *string { return &u.HomePhone }),
	text("OtherPhone", "", func(u *directory.User) *string { return &u.OtherPhone }),
	text("IPPhone", "", func(u *directory.User) *string { return &u.IPPhone }),
	text("LineURI", "line:", func(u *directory.User) *string { return &u.LineURI }),
	text("MailNickname", "", func(u *directory.User) *string { return &u.MailNickname }),
	text("Country", "", func(u *directory.User) *string { return &u.Country }),
	text("City", "", func(u *directory.User) *string { return &u.City }),
	text("State", "", func(u *directory.User) *string { return &u.State }),
	text("Description", "", func(u *directory.User) *string { return &u.Description }),
	{
		name: "ProxyAddresses",
		get:  func(u *directory.User) string { return strings.Join(u.ProxyAddresses, "\n") },
		set: func(u *directory.User, s string) {
			if u.ProxyAddresses = nil; s != "" {
				u.ProxyAddresses = strings.Split(s, "\n")
			}
		},
	},
	{
		name: "HideFromAddressLists",
		get: func(u *directory.User) string {
			if u.HideFromAddressLists {
				return "True"
			}
			return ""
		},
		set: func(u *directory.User, s string) { u.HideFromAddressLists = s == "True" },
	},
}

// settable is every property that a Change can name.
var settable = func() map[string]property {
	m := map[string]property{sipAddress.name: sipAddress, manager.name: manager}
	for _, p := range properties {
		m[p.name] = p
	}
	return m
}()

// Change is one property of a user that becomes another.
type Change struct {
	Property string
	Old, New string
}

// Apply gives u the properties of the changes.
func Apply(u *directory.User, changes []Change) {
	for _, c := range changes {
		settable[c.Property].set(u, c.New)
	}
}
