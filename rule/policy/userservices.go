package policy

import "time"

// UserServices are limits of what is kept for a user.
type UserServices struct {
	MaxContacts                      int           `default:"250" range:"1-1000" help:"Most contacts of a user; CsClientPolicy can lower it" server:"refuses further contacts"`
	MaxPersonalNotes                 int           `default:"3" range:"0-10" help:"How many of a user's former notes clients keep" client:"presencePolicyV2/PersonalNoteHistoryDepth"`
	MaxScheduledMeetingsPerOrganizer int           `default:"1000" range:"1-1000" help:"Most conferences that a user has at a time" server:"refuses further conferences"`
	DeactivationGracePeriod          time.Duration `default:"1.00:00:00" range:"8h-8760h" help:"Longest time that a conference runs" server:"ends it; it can be started again"`
}

// UserServicesConfiguration is CsUserServicesConfiguration.
var UserServicesConfiguration = define[UserServices](Kind{Noun: "CsUserServicesConfiguration", About: "limits of what is kept for a user"})
