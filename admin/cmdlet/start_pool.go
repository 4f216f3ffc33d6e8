package cmdlet

import (
	"context"
	"time"

	"trivet/fault"
)

// StartPool waits for a pool to run.
type StartPool struct {
	PoolFqdn           string `param:"required,pos=1" help:"The pool"`
	QuorumLossRecovery bool   `help:"Recover groups without a quorum, as Reset-CsPoolRegistrarState does, if the pool does not run in time"`
	Timeout            int    `default:"60" help:"Seconds to wait"`
}

var startPool = Cmdlet{
	Name: "Start-CsPool", Synopsis: "Waits until a pool serves all of its users; says what is missing if it does not.",
	Example: `Start-CsPool -PoolFqdn pool1.example.test -QuorumLossRecovery`,
	Changes: true, Asks: true, Roles: []string{"CsServerAdministrator"}, Table: resetPoolRegistrarState.Table,
	New: func() Runner { return &StartPool{} },
}

// Run implements Runner.
func (p *StartPool) Run(ctx context.Context, c *Call) error {
	const op = "cmdlet.StartPool"
	r, err := c.recovery(op, p.PoolFqdn)
	if err != nil || !c.ShouldProcess("Wait until it serves all of its users", p.PoolFqdn) {
		return err
	}
	wait := func() (string, error) {
		limited, cancel := context.WithTimeout(ctx, time.Duration(p.Timeout)*time.Second)
		defer cancel()
		return r.Await(limited)
	}
	missing, err := wait()
	if err == nil && missing != "" && p.QuorumLossRecovery {
		if err := c.recoverGroups(ctx, r, p.PoolFqdn); err != nil {
			return err
		}
		missing, err = wait()
	}
	if err == nil && missing != "" {
		return fault.Newf(fault.NoQuorum, op, "the pool waits for %s", missing)
	}
	return err
}
