// Package directory has the directory's idea of a person: the User, the rules
// its properties obey, the filter expressions administrators write, and the
// patterns they name people by. It is pure: values in, values out, safe for
// concurrent use. The property names are the product's own and are stable: they
// are what filters, cmdlet output and scripts use.
package directory

import (
	"time"

	"trivet/uc"
)

// User is one account of the directory. Strings are empty where nothing is
// known. A user with a SipAddress is homed on a pool; without one it is an
// account that cannot use the deployment.
type User struct {
	GUID              string // RFC 9562 text form, lower case; given at creation, never changed
	SipAddress        uc.UserURI
	UserPrincipalName string // user@domain, unique, any case
	SamAccountName    string // 1 to 20 characters, unique, any case

	DisplayName         string
	FirstName           string
	LastName            string
	WindowsEmailAddress string
	Title               string
	Company             string
	Department          string
	Office              string
	Phone               string // work
	MobilePhone         string
	HomePhone           string
	OtherPhone          string
	IPPhone             string
	LineURI             string // "tel:+14255550100;ext=100", unique
	MailNickname        string // the alias, mostly the part of the mail address before the @
	Country             string
	City                string
	State               string
	Description         string
	// Manager is the SIP address of the manager, the GUID of one without an
	// address. The store follows changes of either.
	Manager string
	// ProxyAddresses are further addresses as "type:address", like
	// "smtp:al@example.test", sorted.
	ProxyAddresses []string
	PhotoHash      string // of the stored photo, "" = none; set by the store alone
	// HideFromAddressLists keeps the user out of searches and address books.
	HideFromAddressLists bool

	Enabled                bool // may sign in
	EnabledForRichPresence bool
	EnabledForFederation   bool
	EnabledForInternet     bool // from outside, over an Edge
	EnterpriseVoiceEnabled bool
	AudioVideoDisabled     bool

	RegistrarPool uc.PoolFQDN
	HomeServer    string     // the product's name of the home service, derived from the pool by the store's user
	RoutingGroup  uc.GroupID // 0 without a SipAddress

	AdminRoles []string // sorted; see Roles

	// Tags of the policies granted to the user, "" = the global one.
	ClientPolicy       string
	PresencePolicy     string
	ConferencingPolicy string

	// Source names the directory source that owns the user, "" = made here.
	// SourceID is its stable id there, like an objectGUID.
	Source   string
	SourceID string

	WhenCreated time.Time
	WhenChanged time.Time
}

// roles are the administrative roles an account can have, after the product's
// predefined ones.
var roles = [...]string{"CsAdministrator", "CsHelpDesk", "CsUserAdministrator", "CsViewOnlyAdministrator"}
