package cmdlet

import (
	"context"

	"trivet/rule/directory"
)

// GetDistributionGroup lists groups.
type GetDistributionGroup struct {
	Identity   string `param:"pos=1" help:"Mail address, SIP address, GUID, alias or display name; * and ? stand for any text"`
	ResultSize int    `default:"0" help:"Most groups to return; 0 returns all"`
}

var getDistributionGroup = Cmdlet{
	Name: "Get-CsDistributionGroup", Synopsis: "Shows distribution groups of the directory.",
	Example: `Get-CsDistributionGroup sales*`,
	Roles:   viewers, Table: groupTable, New: func() Runner { return &GetDistributionGroup{} },
}

// Run implements Runner.
func (p *GetDistributionGroup) Run(ctx context.Context, c *Call) error {
	if p.Identity != "" && !directory.IsPattern(p.Identity) {
		g, err := c.Deployment.Groups().FindGroup(ctx, p.Identity)
		if err == nil {
			c.Write(groupRowOf(g))
		}
		return err
	}
	list, err := c.Deployment.Groups().ListGroups(ctx, p.Identity, p.ResultSize)
	for _, g := range list {
		c.Write(groupRowOf(g))
	}
	return err
}
