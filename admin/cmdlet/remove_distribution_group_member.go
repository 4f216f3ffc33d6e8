package cmdlet

import (
	"context"
	"strings"
)

// RemoveDistributionGroupMember takes members out of a group.
type RemoveDistributionGroupMember struct {
	Identity string   `param:"required,pos=1" help:"The group"`
	Member   []string `param:"required,pos=2" help:"Users, groups and mail addresses of others"`
}

var removeDistributionGroupMember = Cmdlet{
	Name: "Remove-CsDistributionGroupMember", Synopsis: "Takes members out of a distribution group.",
	Example: `Remove-CsDistributionGroupMember sales@example.test bob@example.test`,
	Changes: true, Asks: true, Roles: userManagers, New: func() Runner { return &RemoveDistributionGroupMember{} },
}

// Run implements Runner.
func (p *RemoveDistributionGroupMember) Run(ctx context.Context, c *Call) error {
	g, err := c.ownGroup(ctx, p.Identity)
	if err != nil {
		return err
	}
	list, err := c.members(ctx, p.Member, "")
	if err != nil || !c.ShouldProcess("Remove-CsDistributionGroupMember", g.Mail+": "+strings.Join(p.Member, ", ")) {
		return err
	}
	n, err := c.Deployment.Groups().RemoveMembers(ctx, g.GUID, list...)
	if err == nil && n < len(list) {
		c.Warn("%d of %d were not in the group.", len(list)-n, len(list))
	}
	return err
}
