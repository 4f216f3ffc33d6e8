package aggregate_test

import (
	"testing"

	"trivet/rule/aggregate"
)

const (
	t1 = int64(1_800_000_001_000)
	t2 = int64(1_800_000_002_000)
	t3 = int64(1_800_000_003_000)
)

type in = aggregate.Input

func user(n int, at int64) in {
	return in{Kind: aggregate.UserState, Availability: n, Manual: true, Published: at}
}
func machine(n int, at int64) in {
	return in{Kind: aggregate.MachineState, Availability: n, Published: at}
}
func phone(n, low, high int, token string) in {
	return in{Kind: aggregate.PhoneState, Availability: n, Published: t2, Activity: aggregate.Activity{Token: token, Min: low, Max: high}}
}
func meeting(n int, token string) in {
	return in{Kind: aggregate.CalendarState, Availability: n, Published: t2, Start: t1,
		Activity: aggregate.Activity{Token: token, Min: 6500, Max: 8999}, MeetingSubject: "Budget", MeetingLocation: "Room 4"}
}
func leave() in {
	return in{Kind: aggregate.CalendarState, Availability: 15500, Published: t2, Activity: aggregate.Activity{Token: "out-of-office", Min: 12000}}
}

var call = phone(6500, 6500, 8999, "on-the-phone")
var conference = phone(7000, 7000, 8999, "in-a-conference")
var presenting = phone(9000, 9000, 11999, "in-presentation")

// decisions is the whole table. One number stands for both containers unless
// urgent gives that of container 3.
var decisions = []struct {
	name      string
	inputs    []in
	endpoints int
	want      int
	urgent    int
	token     string
	token3    string
	last      int64
}{
	{name: "nobody signed in", want: 18500},
	{name: "static available survives but nobody is there", inputs: []in{user(3500, t1)}, want: 18500},
	{name: "static busy survives but nobody is there", inputs: []in{user(6500, t1)}, want: 18500},
	{name: "signed out keeps when", inputs: []in{{Kind: aggregate.Seen, LastActive: t2}}, want: 18500, last: t2},
	{name: "signed out while appearing offline hides when", inputs: []in{user(18500, t1), {Kind: aggregate.Seen, LastActive: t2}}, want: 18500, last: t1},
	{name: "signed out on leave", inputs: []in{leave(), {Kind: aggregate.Seen, LastActive: t2}}, want: 18500, token: "out-of-office", last: t2},

	{name: "telephone without publications", endpoints: 1, want: 3500},
	{name: "telephone of a busy user", inputs: []in{user(6500, t1)}, endpoints: 1, want: 6500},
	{name: "active machine", inputs: []in{machine(3500, t1)}, endpoints: 1, want: 3500},
	{name: "schema's low numbers are active", inputs: []in{machine(1, t1)}, endpoints: 1, want: 3500},
	{name: "idle machine", inputs: []in{machine(5000, t1)}, endpoints: 1, want: 5000, last: t1},
	{name: "idle by 0", inputs: []in{machine(0, t1)}, endpoints: 1, want: 5000, last: t1},
	{name: "machine without availability", inputs: []in{machine(aggregate.Unknown, t1)}, endpoints: 1, want: 5000, last: t1},
	{name: "away machine", inputs: []in{machine(15500, t1)}, endpoints: 1, want: 15500, last: t1},
	{name: "be right back on the machine", inputs: []in{machine(12500, t1)}, endpoints: 1, want: 15500, last: t1},
	{name: "machine off", inputs: []in{machine(18500, t1)}, endpoints: 1, want: 18500, last: t1},
	{name: "busy on the machine alone is activity", inputs: []in{machine(6500, t1)}, endpoints: 1, want: 3500},
	{name: "busy-idle on the machine alone is idleness", inputs: []in{machine(7500, t1)}, endpoints: 1, want: 5000, last: t1},
	{name: "do not disturb on the machine alone is activity", inputs: []in{machine(9500, t1)}, endpoints: 1, want: 3500},

	{name: "most active of two", inputs: []in{machine(15500, t2), machine(3500, t1)}, endpoints: 2, want: 3500},
	{name: "inactive before away", inputs: []in{machine(15500, t1), machine(5000, t2)}, endpoints: 2, want: 5000, last: t2},
	{name: "unknown before away", inputs: []in{machine(15500, t1), machine(aggregate.Unknown, t2)}, endpoints: 2, want: 5000, last: t2},
	{name: "away before off", inputs: []in{machine(18500, t2), machine(15500, t1)}, endpoints: 2, want: 15500, last: t2},

	{name: "available is no choice, idle", inputs: []in{user(3500, t2), machine(5000, t1)}, endpoints: 1, want: 5000, last: t1},
	{name: "available is no choice, away", inputs: []in{user(3500, t2), machine(15500, t1)}, endpoints: 1, want: 15500, last: t1},
	{name: "available is no choice, meeting", inputs: []in{user(3500, t2), machine(3500, t1), meeting(6500, "in-a-meeting")}, endpoints: 1, want: 6500, token: "in-a-meeting"},
	{name: "user's 0 is nothing", inputs: []in{user(0, t2), user(6500, t1), machine(3500, t1)}, endpoints: 1, want: 6500},
	{name: "busy", inputs: []in{user(6500, t1), machine(6500, t1)}, endpoints: 1, want: 6500},
	{name: "busy, inactive", inputs: []in{user(6500, t1), machine(0, t2)}, endpoints: 1, want: 7500, last: t2},
	{name: "busy, away", inputs: []in{user(6500, t1), machine(15500, t2)}, endpoints: 1, want: 7500, last: t2},
	{name: "busy, machine off", inputs: []in{user(6500, t1), machine(18500, t2)}, endpoints: 1, want: 7500, last: t2},
	{name: "idle numbers are not a user's to choose", inputs: []in{user(7500, t1), machine(3500, t1)}, endpoints: 1, want: 6500},
	{name: "be right back", inputs: []in{user(12500, t1), machine(12500, t1)}, endpoints: 1, want: 12500},
	{name: "be right back during a call", inputs: []in{user(12500, t1), machine(3500, t2), call}, endpoints: 1, want: 12500},
	{name: "chosen away on an active machine", inputs: []in{user(15500, t1), machine(3500, t2)}, endpoints: 2, want: 15500, last: t1},
	{name: "appear offline", inputs: []in{user(18500, t1), machine(18500, t1)}, endpoints: 1, want: 18500, last: t1},
	{name: "appear offline tells nothing", inputs: []in{user(18500, t1), machine(15500, t3), call, meeting(6500, "in-a-meeting")}, endpoints: 2, want: 18500, last: t1},
	{name: "numbers past the end are offline", inputs: []in{user(60000, t1), machine(3500, t1)}, endpoints: 1, want: 18500, last: t1},
	{name: "newest of static and time-bound choice", inputs: []in{user(6500, t1), user(3500, t2), machine(3500, t2)}, endpoints: 1, want: 3500},
	{name: "same time: the less available", inputs: []in{user(6500, t1), user(3500, t1), machine(3500, t2)}, endpoints: 1, want: 6500},

	{name: "do not disturb", inputs: []in{user(9500, t1), machine(9500, t1)}, endpoints: 1, want: 9500, urgent: 6900, token3: "urgent-interruptions-only"},
	{name: "do not disturb beats a call", inputs: []in{user(9500, t1), machine(3500, t1), call}, endpoints: 1, want: 9500, urgent: 6900, token3: "urgent-interruptions-only"},
	{name: "do not disturb, conference", inputs: []in{user(9500, t1), machine(3500, t1), conference}, endpoints: 1, want: 9500, urgent: 7000, token3: "in-a-conference"},
	{name: "do not disturb, idle", inputs: []in{user(9500, t1), machine(5000, t2)}, endpoints: 1, want: 9500, urgent: 7500, token3: "urgent-interruptions-only"},
	{name: "do not disturb, away", inputs: []in{user(9500, t1), machine(15500, t2)}, endpoints: 1, want: 9500, urgent: 7500, token3: "urgent-interruptions-only"},
	{name: "do not disturb, machine off", inputs: []in{user(9500, t1), machine(18500, t2)}, endpoints: 1, want: 9500, urgent: 7500, token3: "urgent-interruptions-only"},
	{name: "presenting", inputs: []in{user(3500, t1), machine(3500, t1), presenting}, endpoints: 1, want: 9000, token: "in-presentation", urgent: 6900, token3: "urgent-interruptions-only"},
	{name: "presenting while busy", inputs: []in{user(6500, t1), machine(3500, t1), presenting}, endpoints: 1, want: 9000, token: "in-presentation", urgent: 6900, token3: "urgent-interruptions-only"},

	{name: "call", inputs: []in{user(3500, t1), machine(3500, t1), call}, endpoints: 1, want: 6500, token: "on-the-phone"},
	{name: "call on an idle machine", inputs: []in{machine(5000, t1), call}, endpoints: 1, want: 7500, token: "on-the-phone", last: t1},
	{name: "call does not lift offline", inputs: []in{machine(18500, t1), call}, endpoints: 1, want: 18500, last: t1},
	{name: "call and conference", inputs: []in{machine(3500, t1), call, conference}, endpoints: 1, want: 7000, token: "in-a-conference"},
	{name: "call in a meeting: the call is newer", inputs: []in{machine(3500, t1), call, meeting(6500, "in-a-meeting")}, endpoints: 1, want: 6500, token: "on-the-phone"},
	{name: "leave does not move an active person", inputs: []in{user(3500, t1), machine(3500, t1), leave()}, endpoints: 1, want: 3500},
	{name: "leave explains an away person", inputs: []in{user(3500, t1), machine(15500, t1), leave()}, endpoints: 1, want: 15500, token: "out-of-office", last: t1},
	{name: "leave explains appear offline", inputs: []in{user(18500, t1), machine(3500, t1), leave()}, endpoints: 1, want: 18500, token: "out-of-office", last: t1},
	{name: "free time in the calendar", inputs: []in{machine(3500, t1), meeting(3500, "free")}, endpoints: 1, want: 3500},
	{name: "outputs are not inputs", inputs: []in{machine(3500, t1), {Kind: aggregate.AggregateState, Availability: 9500, Published: t3}, {Kind: aggregate.OtherState, Availability: 15500}}, endpoints: 1, want: 3500},
}

func TestDecisionTable(t *testing.T) {
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			urgent, token3 := d.want, d.token
			if d.urgent != 0 {
				urgent, token3 = d.urgent, d.token3
			}
			all := aggregate.Compute(d.inputs, d.endpoints, aggregate.ForAll)
			if all.Availability != d.want || all.Activity.Token != d.token || all.LastActive != d.last {
				t.Errorf("container 2: %d %q at %d, want %d %q at %d", all.Availability, all.Activity.Token, all.LastActive, d.want, d.token, d.last)
			}
			group := aggregate.Compute(d.inputs, d.endpoints, aggregate.ForWorkgroup)
			if group.Availability != urgent || group.Activity.Token != token3 {
				t.Errorf("container 3: %d %q, want %d %q", group.Availability, group.Activity.Token, urgent, token3)
			}
		})
	}
}

func TestMachineOutput(t *testing.T) {
	laptop, desk := machine(0, t2), machine(3500, t1)
	laptop.Endpoint, desk.Endpoint = "laptop", "desk"
	for _, c := range []struct {
		name      string
		inputs    []in
		endpoints int
		number    int
		endpoint  string
	}{
		{"none", nil, 0, 18500, ""},
		{"telephone only", nil, 1, 3500, ""},
		{"stale machine after sign-out", []in{desk}, 0, 18500, ""},
		{"idle", []in{laptop}, 1, 5000, "laptop"},
		{"two", []in{laptop, desk}, 2, 3500, "desk"},
	} {
		r := aggregate.Compute(c.inputs, c.endpoints, aggregate.ForAll)
		if r.Machine != c.number || string(r.Endpoint) != c.endpoint {
			t.Errorf("%s: %d of %q, want %d of %q", c.name, r.Machine, r.Endpoint, c.number, c.endpoint)
		}
	}
}

func TestMobileOnlyWhenNothingElseIsOn(t *testing.T) {
	mobile, desk, dark := machine(3500, t1), machine(5000, t1), machine(18500, t1)
	mobile.Device, desk.Device = "mobile", "computer"
	for _, c := range []struct {
		name   string
		inputs []in
		want   string
	}{
		{"mobile", []in{mobile}, "Mobile"}, {"mobile and computer", []in{mobile, desk}, ""},
		{"mobile and a computer that is off", []in{mobile, dark}, "Mobile"}, {"none", nil, ""},
	} {
		if r := aggregate.Compute(c.inputs, 2, aggregate.ForAll); r.Device != c.want {
			t.Errorf("%s: %q, want %q", c.name, r.Device, c.want)
		}
	}
}

func TestMeetingDetailsAreForTheWorkgroup(t *testing.T) {
	inputs := []in{machine(3500, t1), meeting(6500, "in-a-meeting")}
	if r := aggregate.Compute(inputs, 1, aggregate.ForAll); r.MeetingSubject != "" || r.MeetingLocation != "" {
		t.Errorf("container 2 shows %q in %q", r.MeetingSubject, r.MeetingLocation)
	}
	if r := aggregate.Compute(inputs, 1, aggregate.ForWorkgroup); r.MeetingSubject != "Budget" || r.MeetingLocation != "Room 4" {
		t.Errorf("container 3 shows %q in %q", r.MeetingSubject, r.MeetingLocation)
	}
	hidden := append(inputs, user(18500, t3))
	if r := aggregate.Compute(hidden, 1, aggregate.ForWorkgroup); r.MeetingSubject != "" {
		t.Errorf("appear offline shows %q", r.MeetingSubject)
	}
}

func TestActivityWithoutBoundsHoldsForItsClass(t *testing.T) {
	lunch := user(3500, t1)
	lunch.Activity.Custom = []aggregate.Custom{{LCID: "1033", Text: "At lunch"}}
	if r := aggregate.Compute([]in{lunch, machine(5000, t2)}, 1, 2); r.Activity.Empty() {
		t.Error("own words are gone when the machine is inactive")
	}
	if r := aggregate.Compute([]in{lunch, machine(15500, t2)}, 1, 2); !r.Activity.Empty() {
		t.Error("own words of Available are shown at Away")
	}
}

func TestLastActiveOfAClientInTheFutureIsCutToOurTime(t *testing.T) {
	m := machine(5000, t2)
	m.LastActive = t1
	if r := aggregate.Compute([]in{m}, 1, 2); r.LastActive != t1 {
		t.Errorf("lastActive %d, want the client's %d", r.LastActive, t1)
	}
	m.LastActive = t3
	if r := aggregate.Compute([]in{m}, 1, 2); r.LastActive != t2 {
		t.Errorf("lastActive %d, want ours %d", r.LastActive, t2)
	}
}
