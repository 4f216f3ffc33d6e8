package cmdlet

import (
	"context"

	"trivet/rule/dirsync"
)

// UpdateUserDatabase synchronises with the directories now.
type UpdateUserDatabase struct {
	Fqdn    string `help:"Pool; without it the pool of this server"`
	Source  string `param:"pos=1" help:"Only that source"`
	Approve string `help:"Apply this plan although it is over the budget: its PlanId, as -WhatIf or Get-CsDirectorySyncState shows it"`
	Readmit string `help:"Make users again who were deleted here: the name of an entry, a SourceID, a GUID, or *"`
}

var updateUserDatabase = Cmdlet{
	Name: "Update-CsUserDatabase", Synopsis: "Reads the LDAP directories and brings users and groups up to date; with -WhatIf it says user by user what it would do.",
	Example: `Update-CsUserDatabase -Source corp -WhatIf`,
	Changes: true, Table: []string{"Identity", "State", "Created", "Changed", "Disabled", "Reactivated", "Deleted", "PlanId", "Pending"}, New: func() Runner { return &UpdateUserDatabase{} },
}

// planRow is a plan that -WhatIf made.
type planRow struct {
	Identity  string
	State     string   // WhatIf
	PlanID    string   `json:"PlanId"`
	Asked     []string `json:"Pending"`
	Exceeded  []string // why it needs approval; empty: it does not
	Conflicts []string
}

// Run implements Runner.
func (p *UpdateUserDatabase) Run(ctx context.Context, c *Call) error {
	if p.Fqdn != "" {
		if _, err := c.pool(p.Fqdn); err != nil {
			return wrong("Fqdn", "needs a pool of this deployment (%s), not %q", c.Deployment.Pool().FQDN(), clip(p.Fqdn))
		}
	}
	sync := c.Deployment.DirectorySync()
	if len(sync.States()) == 0 {
		return wrong("Source", "cannot be synchronised: no directory source is configured; see directory.sources of trivet.yaml")
	}
	if c.WhatIf {
		return p.trial(ctx, c, sync)
	}
	if p.Readmit != "" && c.ShouldProcess("Make again", p.Readmit) {
		if _, err := sync.Readmit(ctx, p.Source, p.Readmit); err != nil {
			return err
		}
	}
	if !c.ShouldProcess("Update-CsUserDatabase", or(p.Source, "all sources")+note(p.Approve)) {
		return nil
	}
	results, failed := sync.Update(ctx, p.Source, dirsync.Options{Approve: p.Approve})
	for _, r := range results {
		if r.State.Source == "" { // it had no turn
			continue
		}
		row, err := syncRowOf(ctx, sync, r.State)
		if err != nil {
			return err
		}
		c.Write(row)
		if r.State.Phase == dirsync.WaitingForApproval {
			c.Warn("%s", r.State.Problem)
		}
	}
	return failed
}

func note(plan string) string {
	if plan == "" {
		return ""
	}
	return ", plan " + clip(plan)
}

// trial says what would be done.
func (p *UpdateUserDatabase) trial(ctx context.Context, c *Call, sync DirectorySync) error {
	results, err := sync.Update(ctx, p.Source, dirsync.Options{WhatIf: true, Approve: p.Approve})
	for _, r := range results {
		if err != nil && r.Plan.ID == "" { // it was not read
			continue
		}
		for _, a := range r.Plan.Actions {
			c.ShouldProcess(a.String(), a.Label)
		}
		row := planRow{
			Identity: r.State.Source, State: "WhatIf", PlanID: r.Plan.ID,
			Asked: append([]string{}, countTexts(r.Plan.Counts)...), Exceeded: append([]string{}, r.Plan.Exceeded...), Conflicts: []string{},
		}
		for _, x := range r.Plan.Conflicts {
			row.Conflicts = append(row.Conflicts, x.Label+": "+x.Text)
		}
		c.Write(row)
		if len(r.Plan.Exceeded) > 0 {
			c.Warn("The plan is over its budget; Update-CsUserDatabase -Source %s -Approve %s applies it.", r.State.Source, r.Plan.ID)
		}
	}
	return err
}
