package access

// Sight is a set of things that may be seen.
type Sight uint32

// What there is to see.
const (
	Name         Sight = 1 << iota // display name
	Email                          //
	Availability                   // the state; without it nothing, or offline in Blocked
	Job                            // title, company, department
	Office                         //
	WorkPhone                      //
	Mobile                         //
	HomePhone                      //
	OtherPhone                     //
	FreeBusy                       // 15 minute slots
	WorkingHours                   //
	Meeting                        // subject and location
	Note                           // personal and out-of-office
	Photo                          //
	Services                       // what the endpoints can do

	Everything = Services<<1 - 1
)

const (
	minimal   = Name | Email
	external  = minimal | Availability | Job | Note | Photo | Services
	colleague = external | Office | WorkPhone | FreeBusy | WorkingHours
	workgroup = colleague | Mobile | Meeting
	personal  = colleague | Mobile | HomePhone | OtherPhone
)

// rows is the table of privacy relationships.
var rows = [...]struct {
	container int
	sees      Sight
}{
	{Default, minimal},
	{Self, Everything},
	{External, external},
	{Colleagues, colleague},
	{Workgroup, workgroup},
	{Personal, personal},
	{Blocked, minimal},
}

// row returns the index of a container in rows; one without a meaning is Default.
func row(container int) int {
	for i := range rows {
		if rows[i].container == container {
			return i
		}
	}
	return 0
}

// Sees returns what members of a container may see of what the server adds.
func Sees(container int) Sight { return rows[row(container)].sees }

// Has reports whether all of want is in s.
func (s Sight) Has(want Sight) bool { return s&want == want }

// LooksOffline reports whether members of a container are shown an offline person
// whatever the truth is.
func LooksOffline(container int) bool { return container == Blocked }

// categories are the publications a watcher may be sent, with what the container
// must be allowed to see.
var categories = [...]struct {
	name  string
	needs Sight
}{
	{"contactCard", Name},
	{"state", Availability},
	{"note", Note},
	{"noteHistory", Note},
	{"calendarData", FreeBusy},
	{"services", Services},
	{"legacyInterop", Services},
}

// Shows reports whether watchers in a container may be sent a category. Settings
// such as routing, alerts, device and userProperties are for Self only, 2 and 3
// for nobody. A container without a meaning shows all that is for watchers: the
// user made it and published there on purpose.
func Shows(container int, category string) bool {
	switch container {
	case Self:
		return true
	case Aggregation, Aggregation3:
		return false
	}
	i := row(container)
	for _, c := range categories {
		if c.name == category {
			return rows[i].container != container || rows[i].sees.Has(c.needs) || category == "state" && LooksOffline(container)
		}
	}
	return false
}

// cards are the parts of a contact card by the path of their element, and by type
// for telephones.
var cards = [...]struct {
	path  string
	needs Sight
}{
	{"identity/name", Name}, {"identity/email", Email}, {"automaton", Name},
	{"title", Job}, {"company", Job}, {"department", Job}, {"url", Job},
	{"office", Office}, {"address", Office}, {"photo", Photo},
	{"phone/work", WorkPhone}, {"phone/voiceMail", WorkPhone},
	{"phone/mobile", Mobile}, {"phone/cell", Mobile},
	{"phone/home", HomePhone}, {"phone/other", OtherPhone}, {"phone/custom1", OtherPhone},
}

// ShowsField reports whether a container may see a part of a contact card, such as
// "title", "identity/email" or "phone/mobile". Parts it does not know are for Self.
func ShowsField(container int, path string) bool {
	for _, c := range cards {
		if c.path == path {
			return Sees(container).Has(c.needs)
		}
	}
	return container == Self
}
