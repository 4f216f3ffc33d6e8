package cmdlet

import (
	"context"
	"strings"

	"trivet/rule/topology"
)

// PublishTopology replaces the topology.
type PublishTopology struct {
	FileName string `param:"required,pos=1,file" help:"File with the topology"`
}

var publishTopology = Cmdlet{
	Name: "Publish-CsTopology", Synopsis: "Has the deployment run on another topology: computers come and go with it.",
	Example: `Publish-CsTopology topology.yaml -WhatIf`,
	Changes: true, Asks: true, Roles: []string{"CsServerAdministrator"}, Largest: topology.MaxBytes + 1<<16, Table: findingTable,
	New: func() Runner { return &PublishTopology{} },
}

// Run implements Runner.
func (p *PublishTopology) Run(ctx context.Context, c *Call) error {
	t := c.Deployment.Topology()
	now, err := t.Current(ctx)
	if err != nil {
		return err
	}
	next, err := topology.Parse([]byte(p.FileName))
	if err != nil {
		return err
	}
	if err := c.judge(topology.Validate(next, t.Facts(ctx, next))); err != nil {
		return err
	}
	changes := topology.Differences(now.Document, next)
	if len(changes) == 0 {
		changes = []string{"no computer comes or goes"}
	}
	if !c.ShouldProcess("Publish the topology: "+strings.Join(changes, "; "), string(c.Deployment.Pool().FQDN())) {
		return nil
	}
	return t.Publish(ctx, now.Version, []byte(p.FileName))
}
