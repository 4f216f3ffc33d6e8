// Package conference decides about conferences: who may join one directly, who
// becomes a presenter, and who may do what to it. It is tables over plain values,
// after the access levels and the auto-presenter setting of the product and the
// roles of [MS-CONFBAS] 3.5. It is pure.
package conference

import "trivet/rule/access"

// Level is the access level of a conference: who joins without being let in. The
// numbers are in the logs of the routing groups.
type Level uint8

// The levels.
const (
	SameEnterprise Level = 0 // users of the organizer's company
	Invited        Level = 1 // those of them who are on the list
	Everyone       Level = 2 // anybody
)

// Promotion says who becomes a presenter by joining. The numbers are in the logs.
type Promotion uint8

// The promotions. The organizer and those who are listed as presenters always are.
const (
	PromoteNobody   Promotion = 0
	PromoteCompany  Promotion = 1
	PromoteEveryone Promotion = 2
)

// Terms are what of a conference decides.
type Terms struct {
	Level   Level
	Promote Promotion
	Locked  bool
}

// Person is somebody as the conference knows them.
type Person struct {
	Organizer bool
	Presenter bool // listed as a presenter
	Listed    bool // invited, in whichever role
	Realm     access.Realm
}

// Verdict is the outcome of wanting to join.
type Verdict uint8

// The verdicts.
const (
	Admitted Verdict = iota
	IsLocked
	NotInvited
	NotOfCompany
)

// Enter decides whether somebody who is not in the conference may join it.
func Enter(t Terms, p Person) Verdict {
	switch {
	case p.Organizer:
		return Admitted
	case t.Locked:
		return IsLocked
	case t.Level == Everyone || p.Presenter:
		return Admitted
	case p.Realm != access.Company:
		return NotOfCompany
	case t.Level == Invited && !p.Listed:
		return NotInvited
	}
	return Admitted
}

// Presents decides whether somebody who joins is a presenter.
func Presents(t Terms, p Person) bool {
	switch {
	case p.Organizer || p.Presenter:
		return true
	case t.Promote == PromoteCompany:
		return p.Realm == access.Company
	}
	return t.Promote == PromoteEveryone
}

// Action is something that is done to a conference.
type Action uint8

// The actions.
const (
	Lock    Action = iota // lock and unlock it
	Modify                // change subject, access, expiry
	Delete                // end it for all
	Eject                 // remove a participant
	Promote               // make a participant a presenter or an attendee
	Look                  // read roster and settings
)

// Standing is what somebody is in a conference.
type Standing uint8

// The standings, the least first.
const (
	Outsider Standing = iota
	AttendeeStanding
	PresenterStanding
	OrganizerStanding
)

// least is the lowest standing that may do an action.
var least = [...]Standing{
	Lock: PresenterStanding, Modify: PresenterStanding, Delete: PresenterStanding, Eject: PresenterStanding,
	Promote: PresenterStanding, Look: AttendeeStanding,
}

// May decides whether somebody may do an action.
func May(a Action, who Standing) bool { return int(a) < len(least) && who >= least[a] }

// MayTo decides about an action on a participant: nobody removes or demotes the
// organizer.
func MayTo(a Action, who, whom Standing) bool {
	return May(a, who) && (whom < OrganizerStanding || who == OrganizerStanding && a == Eject)
}
