package aggregate

import (
	"cmp"
	"slices"
)

// person is a computation under way.
type person struct {
	inputs    []Input
	workgroup bool   // container 3: do not disturb becomes urgent interruptions only
	user      *Input // the userState that counts, nil if none
	machine   class
	busy      int  // highest number of busy or do not disturb, 0 for none
	own       bool // the user state itself is busy or do not disturb
}

// sift finds the input of each kind that counts.
func (p *person) sift() {
	machines := false
	p.machine = off
	for i := range p.inputs {
		in := &p.inputs[i]
		switch in.Kind {
		case UserState:
			if in.Availability > 0 && (p.user == nil || p.user.compare(in) < 0) {
				p.user = in
			}
		case MachineState:
			machines = true
			p.machine = min(p.machine, classify(in.Availability))
		case PhoneState, CalendarState:
			p.busy = max(p.busy, p.business(in))
		}
	}
	if !machines {
		p.machine = active
	}
	if p.user != nil {
		n := p.business(p.user)
		p.busy, p.own = max(p.busy, n), n > 0
	}
}

// business is the number of an input that makes busy or do not disturb, else 0.
// Idle variants are the server's to make, so they count as plain busy.
func (p *person) business(in *Input) int {
	switch n := in.Availability; {
	case n < fromBusy || n >= fromBeRightBack:
		return 0
	case n >= fromDoNotDisturb && p.workgroup:
		return Urgent
	case n >= fromBusyInactive && n < fromDoNotDisturb:
		return 6500
	default:
		return n
	}
}

func (p *person) availability(endpoints int) int {
	switch {
	case endpoints <= 0:
		return Offline
	case p.user != nil && p.user.Availability >= fromOffline:
		return Offline
	case p.user != nil && p.user.Availability >= fromBeRightBack:
		return p.user.Availability
	case p.machine == off && !p.own:
		return Offline
	case p.busy >= fromDoNotDisturb, p.busy > 0 && p.machine == active:
		return p.busy
	case p.busy > 0:
		return BusyInactive
	default:
		return classes[p.machine].number
	}
}

// activity chooses among the activities that hold at the availability the one
// with the highest minimum, then the latest.
func (p *person) activity(availability int) Activity {
	var best Activity
	var floor int
	var since int64
	for i := range p.inputs {
		in := &p.inputs[i]
		if !p.speaks(in, availability) {
			continue
		}
		a := in.Activity
		if p.workgroup && in.Availability >= fromDoNotDisturb && in.Availability < fromBeRightBack {
			a = urgent
		}
		low, high := a.bounds(in.Availability)
		if a.Empty() || availability < low || availability > high {
			continue
		}
		t := in.Start
		if t <= 0 {
			t = in.Published
		}
		if best.Empty() || cmp.Or(cmp.Compare(low, floor), cmp.Compare(t, since), a.compare(best)) > 0 {
			best, floor, since = a, low, t
		}
	}
	return best
}

// speaks reports whether the activity of an input may be shown at all.
func (p *person) speaks(in *Input, availability int) bool {
	switch in.Kind {
	case CalendarState:
		return true
	case PhoneState:
		return availability < fromOffline
	case UserState:
		return availability < fromOffline && in == p.user
	case MachineState:
		return availability < fromOffline && classify(in.Availability) == p.machine
	}
	return false
}

// ends are the classes for activities without bounds of their own.
var ends = [...]int{0, fromBusy, fromDoNotDisturb, fromBeRightBack, fromAway, fromOffline, maxAvailability + 1}

// bounds are the availabilities at which an activity of a state holds.
func (a Activity) bounds(availability int) (low, high int) {
	low, high = a.Min, a.Max
	if low == 0 && high == 0 {
		for i := 1; i < len(ends); i++ {
			if availability < ends[i] {
				return ends[i-1], ends[i] - 1
			}
		}
	}
	if high == 0 {
		high = maxAvailability
	}
	return low, high
}

// meeting is the subject and place of the calendar's meeting, for container 3.
func (p *person) meeting() (subject, location string) {
	var best *Input
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.Kind == CalendarState && p.business(in) > 0 && (best == nil || best.compare(in) < 0) {
			best = in
		}
	}
	if best == nil || !p.workgroup {
		return "", ""
	}
	return best.MeetingSubject, best.MeetingLocation
}

// compare orders inputs of one kind by age, then by content so that equal times
// do not make the order of inputs matter.
func (in *Input) compare(other *Input) int {
	return cmp.Or(
		cmp.Compare(in.Published, other.Published),
		cmp.Compare(in.Availability, other.Availability),
		cmp.Compare(in.Start, other.Start),
		in.Activity.compare(other.Activity),
		cmp.Compare(in.MeetingSubject, other.MeetingSubject),
		cmp.Compare(in.MeetingLocation, other.MeetingLocation),
	)
}

func (a Activity) compare(other Activity) int {
	return cmp.Or(
		cmp.Compare(a.Min, other.Min), cmp.Compare(a.Max, other.Max), cmp.Compare(a.Token, other.Token),
		slices.CompareFunc(a.Custom, other.Custom, func(x, y Custom) int {
			return cmp.Or(cmp.Compare(x.LCID, y.LCID), cmp.Compare(x.Text, y.Text))
		}),
	)
}
