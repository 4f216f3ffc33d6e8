package aggregate

import (
	"strings"

	"trivet/uc"
)

// class orders machines by how close the person is.
type class uint8

const (
	active class = iota
	inactive
	unknown
	away
	off
)

var classes = [...]struct {
	number int // availability that stands for the class
}{
	active:   {Available},
	inactive: {Inactive},
	unknown:  {Inactive},
	away:     {Away},
	off:      {Offline},
}

// steps classify the availability of a machine: a row counts up to the next.
var steps = [...]struct {
	from  int
	class class
}{
	{fromOffline, off},
	{fromBeRightBack, away},
	{fromDoNotDisturb, active},
	{fromBusyInactive, inactive},
	{fromBusy, active},
	{fromInactive, inactive},
	{1, active},
	{0, inactive},
}

func classify(availability int) class {
	for _, s := range steps {
		if availability >= s.from {
			return s.class
		}
	}
	return unknown
}

// endpoint names the machine of the best class that published last.
func (p *person) endpoint() uc.EndpointID {
	var best *Input
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.Kind != MachineState || classify(in.Availability) != p.machine {
			continue
		}
		if best == nil || in.Published > best.Published || in.Published == best.Published && in.Endpoint < best.Endpoint {
			best = in
		}
	}
	if best == nil {
		return ""
	}
	return best.Endpoint
}

// device is "Mobile" when no machine but mobile ones is on.
func (p *person) device() string {
	mobile := ""
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.Kind != MachineState || classify(in.Availability) == off {
			continue
		}
		if !strings.EqualFold(in.Device, "Mobile") {
			return ""
		}
		mobile = "Mobile"
	}
	return mobile
}

// lastActive is the time shown to watchers who see the availability.
func (p *person) lastActive(availability, endpoints int) int64 {
	shown := availability >= fromInactive && availability < fromBusy ||
		availability >= fromBusyInactive && availability < fromDoNotDisturb || availability >= fromAway
	if !shown {
		return 0
	}
	if p.user != nil && (p.user.Availability >= fromOffline || endpoints > 0 && p.user.Availability >= fromAway) {
		return p.user.Published
	}
	var last int64
	for i := range p.inputs {
		last = max(last, p.inputs[i].activeAt())
	}
	return last
}

// activeAt is the last activity an input tells of. The server's time bounds what
// a client says about its own past.
func (in *Input) activeAt() int64 {
	switch in.Kind {
	case Seen:
		return in.LastActive
	case MachineState:
		if in.LastActive > 0 && in.LastActive < in.Published {
			return in.LastActive
		}
		return in.Published
	}
	return 0
}
