package cmdlet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"trivet/rule/dirsync"
)

// GetDirectorySyncState shows how the synchronisation stands.
type GetDirectorySyncState struct {
	Source string `param:"pos=1" help:"Only that source; * and ? stand for any text"`
}

var getDirectorySyncState = Cmdlet{
	Name: "Get-CsDirectorySyncState", Synopsis: "Shows how the synchronisation with LDAP directories stands.",
	Example: `Get-CsDirectorySyncState corp -As list`,
	Roles:   viewers, Table: []string{"Identity", "State", "LastRun", "Server", "Users", "Groups", "Problem"}, New: func() Runner { return &GetDirectorySyncState{} },
}

// syncRow is the state of one source. Numbers of what was done are those of the
// last run that was applied.
type syncRow struct {
	Identity    string
	State       string // NeverRun, Running, Ready, WaitingForApproval, Failed
	LastRun     *time.Time
	LastSuccess *time.Time
	NextRun     *time.Time
	Duration    string
	Server      string
	Users       int // entries
	Groups      int
	Created     int
	Changed     int
	Disabled    int
	Reactivated int
	Deleted     int
	GroupsMade  int `json:"GroupsCreated"`
	GroupsMoved int `json:"GroupsChanged"`
	GroupsGone  int `json:"GroupsDeleted"`
	KeptOff     int `json:"DisabledHere"` // by an administrator
	Failures    int
	Problem     string
	PlanID      string   `json:"PlanId"`
	Asked       []string `json:"Pending"` // what the plan that waits would do
	Exceeded    []string
	Examples    []string
	Conflicts   []string
	Skipped     []string // entries that nobody is made of
	DeletedHere []string
}

// Run implements Runner.
func (p *GetDirectorySyncState) Run(ctx context.Context, c *Call) error {
	sync := c.Deployment.DirectorySync()
	for _, st := range sync.States() {
		if !fits(p.Source, st.Source) {
			continue
		}
		row, err := syncRowOf(ctx, sync, st)
		if err != nil {
			return err
		}
		c.Write(row)
	}
	if len(sync.States()) == 0 {
		c.Warn("No directory source is configured; see directory.sources of trivet.yaml.")
	}
	return nil
}

func syncRowOf(ctx context.Context, sync DirectorySync, st dirsync.State) (syncRow, error) {
	n := st.Counts
	row := syncRow{
		Identity: st.Source, State: string(st.Phase), LastRun: moment(st.LastRun), LastSuccess: moment(st.LastSuccess), NextRun: moment(st.NextRun),
		Duration: st.Duration.Round(time.Millisecond).String(), Server: st.Server, Users: st.Users, Groups: st.Groups,
		Created: n[dirsync.Create], Changed: n[dirsync.Update], Disabled: n[dirsync.Disable], Reactivated: n[dirsync.Reactivate], Deleted: n[dirsync.Delete],
		GroupsMade: n[dirsync.CreateGroup], GroupsMoved: n[dirsync.UpdateGroup], GroupsGone: n[dirsync.DeleteGroup],
		KeptOff: st.Kept, Failures: st.Failures, Problem: st.Problem, PlanID: st.PlanID, Exceeded: st.Exceeded, Examples: st.Examples, Conflicts: st.Conflicts,
		Asked: countTexts(st.Pending),
	}
	if st.Running {
		row.State = "Running"
	}
	for _, why := range slices.Sorted(maps.Keys(st.Skipped)) {
		row.Skipped = append(row.Skipped, fmt.Sprintf("%d %s", st.Skipped[why], why))
	}
	var err error
	row.DeletedHere, err = sync.Removed(ctx, st.Source)
	for _, list := range []*[]string{&row.Asked, &row.Exceeded, &row.Examples, &row.Conflicts, &row.Skipped, &row.DeletedHere} {
		*list = append([]string{}, *list...) // [] in JSON
	}
	return row, err
}

// moment is nil for no time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func countTexts(counts dirsync.Counts) (list []string) {
	for k, n := range counts {
		if n > 0 {
			list = append(list, fmt.Sprintf("%s: %d", dirsync.Kind(k), n))
		}
	}
	return list
}
