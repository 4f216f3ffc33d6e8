package cmdlet

import "context"

// GetDistributionGroupMember lists who is in a group.
type GetDistributionGroupMember struct {
	Identity   string `param:"required,pos=1" help:"The group"`
	ResultSize int    `default:"0" help:"Most members to return; 0 returns all"`
}

var getDistributionGroupMember = Cmdlet{
	Name: "Get-CsDistributionGroupMember", Synopsis: "Shows who is in a distribution group; groups inside are shown as groups.",
	Example: `Get-CsDistributionGroupMember sales@example.test`,
	Roles:   viewers, Table: []string{"DisplayName", "Type", "SipAddress", "Mail"}, New: func() Runner { return &GetDistributionGroupMember{} },
}

// Run implements Runner.
func (p *GetDistributionGroupMember) Run(ctx context.Context, c *Call) error {
	g, err := c.Deployment.Groups().FindGroup(ctx, p.Identity)
	if err != nil {
		return err
	}
	x, err := c.Deployment.Groups().Expand(ctx, g.GUID, p.ResultSize)
	if err != nil {
		return err
	}
	for _, e := range x.Members {
		c.Write(memberRowOf(x.Group, e))
	}
	if x.Total > len(x.Members) {
		c.Warn("%d of %d members are shown.", len(x.Members), x.Total)
	}
	return nil
}
