package cmdlet

import (
	"context"
	"time"

	"trivet/uc"
)

// GetTopology shows the topology.
type GetTopology struct {
	Output  string `param:"output=Document" help:"File that gets the document, to be changed and published"`
	Records bool   `help:"The DNS records that clients and servers look up, instead"`
}

// topologyRow is a pool of the topology.
type topologyRow struct {
	Pool      uc.PoolFQDN
	Site      string
	Computers []uc.ServerFQDN
	BackEnd   string
	Version   uint64
	Published string
	Document  string // YAML
}

// recordRow is a DNS record.
type recordRow struct{ Name, Type, Value string }

var getTopology = Cmdlet{
	Name: "Get-CsTopology", Synopsis: "Shows the topology: pools with their computers and databases, or the DNS records it needs.",
	Example: `Get-CsTopology -Output topology.yaml`,
	Roles:   viewers, Table: []string{"Pool", "Site", "Computers", "BackEnd", "Version", "Published", "Name", "Type", "Value"},
	New: func() Runner { return &GetTopology{} },
}

// Run implements Runner.
func (p *GetTopology) Run(ctx context.Context, c *Call) error {
	s, err := c.Deployment.Topology().Current(ctx)
	if err != nil {
		return err
	}
	if p.Records {
		for _, r := range s.Document.Records() {
			c.Write(recordRow(r))
		}
		return nil
	}
	for i := range s.Document.Pools {
		x := &s.Document.Pools[i]
		row := topologyRow{Pool: x.FQDN, Site: x.Site, Computers: x.Names(), Version: s.Version, Document: string(s.Text)}
		if x.BackEnd != nil {
			row.BackEnd = x.BackEnd.Primary.FQDN
			if x.BackEnd.Mirror != nil {
				row.BackEnd += ", " + x.BackEnd.Mirror.FQDN
			}
		}
		if !s.Published.IsZero() {
			row.Published = s.Published.UTC().Format(time.RFC3339)
		}
		c.Write(row)
	}
	return nil
}
