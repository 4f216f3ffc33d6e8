package cmdlet

import (
	"context"
	"time"
)

// InvokePoolUpgrade begins a rolling upgrade.
type InvokePoolUpgrade struct {
	PoolFqdn  string `param:"required,pos=1" help:"The pool"`
	ReadyTime int    `default:"1200" help:"Seconds that the pool has to be ready without a break after an upgrade domain, before the next"`
	DrainTime int    `default:"60" help:"Seconds to wait at most until a server leads no group and runs no conference"`
	Cancel    bool   `help:"End the upgrade that is under way; servers stay as they are"`
}

var invokePoolUpgrade = Cmdlet{
	Name: "Invoke-CsPoolUpgrade", Synopsis: "Begins a rolling upgrade of a pool: its servers are stopped one upgrade domain after the other, to be replaced by an administrator.",
	Example: `Invoke-CsPoolUpgrade pool1.example.test -ReadyTime 1200`,
	Changes: true, Asks: true, Roles: []string{"CsServerAdministrator"}, Table: getPoolUpgrade.Table,
	New: func() Runner { return &InvokePoolUpgrade{} },
}

// Run implements Runner.
func (p *InvokePoolUpgrade) Run(ctx context.Context, c *Call) error {
	f, err := c.fabric("cmdlet.InvokePoolUpgrade", p.PoolFqdn)
	switch {
	case err != nil:
		return err
	case p.ReadyTime < 0 || p.ReadyTime > 86400:
		return wrong("ReadyTime", "needs a number of seconds from 0 to 86400, not %d", p.ReadyTime)
	case p.DrainTime < 0 || p.DrainTime > 3600:
		return wrong("DrainTime", "needs a number of seconds from 0 to 3600, not %d", p.DrainTime)
	}
	what := "Stop its servers one upgrade domain after the other, to be replaced"
	if p.Cancel {
		what = "Cancel the upgrade"
	}
	if !c.ShouldProcess(what, p.PoolFqdn) {
		return nil
	}
	if p.Cancel {
		err = f.CancelUpgrade(ctx)
	} else {
		err = f.BeginUpgrade(ctx, c.Caller.Name, time.Duration(p.ReadyTime)*time.Second, time.Duration(p.DrainTime)*time.Second)
	}
	if err != nil {
		return err
	}
	return c.upgrade(ctx, f)
}
