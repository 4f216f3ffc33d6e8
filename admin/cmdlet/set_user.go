package cmdlet

import (
	"context"
	"slices"

	"trivet/rule/directory"
)

// SetUser changes properties of a user; those not given stay.
type SetUser struct {
	Identity    string  `param:"required,pos=1" help:"The user"`
	Enabled     *bool   `help:"Whether the user may sign in; $false ends its sessions and keeps its data"`
	SipAddress  *string `help:"New address"`
	DisplayName *string `help:"Name shown to others"`
	Personal
	UserPrincipalName      *string   `help:"Sign-in name"`
	SamAccountName         *string   `help:"Short account name"`
	ProxyAddresses         *[]string `help:"Further addresses, like smtp:al@example.test; they replace those there are"`
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
	if !c.ShouldChange("Set-CsUser", label(u), differences(rowOf(u), rowOf(trial))) {
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
	p.Personal.apply(u)
	set([]text{{p.DisplayName, &u.DisplayName}, {p.UserPrincipalName, &u.UserPrincipalName}, {p.SamAccountName, &u.SamAccountName}})
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
