package cmdlet

import (
	"context"
	"strings"

	"trivet/uc"
)

// GetComputer lists computers.
type GetComputer struct {
	Identity string `param:"pos=1" help:"Only that computer; * and ? stand for any text"`
	Pool     string `help:"Only computers of that pool"`
	Local    bool   `help:"Only the computer that answers"`
}

type computerRow struct {
	Identity      uc.ServerFQDN
	Pool          uc.PoolFQDN
	Fqdn          uc.ServerFQDN
	Address       string
	UpgradeDomain int
}

var getComputer = Cmdlet{
	Name: "Get-CsComputer", Synopsis: "Shows the computers of the topology, in its order: the first ones of a pool are its seeds.",
	Example: `Get-CsComputer -Pool pool1.example.test`,
	Roles:   viewers, Table: []string{"Identity", "Pool", "Address", "UpgradeDomain"}, New: func() Runner { return &GetComputer{} },
}

// Run implements Runner.
func (p *GetComputer) Run(ctx context.Context, c *Call) error {
	s, err := c.Deployment.Topology().Current(ctx)
	if err != nil {
		return err
	}
	for i := range s.Document.Pools {
		x := &s.Document.Pools[i]
		if p.Pool != "" && !strings.EqualFold(p.Pool, string(x.FQDN)) {
			continue
		}
		for _, m := range x.Computers {
			if fits(p.Identity, string(m.FQDN)) && (!p.Local || m.FQDN == c.Deployment.Computer()) {
				c.Write(computerRow{m.FQDN, x.FQDN, m.FQDN, m.Address, m.UpgradeDomain})
			}
		}
	}
	return nil
}
