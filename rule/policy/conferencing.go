package policy

// Conferencing is what the organizer of a conference may have.
type Conferencing struct {
	MaxMeetingSize                       int  `default:"250" range:"2-1000" help:"Most people in a conference of the user" server:"refuses further participants"`
	AllowAnonymousParticipantsInMeetings bool `default:"true" help:"Conferences of the user may have the access level anonymous; nobody joins without an account yet" server:"refuses the access level anonymous where it is off"`
}

// ConferencingPolicy is CsConferencingPolicy.
var ConferencingPolicy = define[Conferencing](Kind{Noun: "CsConferencingPolicy", About: "what conferences of a user may have", Grant: "ConferencingPolicy"})
