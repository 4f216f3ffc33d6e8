package cmdlet

import (
	"context"
	"slices"
	"strings"

	"trivet/rule/topology"
	"trivet/uc"
)

// GetPool lists pools.
type GetPool struct {
	Identity string `param:"pos=1" help:"Only that pool; * and ? stand for any text"`
	Site     string `help:"Only pools of that site"`
}

type poolRow struct {
	Identity  uc.PoolFQDN
	Fqdn      uc.PoolFQDN
	Site      string
	Services  []string
	Computers []uc.ServerFQDN
}

var getPool = Cmdlet{
	Name: "Get-CsPool", Synopsis: "Shows the pools of the topology with their computers.",
	Example: `Get-CsPool pool1.example.test`,
	Roles:   viewers, Table: []string{"Identity", "Site", "Services", "Computers"}, New: func() Runner { return &GetPool{} },
}

// Run implements Runner.
func (p *GetPool) Run(ctx context.Context, c *Call) error {
	s, err := c.Deployment.Topology().Current(ctx)
	if err != nil {
		return err
	}
	for i := range s.Document.Pools {
		x := &s.Document.Pools[i]
		if !fits(p.Identity, string(x.FQDN)) || p.Site != "" && !strings.EqualFold(p.Site, x.Site) {
			continue
		}
		row := poolRow{Identity: x.FQDN, Fqdn: x.FQDN, Site: x.Site, Computers: x.Names()}
		for _, r := range topology.Roles {
			if len(x.Computers) > 0 && (len(x.Computers[0].Roles) == 0 || slices.Contains(x.Computers[0].Roles, r)) {
				row.Services = append(row.Services, r+":"+string(x.FQDN))
			}
		}
		c.Write(row)
	}
	return nil
}
