package cmdlet

import (
	"context"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
)

// userRow is a user as Get-CsUser shows it.
type userRow struct {
	Identity                 string
	SipAddress               uc.UserURI
	UserPrincipalName        string
	SamAccountName           string
	DisplayName              string
	FirstName                string
	LastName                 string
	WindowsEmailAddress      string
	Title                    string
	Company                  string
	Department               string
	Office                   string
	Phone                    string
	MobilePhone              string
	HomePhone                string
	OtherPhone               string
	IPPhone                  string
	LineURI                  string
	MailNickname             string
	ProxyAddresses           []string
	Country                  string
	City                     string
	State                    string
	Description              string
	Manager                  string
	HideFromAddressLists     bool
	Enabled                  bool
	EnabledForRichPresence   bool
	EnabledForFederation     bool
	EnabledForInternetAccess bool
	EnterpriseVoiceEnabled   bool
	AudioVideoDisabled       bool
	RegistrarPool            uc.PoolFQDN
	HomeServer               string
	RoutingGroupId           uc.GroupID
	ClientPolicy             string
	PresencePolicy           string
	ConferencingPolicy       string
	AdminRoles               []string
	Source                   string
	SourceID                 string
	Guid                     string
	WhenCreated              time.Time
	WhenChanged              time.Time
	Password                 string `json:",omitempty"` // only when it was generated, once
}

// userTable is what a table of users shows.
var userTable = []string{"DisplayName", "SipAddress", "Enabled", "RegistrarPool"}

func rowOf(u directory.User) userRow {
	return userRow{
		Identity: u.UserPrincipalName, SipAddress: u.SipAddress, UserPrincipalName: u.UserPrincipalName, SamAccountName: u.SamAccountName,
		DisplayName: u.DisplayName, FirstName: u.FirstName, LastName: u.LastName, WindowsEmailAddress: u.WindowsEmailAddress,
		Title: u.Title, Company: u.Company, Department: u.Department, Office: u.Office,
		Phone: u.Phone, MobilePhone: u.MobilePhone, HomePhone: u.HomePhone, OtherPhone: u.OtherPhone, IPPhone: u.IPPhone, LineURI: u.LineURI,
		MailNickname: u.MailNickname, ProxyAddresses: filled(u.ProxyAddresses), Country: u.Country, City: u.City, State: u.State,
		Description: u.Description, Manager: u.Manager, HideFromAddressLists: u.HideFromAddressLists,
		Enabled: u.Enabled, EnabledForRichPresence: u.EnabledForRichPresence, EnabledForFederation: u.EnabledForFederation,
		EnabledForInternetAccess: u.EnabledForInternet, EnterpriseVoiceEnabled: u.EnterpriseVoiceEnabled, AudioVideoDisabled: u.AudioVideoDisabled,
		RegistrarPool: u.RegistrarPool, HomeServer: u.HomeServer, RoutingGroupId: u.RoutingGroup,
		ClientPolicy: u.ClientPolicy, PresencePolicy: u.PresencePolicy, ConferencingPolicy: u.ConferencingPolicy,
		AdminRoles: filled(u.AdminRoles), Source: u.Source, SourceID: u.SourceID,
		Guid: u.GUID, WhenCreated: u.WhenCreated, WhenChanged: u.WhenChanged,
	}
}

// filled is list, never null in JSON.
func filled(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// label is the name of a user in plans and in the audit.
func label(u directory.User) string {
	if u.SipAddress != "" {
		return string(u.SipAddress)
	}
	return u.UserPrincipalName
}

const administrator = "CsAdministrator"

func (c Caller) isAdministrator() bool {
	return c.Owner || slices.Contains(c.Roles, administrator)
}

// subject finds the user a changing cmdlet is about. The account of an
// administrator may be changed by the owner and by CsAdministrator only:
// otherwise any role that may change users could take theirs over.
func (c *Call) subject(ctx context.Context, identity string) (directory.User, error) {
	u, err := c.Deployment.Users().Find(ctx, identity)
	if err != nil {
		return u, err
	}
	if len(u.AdminRoles) > 0 && !c.Caller.isAdministrator() {
		return u, fault.New(fault.Forbidden, "cmdlet.subject", "-Identity names an administrator's account, which only CsAdministrator may change").About("Identity")
	}
	return u, nil
}

// sipAddress reads a -SipAddress, whose domain has to be the deployment's.
func (c *Call) sipAddress(text string) (uc.UserURI, error) {
	a, err := directory.Address(text)
	if err != nil {
		return "", wrong("SipAddress", "needs an address like sip:alice@example.test, not %q", clip(text))
	}
	domains := c.Deployment.Pool().Domains()
	if !slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, a.Domain()) }) {
		return "", wrong("SipAddress", "needs a SIP domain of this deployment (%s), not %q", strings.Join(domains, ", "), a.Domain())
	}
	return a, nil
}

// pool reads a -RegistrarPool; empty is the pool of this server.
func (c *Call) pool(text string) (uc.PoolFQDN, error) {
	own := c.Deployment.Pool().FQDN()
	if text == "" || strings.EqualFold(text, string(own)) {
		return own, nil
	}
	return "", wrong("RegistrarPool", "needs a pool of this deployment (%s), not %q", own, clip(text))
}

// home gives u an address on a pool and lets it sign in.
func (c *Call) home(u *directory.User, a uc.UserURI, pool uc.PoolFQDN) {
	u.SipAddress, u.RegistrarPool, u.HomeServer = a, pool, c.Deployment.Pool().HomeServer()
	u.Enabled, u.EnabledForRichPresence, u.EnabledForInternet, u.EnabledForFederation = true, true, true, true
}

// manager reads a -Manager: somebody of the directory, or nobody. What is stored
// is the SIP address, or the GUID of one who has none.
func (c *Call) manager(ctx context.Context, given *string) (*string, error) {
	if given == nil || *given == "" {
		return given, nil
	}
	m, err := c.Deployment.Users().Find(ctx, *given)
	if fault.Is(err, fault.NotFound) {
		return nil, wrong("Manager", "needs a user of the directory, not %q", clip(*given))
	}
	who := or(string(m.SipAddress), m.GUID)
	return &who, err
}

var (
	userManagers = []string{"CsUserAdministrator"}
	viewers      = []string{"CsUserAdministrator", "CsViewOnlyAdministrator", "CsHelpDesk"}
)
