package policy

// Meeting is how new conferences are when nothing is said about them.
type Meeting struct {
	AdmitAnonymousUsersByDefault bool   `default:"true" help:"People without an account may join a conference that says nothing about it" server:"the access level of new conferences"`
	DesignateAsPresenter         string `default:"Company" values:"None|Company|Everyone" help:"Who joins as presenter: nobody but the organizer, people of the company, everybody" server:"the role of participants"`
}

// MeetingConfiguration is CsMeetingConfiguration.
var MeetingConfiguration = define[Meeting](Kind{Noun: "CsMeetingConfiguration", About: "how new conferences are"})
