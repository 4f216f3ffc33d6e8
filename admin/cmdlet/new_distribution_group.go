package cmdlet

import (
	"context"
	"strings"

	"trivet/rule/directory"
)

// NewDistributionGroup creates a group in the embedded directory.
type NewDistributionGroup struct {
	Identity             string   `param:"required,pos=1" help:"Mail address of the group, or its part before the @"`
	DisplayName          string   `help:"Name shown to others; without it the part before the @"`
	MailNickname         string   `help:"Alias; without it the part before the @"`
	SipAddress           string   `help:"Address by which the group is added to contact lists, where it is not the mail address"`
	Description          string   `help:"Description"`
	Members              []string `help:"Users, groups and mail addresses of others to put in"`
	HideFromAddressLists bool     `help:"Keep the group out of searches and address books"`
}

var newDistributionGroup = Cmdlet{
	Name: "New-CsDistributionGroup", Synopsis: "Creates a distribution group in the embedded directory.",
	Example: `New-CsDistributionGroup sales@example.test -DisplayName "Sales" -Members alice@example.test,bob@example.test`,
	Changes: true, Roles: userManagers, Table: groupTable, New: func() Runner { return &NewDistributionGroup{} },
}

// Run implements Runner.
func (p *NewDistributionGroup) Run(ctx context.Context, c *Call) error {
	mail := strings.TrimSpace(p.Identity)
	name, _, full := strings.Cut(mail, "@")
	if !full {
		mail += "@" + c.Deployment.Pool().Domains()[0]
	}
	g := directory.Group{
		Mail: mail, DisplayName: or(p.DisplayName, name), MailNickname: or(p.MailNickname, name), Description: p.Description,
		HideFromAddressLists: p.HideFromAddressLists,
	}
	var err error
	if p.SipAddress != "" {
		if g.SipAddress, err = c.sipAddress(p.SipAddress); err != nil {
			return err
		}
	}
	members, err := c.members(ctx, p.Members, "")
	if err != nil {
		return err
	}
	directory.NormalizeGroup(&g)
	if err := directory.ValidateGroup(&g); err != nil {
		return err
	}
	if !c.ShouldProcess("New-CsDistributionGroup", mail) {
		return nil
	}
	if g, err = c.Deployment.Groups().CreateGroup(ctx, g, members...); err != nil {
		return err
	}
	c.Write(groupRowOf(g))
	return nil
}
