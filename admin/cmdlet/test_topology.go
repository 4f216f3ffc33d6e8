package cmdlet

import (
	"context"

	"trivet/rule/topology"
)

// TestTopology checks a topology.
type TestTopology struct {
	Path string `param:"pos=1,file" help:"File with a topology; without it the one that holds"`
}

var testTopology = Cmdlet{
	Name: "Test-CsTopology", Synopsis: "Checks a topology by itself, against DNS and against the databases it names.",
	Example: `Test-CsTopology topology.yaml`,
	Roles:   viewers, Table: findingTable, New: func() Runner { return &TestTopology{} },
}

// Run implements Runner.
func (p *TestTopology) Run(ctx context.Context, c *Call) error {
	t := c.Deployment.Topology()
	var d *topology.Document
	if p.Path != "" {
		var err error
		if d, err = topology.Parse([]byte(p.Path)); err != nil {
			return err
		}
	} else {
		s, err := t.Current(ctx)
		if err != nil {
			return err
		}
		d = s.Document
	}
	return c.judge(topology.Validate(d, t.Facts(ctx, d)))
}
