package cmdlet

import (
	"context"
	"strings"
)

// GetPoolUpgrade shows how far a rolling upgrade is.
type GetPoolUpgrade struct {
	PoolFqdn string `param:"pos=1" help:"Pool; without it the pool of this server"`
}

// upgradeRow is an upgrade domain.
type upgradeRow struct {
	UpgradeDomain int
	FrontEnds     string
	State         string // Pending, Stopping, Stopped, Upgraded
	Version       string // of the programs; those that differ, by commas
	Upgrade       string // None, Running, Ended, Cancelled
	StartedBy     string
	WaitsFor      string // the upgrade as a whole, while it runs
}

var getPoolUpgrade = Cmdlet{
	Name: "Get-CsPoolUpgrade", Synopsis: "Shows how far a rolling upgrade of a pool has come, what it waits for, and which version each server runs.",
	Example: `Get-CsPoolUpgrade`,
	Roles:   viewers, Table: []string{"UpgradeDomain", "FrontEnds", "State", "Version", "Upgrade", "WaitsFor"},
	New: func() Runner { return &GetPoolUpgrade{} },
}

// Run implements Runner.
func (p *GetPoolUpgrade) Run(ctx context.Context, c *Call) error {
	f, err := c.fabric("cmdlet.GetPoolUpgrade", p.PoolFqdn)
	if err != nil {
		return err
	}
	return c.upgrade(ctx, f)
}

// upgrade writes a row for each domain.
func (c *Call) upgrade(ctx context.Context, f Fabric) error {
	u, err := f.Upgrade(ctx)
	if err != nil {
		return err
	}
	for _, d := range u.Domains {
		row := upgradeRow{UpgradeDomain: d.Name, State: d.State, Upgrade: u.State, StartedBy: u.By, WaitsFor: u.Waits}
		var names, versions []string
		seen := map[string]bool{}
		for i, name := range d.Servers {
			names = append(names, string(name))
			if v := or(d.Versions[i], "unknown"); !seen[v] {
				seen[v] = true
				versions = append(versions, v)
			}
		}
		row.FrontEnds, row.Version = strings.Join(names, ", "), strings.Join(versions, ", ")
		c.Write(row)
	}
	return nil
}
