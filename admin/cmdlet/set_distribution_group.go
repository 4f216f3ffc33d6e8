package cmdlet

import (
	"context"

	"trivet/rule/directory"
	"trivet/uc"
)

// SetDistributionGroup changes properties of a group; those not given stay.
type SetDistributionGroup struct {
	Identity             string  `param:"required,pos=1" help:"The group"`
	Mail                 *string `help:"New mail address"`
	DisplayName          *string `help:"Name shown to others"`
	MailNickname         *string `help:"Alias"`
	SipAddress           *string `help:"Address by which the group is added to contact lists; $null leaves the mail address"`
	Description          *string `help:"Description"`
	HideFromAddressLists *bool   `help:"Whether the group is kept out of searches and address books"`
	PassThru             bool    `help:"Show the group afterwards"`
}

var setDistributionGroup = Cmdlet{
	Name: "Set-CsDistributionGroup", Synopsis: "Changes properties of a distribution group.",
	Example: `Set-CsDistributionGroup sales@example.test -Description "All of sales"`,
	Changes: true, Roles: userManagers, Table: groupTable, New: func() Runner { return &SetDistributionGroup{} },
}

// Run implements Runner.
func (p *SetDistributionGroup) Run(ctx context.Context, c *Call) error {
	g, err := c.ownGroup(ctx, p.Identity)
	if err != nil {
		return err
	}
	trial := g
	if err := p.edit(c, &trial); err != nil {
		return err
	}
	directory.NormalizeGroup(&trial)
	if err := directory.ValidateGroup(&trial); err != nil {
		return err
	}
	if !c.ShouldChange("Set-CsDistributionGroup", g.Mail, differences(groupRowOf(g), groupRowOf(trial))) {
		return nil
	}
	if g, err = c.Deployment.Groups().UpdateGroup(ctx, g.GUID, func(g *directory.Group) error { return p.edit(c, g) }); err != nil {
		return err
	}
	if p.PassThru {
		c.Write(groupRowOf(g))
	}
	return nil
}

func (p *SetDistributionGroup) edit(c *Call, g *directory.Group) (err error) {
	set([]text{
		{p.Mail, &g.Mail}, {p.DisplayName, &g.DisplayName}, {p.MailNickname, &g.MailNickname}, {p.Description, &g.Description},
	})
	if p.HideFromAddressLists != nil {
		g.HideFromAddressLists = *p.HideFromAddressLists
	}
	switch {
	case p.SipAddress == nil:
	case *p.SipAddress == "":
		g.SipAddress = uc.UserURI("")
	default:
		g.SipAddress, err = c.sipAddress(*p.SipAddress)
	}
	return err
}
