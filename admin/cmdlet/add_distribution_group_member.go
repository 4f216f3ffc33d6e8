package cmdlet

import (
	"context"
	"strings"
)

// AddDistributionGroupMember puts members into a group.
type AddDistributionGroupMember struct {
	Identity    string   `param:"required,pos=1" help:"The group"`
	Member      []string `param:"required,pos=2" help:"Users, groups and mail addresses of others"`
	DisplayName string   `help:"Name of a single member who is not in the directory"`
}

var addDistributionGroupMember = Cmdlet{
	Name: "Add-CsDistributionGroupMember", Synopsis: "Puts users, groups and people outside into a distribution group.",
	Example: `Add-CsDistributionGroupMember sales@example.test alice@example.test,bob@example.test`,
	Changes: true, Roles: userManagers, New: func() Runner { return &AddDistributionGroupMember{} },
}

// Run implements Runner.
func (p *AddDistributionGroupMember) Run(ctx context.Context, c *Call) error {
	g, err := c.ownGroup(ctx, p.Identity)
	if err != nil {
		return err
	}
	list, err := c.members(ctx, p.Member, p.DisplayName)
	if err != nil || !c.ShouldProcess("Add-CsDistributionGroupMember", g.Mail+": "+strings.Join(p.Member, ", ")) {
		return err
	}
	n, err := c.Deployment.Groups().AddMembers(ctx, g.GUID, list...)
	if err == nil && n < len(list) {
		c.Warn("%d of %d are in the group already.", len(list)-n, len(list))
	}
	return err
}
