// Package aggregate makes one presence state out of the many that a user's
// endpoints, calendar and telephone publish. It follows the aggregation of
// [MS-PRES] 3.8 and what Lync clients expect of it. All functions are pure and
// safe for concurrent use.
//
// The rules, in this order:
//
//  1. Nobody signed in: 18500.
//  2. Machine: the most active machineState counts, Active < Inactive < Unknown
//     < Away < Off. 0 is what a client publishes that only measures idle time, so
//     it is Inactive. A busy or do-not-disturb number on a machine is a person's
//     choice made there, hence Active; be-right-back is Away. With endpoints but no
//     machineState (a plain telephone) the machine counts as Active: the person
//     can be reached.
//  3. User: among several userStates the newest counts, 0 is ignored. From 12000
//     up it wins over everything else.
//  4. Do not disturb (9000 to 11999) of user, phone or calendar beats Busy.
//  5. Busy (6000 to 8999) of user, phone or calendar: the highest number. With a
//     machine that is inactive or away it is 7500.
//  6. Otherwise the machine: 3500, 5000 (Inactive, Unknown), 15500 or 18500.
//
// Container 3 is the same with every do-not-disturb input replaced by Busy 6900,
// "urgent-interruptions-only".
//
// Where the sources disagree we decided:
//
//   - A userState below 6000 is no choice: clients publish 3500 with manual="true"
//     for whoever never chose anything. It lifts neither meetings nor idleness.
//   - The age of a machineState against the userState does not matter: clients
//     that change a status publish both, so a contradiction only comes from
//     another endpoint, and there the person's own word counts.
//   - Busy on an away machine is 7500, not 15500: the reason is worth more to a
//     caller than the distance from the keyboard.
//   - Only machines at 18000 and above: phone and calendar do not lift somebody
//     out of Offline, an own choice does.
//   - Inactive is 5000, the number clients publish, not the end of its range.
//   - A calendar at 12000 or above (out of office) names the reason of an absence
//     but does not cause one: people on leave do sign in.
//   - An activity without bounds holds for the class of its own availability; with
//     one bound the other end is open.
//   - An offline person shows at most an activity of the calendar, so that "appear
//     offline" looks like offline; for the same reason its lastActive is the moment
//     of that choice, whatever the machines do afterwards.
package aggregate

import "trivet/uc"

// Numbers of [MS-PRES] that aggregation produces itself.
const (
	Available    = 3500
	Inactive     = 5000
	Urgent       = 6900 // busy, urgent interruptions only
	BusyInactive = 7500
	Away         = 15500
	Offline      = 18500
)

// Lower ends of the classes of availability. A class ends below the next one.
const (
	fromInactive     = 4500
	fromBusy         = 6000
	fromBusyInactive = 7500
	fromDoNotDisturb = 9000
	fromBeRightBack  = 12000
	fromAway         = 15000
	fromOffline      = 18000
)

// The containers that aggregation fills.
const (
	ForAll       = 2 // seen by the user and by containers 100, 200 and 400
	ForWorkgroup = 3 // seen by container 300
)

// Unknown is the Availability of a state that has no availability element.
const Unknown = -1

// Kind is the xsi:type of a state.
type Kind uint8

// The kinds of states. Compute uses UserState to Seen and ignores the others.
const (
	OtherState            Kind = iota // a type we do not know
	UserState                         // what the person chose
	MachineState                      // what one endpoint observes
	PhoneState                        // a call or conference
	CalendarState                     // a meeting or out of office
	Seen                              // no document: LastActive is when the user was last signed in
	AggregateState                    // an output
	AggregateMachineState             // an output
)

// Input is one published state. Times are Unix milliseconds, 0 for none.
type Input struct {
	Kind            Kind
	Availability    int // 0 to 65535, or Unknown
	Manual          bool
	Activity        Activity
	Published       int64         // when the server accepted it
	Start           int64         // startTime of a meeting or call
	LastActive      int64         // lastActive of a machineState
	Endpoint        uc.EndpointID // of a machineState
	Device          string        // "Mobile", "computer", …
	MeetingSubject  string
	MeetingLocation string
}

// Activity says in words what an availability says as a number.
type Activity struct {
	Token  string   // "on-the-phone", …
	Custom []Custom // own words of the user, one for each language
	Min    int      // lowest availability the activity belongs to, 0 for none given
	Max    int      // highest, 0 for none given
}

// Custom is an activity in the user's words. LCID is the language in decimal.
type Custom struct{ LCID, Text string }

// Empty reports whether the activity says nothing.
func (a Activity) Empty() bool { return a.Token == "" && len(a.Custom) == 0 }

// Result is the aggregate.
type Result struct {
	Availability    int
	Activity        Activity
	LastActive      int64  // when the person was last active; 0 unless inactive, away or offline
	Device          string // "Mobile" for somebody on mobile endpoints only
	MeetingSubject  string // in container 3 only
	MeetingLocation string
	Machine         int           // availability of the aggregated machine state
	Endpoint        uc.EndpointID // the most active endpoint, "" if no machineState is known
}

var urgent = Activity{Token: "urgent-interruptions-only", Min: Urgent, Max: fromDoNotDisturb - 1}

// Compute aggregates the inputs of a user with the given number of signed-in
// endpoints for container 2 or 3. The order of the inputs does not matter and
// they are not changed. The caller adds an Input of kind Seen when the user has
// signed out.
func Compute(inputs []Input, endpoints int, container int) Result {
	p := person{inputs: inputs, workgroup: container == ForWorkgroup}
	p.sift()
	r := Result{Availability: p.availability(endpoints), Machine: classes[p.machine].number, Endpoint: p.endpoint()}
	if endpoints <= 0 {
		r.Machine, r.Endpoint = Offline, ""
	}
	r.Activity = p.activity(r.Availability)
	r.LastActive = p.lastActive(r.Availability, endpoints)
	if r.Availability < fromOffline {
		r.Device = p.device()
		r.MeetingSubject, r.MeetingLocation = p.meeting()
	}
	return r
}
