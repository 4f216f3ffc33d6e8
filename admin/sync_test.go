package admin_test

import (
	"context"
	"time"

	"trivet/fault"
	"trivet/rule/dirsync"
)

// fakeSync has a source that is well and one whose plan waits.
type fakeSync struct{}

var waiting = dirsync.Plan{
	ID: "0123456789ab", Counts: dirsync.Counts{dirsync.Disable: 2, dirsync.Update: 1}, Exceeded: []string{"2 users to disable of 20, at most 1 without approval"},
	Actions: []dirsync.Action{
		{Kind: dirsync.Disable, Label: "sip:anna@example.test", Reason: dirsync.Missing}, {Kind: dirsync.Disable, Label: "sip:bert@example.test", Reason: dirsync.Disabled},
		{Kind: dirsync.Update, Label: "sip:cora@example.test", Changes: []dirsync.Change{{Property: "Title", New: "Boss"}, {Property: "Office", Old: "1"}}},
	},
	Conflicts: []dirsync.Conflict{{Label: "sip:dora@example.test", Text: "not created: SipAddress sip:dora@example.test belongs to sip:dora@example.test"}},
}

func (fakeSync) States() []dirsync.State {
	return []dirsync.State{
		{
			Source: "corp", Phase: dirsync.Ready, LastRun: noon, LastSuccess: noon, NextRun: noon.Add(15 * time.Minute), Duration: 1234567 * time.Microsecond,
			Server: "ldaps://dc2.example.test", Users: 120, Groups: 7, Counts: dirsync.Counts{dirsync.Create: 3, dirsync.Reactivate: 1}, Kept: 1,
			Skipped: map[string]int{"without an address": 4, "disabled in the directory": 9},
		},
		{
			Source: "branch", Phase: dirsync.WaitingForApproval, LastRun: noon, Duration: time.Second, Server: "ldaps://branch.example.test",
			PlanID: waiting.ID, Pending: waiting.Counts, Exceeded: waiting.Exceeded, Examples: []string{"Disable user, missing in the directory: sip:anna@example.test"},
			Problem: "The directory asks for more than its budget.",
		},
	}
}

func (f fakeSync) Update(_ context.Context, source string, o dirsync.Options) ([]dirsync.Result, error) {
	if o.Approve != "" && o.Approve != waiting.ID {
		return nil, fault.New(fault.Stale, "test", "the directory asks for another plan by now").About("Approve")
	}
	var list []dirsync.Result
	for _, st := range f.States() {
		if source == "" || source == st.Source {
			r := dirsync.Result{State: st}
			if st.Source == "branch" {
				r.Plan = waiting
			}
			list = append(list, r)
		}
	}
	return list, nil
}

func (fakeSync) Removed(_ context.Context, source string) ([]string, error) {
	if source == "corp" {
		return []string{"cn=emil,ou=people"}, nil
	}
	return nil, nil
}

func (fakeSync) Readmit(_ context.Context, _, identity string) (int, error) {
	if identity != "cn=emil,ou=people" {
		return 0, fault.New(fault.NotFound, "test", "nobody who was deleted here goes by that name").About("Readmit")
	}
	return 1, nil
}
