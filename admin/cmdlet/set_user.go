package cmdlet

import (
	"context"
	"slices"

	"trivet/rule/directory"
)

// SetUser changes properties of a user; those not given stay.
type SetUser struct {
	Identity               string    `param:"required,pos=1" help:"The user"`
	Enabled                *bool     `help:"Whether the user may sign in; $false ends its sessions and keeps its data"`
	SipAddress             *string   `help:"New address"`
	DisplayName            *string   `help:"Name shown to others"`
	FirstName              *string   `help:"First name"`
	LastName               *string   `help:"Last name"`
	UserPrincipalName      *string   `help:"Sign-in name"`
	SamAccountName         *string   `help:"Short account name"`
	WindowsEmailAddress    *string   `help:"E-mail address"`
	Title                  *string   `help:"Title"`
	Company                *string   `help:"Company"`
	Department             *string   `help:"Department"`
	Office                 *string   `help:"Office"`
	Phone                  *string   `help:"Work phone"`
	MobilePhone            *string   `help:"Mobile phone"`
	HomePhone              *string   `help:"Home phone"`
	OtherPhone             *string   `help:"Other phone"`
	IPPhone                *string   `help:"IP phone"`
	LineURI                *string   `help:"Phone line, tel:+14255550100;ext=100; $null removes it"`
	MailNickname           *string   `help:"Alias by which the user is found"`
	ProxyAddresses         *[]string `help:"Further addresses, like smtp:al@example.test; they replace those there are"`
	Country                *string   `help:"Country"`
	City                   *string   `help:"City"`
	State                  *string   `help:"State or province"`
	Description            *string   `help:"Description"`
	Manager                *string   `help:"The manager, a user of the directory"`
	HideFromAddressLists   *bool     `help:"Whether the user is kept out of searches and address books"`
	EnterpriseVoiceEnabled *bool     `help:"Whether the user makes calls by Enterprise Voice"`
	AudioVideoDisabled     *bool     `help:"Whether audio and video are off"`
	EnabledForFederation   *bool     `help:"Whether the user talks to partners"`
	PassThru               bool      `help:"Show the user afterwards"`
}

var setUser = Cmdlet{
	Name: "Set-CsUser", Synopsis: "Changes properties of a user.",
	Example: `Set-CsUser alice@example.test -Title "Head of Sales" -LineURI tel:+14255550100`,
	Changes: true, Roles: userManagers, Table: userTable, New: func() Runner { return &SetUser{} },
}

// Run implements Runner.
func (p *SetUser) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil {
		return err
	}
	if p.Manager, err = c.manager(ctx, p.Manager); err != nil {
		return err
	}
	trial := u
	if err := p.edit(c, &trial); err != nil {
		return err
	}
	directory.Normalize(&trial)
	if err := directory.Validate(&trial); err != nil {
		return err
	}
	if !c.ShouldProcess("Set-CsUser", label(u)) {
		return nil
	}
	if u, err = c.Deployment.Users().Update(ctx, u.GUID, func(u *directory.User) error { return p.edit(c, u) }); err != nil {
		return err
	}
	if u.Source != "" {
		c.Warn("%s comes from the directory source %s, which sets the properties that it knows again.", label(u), u.Source)
	}
	if p.PassThru {
		c.Write(rowOf(u))
	}
	return nil
}

func (p *SetUser) edit(c *Call, u *directory.User) error {
	applyDetails(u, []detail{
		{p.DisplayName, func(u *directory.User) *string { return &u.DisplayName }},
		{p.FirstName, func(u *directory.User) *string { return &u.FirstName }}, {p.LastName, func(u *directory.User) *string { return &u.LastName }},
		{p.UserPrincipalName, func(u *directory.User) *string { return &u.UserPrincipalName }},
		{p.SamAccountName, func(u *directory.User) *string { return &u.SamAccountName }},
		{p.WindowsEmailAddress, func(u *directory.User) *string { return &u.WindowsEmailAddress }},
		{p.Title, func(u *directory.User) *string { return &u.Title }}, {p.Company, func(u *directory.User) *string { return &u.Company }},
		{p.Department, func(u *directory.User) *string { return &u.Department }}, {p.Office, func(u *directory.User) *string { return &u.Office }},
		{p.Phone, func(u *directory.User) *string { return &u.Phone }}, {p.MobilePhone, func(u *directory.User) *string { return &u.MobilePhone }},
		{p.HomePhone, func(u *directory.User) *string { return &u.HomePhone }}, {p.OtherPhone, func(u *directory.User) *string { return &u.OtherPhone }},
		{p.LineURI, func(u *directory.User) *string { return &u.LineURI }},
		{p.IPPhone, func(u *directory.User) *string { return &u.IPPhone }}, {p.MailNickname, func(u *directory.User) *string { return &u.MailNickname }},
		{p.Country, func(u *directory.User) *string { return &u.Country }}, {p.City, func(u *directory.User) *string { return &u.City }},
		{p.State, func(u *directory.User) *string { return &u.State }}, {p.Description, func(u *directory.User) *string { return &u.Description }},
		{p.Manager, func(u *directory.User) *string { return &u.Manager }},
	})
	for _, s := range []struct{ given, at *bool }{
		{p.Enabled, &u.Enabled}, {p.EnterpriseVoiceEnabled, &u.EnterpriseVoiceEnabled},
		{p.AudioVideoDisabled, &u.AudioVideoDisabled}, {p.EnabledForFederation, &u.EnabledForFederation}, {p.HideFromAddressLists, &u.HideFromAddressLists},
	} {
		if s.given != nil {
			*s.at = *s.given
		}
	}
	if p.ProxyAddresses != nil {
		u.ProxyAddresses = slices.Clone(*p.ProxyAddresses)
	}
	if p.SipAddress == nil {
		return nil
	}
	if u.SipAddress == "" {
		return wrong("SipAddress", "cannot be changed while the user is not enabled; run Enable-CsUser")
	}
	a, err := c.sipAddress(*p.SipAddress)
	if err == nil {
		u.SipAddress = a
	}
	return err
}
