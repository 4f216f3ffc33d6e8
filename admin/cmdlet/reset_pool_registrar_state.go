package cmdlet

import (
	"context"
	"fmt"

	"trivet/uc"
)

// ResetPoolRegistrarState brings a pool back.
type ResetPoolRegistrarState struct {
	PoolFqdn    string `param:"required,pos=1" help:"The pool"`
	ResetType   string `values:"ServiceReset|QuorumLossRecovery|FullReset|MachineStateRemoved" default:"ServiceReset" help:"ServiceReset starts the services of all servers anew; QuorumLossRecovery has groups without a quorum go on with the newest copy that is left; FullReset does both; MachineStateRemoved replaces the copies of a server whose data is lost for good"`
	MachineFqdn string `help:"For MachineStateRemoved: the server"`
	NoReStart   bool   `help:"Leave out the start of the services that FullReset ends with"`
}

// recoveryRow is a step as it is shown.
type recoveryRow struct {
	Service   string
	Group     uc.GroupID
	Users     int
	Source    string
	Server    uc.ServerFQDN
	MayBeLost string
}

var resetPoolRegistrarState = Cmdlet{
	Name: "Reset-CsPoolRegistrarState", Synopsis: "Brings a pool back that has lost too many servers at once; says before what may be lost.",
	Example: `Reset-CsPoolRegistrarState -PoolFqdn pool1.example.test -ResetType QuorumLossRecovery -WhatIf`,
	Changes: true, Asks: true, Roles: []string{"CsServerAdministrator"},
	Table: []string{"Service", "Group", "Users", "Source", "Server", "MayBeLost"},
	New:   func() Runner { return &ResetPoolRegistrarState{} },
}

// Run implements Runner.
func (p *ResetPoolRegistrarState) Run(ctx context.Context, c *Call) error {
	r, err := c.recovery("cmdlet.ResetPoolRegistrarState", p.PoolFqdn)
	if err != nil {
		return err
	}
	if (p.MachineFqdn != "") != (p.ResetType == "MachineStateRemoved") {
		return wrong("MachineFqdn", "belongs to -ResetType MachineStateRemoved, which needs it")
	}
	switch p.ResetType {
	case "MachineStateRemoved":
		if !c.ShouldProcess("Replace the copies of a server whose data is lost for good", p.MachineFqdn) {
			return nil
		}
		return r.MachineLost(ctx, uc.ServerFQDN(p.MachineFqdn))
	case "QuorumLossRecovery", "FullReset":
		if err := c.recoverGroups(ctx, r, p.PoolFqdn); err != nil || p.ResetType == "QuorumLossRecovery" || p.NoReStart {
			return err
		}
	}
	if !c.ShouldProcess("Start the services of all servers anew", p.PoolFqdn) {
		return nil
	}
	return r.Restart(ctx)
}

// recoverGroups has groups without a quorum go on.
func (c *Call) recoverGroups(ctx context.Context, r Recovery, pool string) error {
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		c.Warn("every group has a primary; there is nothing to recover")
		return nil
	}
	people := 0
	for _, s := range plan {
		people += s.Users
		if c.WhatIf {
			c.Plans = append(c.Plans, fmt.Sprintf("Group %d (%s, %d users) goes on from %s of %s; may be lost: %s.", s.Group, s.Service, s.Users, s.Source, s.Server, s.MayBeLost))
		}
	}
	if !c.ShouldProcess(fmt.Sprintf("Recover %d groups of %d users, with what -WhatIf says may be lost", len(plan), people), pool) {
		return nil
	}
	done, err := r.QuorumLoss(ctx)
	for _, s := range done {
		c.Write(recoveryRow{s.Service, s.Group, s.Users, s.Source, s.Server, s.MayBeLost})
	}
	if len(done) == 1 && done[0].Service == PoolService {
		c.Warn("The pool's own group goes on. Those that have the users' data can be looked at only now: run this again, with -WhatIf first, for the ones that have no primary.")
	}
	return err
}
