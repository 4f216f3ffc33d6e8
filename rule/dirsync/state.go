package dirsync

import "time"

// Phase is how a source stands.
type Phase string

// The phases.
const (
	NeverRun           Phase = "NeverRun"
	Ready              Phase = "Ready"
	WaitingForApproval Phase = "WaitingForApproval"
	Failed             Phase = "Failed"
)

// State is how the synchronisation of a source stands.
type State struct {
	Source      string
	Phase       Phase
	Running     bool `json:"-"`
	LastRun     time.Time
	LastSuccess time.Time // of the last run that was applied
	NextRun     time.Time `json:"-"` // zero: not scheduled
	Duration    time.Duration
	Server      string // that was read
	Users       int    // entries of users in the last answer
	Groups      int
	Counts      Counts // of the last run that was applied
	Failures    int    // runs that failed one after the other
	Problem     string // one sentence; "" for none

	PlanID   string // waits for approval, "" = none does
	Pending  Counts
	Exceeded []string
	Examples []string // some of what the plan would do

	Conflicts []string // the first of them
	Skipped   map[string]int
	Kept      int // users that an administrator disabled

	// Granted are the digests of the actions of the plan that is being applied; true
	// for those that were approved and do not count against the budget. It stays
	// until all of them are done, so that a run that was ended goes on.
	Granted map[string]bool `json:",omitempty"`
}

// Options of a run that an administrator asks for.
type Options struct {
	WhatIf  bool   // make the plan and do nothing
	Approve string // apply this plan, whatever the budget says
}

// Result is what a run came to.
type Result struct {
	State State
	Plan  Plan
}
