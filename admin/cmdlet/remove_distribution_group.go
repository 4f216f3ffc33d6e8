package cmdlet

import "context"

// RemoveDistributionGroup deletes a group.
type RemoveDistributionGroup struct {
	Identity string `param:"required,pos=1" help:"The group"`
}

var removeDistributionGroup = Cmdlet{
	Name: "Remove-CsDistributionGroup", Synopsis: "Deletes a distribution group from the embedded directory; its members stay.",
	Example: `Remove-CsDistributionGroup sales@example.test -Force`,
	Changes: true, Asks: true, Roles: userManagers, New: func() Runner { return &RemoveDistributionGroup{} },
}

// Run implements Runner.
func (p *RemoveDistributionGroup) Run(ctx context.Context, c *Call) error {
	g, err := c.ownGroup(ctx, p.Identity)
	if err != nil || !c.ShouldProcess("Remove-CsDistributionGroup", g.Mail) {
		return err
	}
	return c.Deployment.Groups().DeleteGroup(ctx, g.GUID)
}
