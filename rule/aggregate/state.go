package aggregate

import (
	"strconv"
	"strings"
	"time"

	"trivet/fault"
)

// Limits of a state fragment.
const (
	maxFragment     = 16 << 10
	maxDepth        = 16
	maxText         = 1024
	maxToken        = 128
	maxCustom       = 8
	maxAvailability = 65535
)

var kinds = [...]struct {
	name string
	kind Kind
}{
	{"userState", UserState}, {"machineState", MachineState}, {"phoneState", PhoneState}, {"calendarState", CalendarState},
	{"aggregateState", AggregateState}, {"aggregateMachineState", AggregateMachineState},
}

// ParseState reads a state element of [MS-PRES] 2.2.2 in any namespace spelling.
// Published and Endpoint are left for the caller. Elements it does not know are
// skipped; a type it does not know gives OtherState. Errors are fault.Invalid.
func ParseState(raw []byte) (Input, error) {
	in := Input{Availability: Unknown}
	if len(raw) > maxFragment {
		return Input{}, bad("a state may have at most 16384 bytes")
	}
	s := fragment{rest: string(raw)}
	for {
		n, ok, err := s.next()
		if err != nil {
			return Input{}, err
		}
		if !ok {
			break
		}
		if err := in.take(n); err != nil {
			return Input{}, err
		}
	}
	if !s.seen {
		return Input{}, bad("a state publication needs a state element")
	}
	return in, nil
}

// take stores what one start tag or text says.
func (in *Input) take(n node) error {
	var err error
	switch n.path {
	case "state":
		in.Manual = n.attr("manual") == "true" || n.attr("manual") == "1"
		in.Kind = kindOf(n.attr("type"))
		if in.LastActive, err = parseTime(n.attr("lastActive"), "lastActive"); err == nil {
			in.Start, err = parseTime(n.attr("startTime"), "startTime")
		}
	case "state/availability#":
		in.Availability, err = parseNumber(n.text, "availability")
	case "state/activity":
		err = in.Activity.take(n)
	case "state/activity/custom":
		if len(in.Activity.Custom) >= maxCustom {
			return bad("an activity may have at most 8 custom texts")
		}
		in.Activity.Custom = append(in.Activity.Custom, Custom{})
		err = limit(n.attr("LCID"), &in.Activity.Custom[len(in.Activity.Custom)-1].LCID, "LCID")
	case "state/activity/custom#":
		err = limit(n.text, &in.Activity.Custom[len(in.Activity.Custom)-1].Text, "custom")
	case "state/device#":
		err = limit(n.text, &in.Device, "device")
	case "state/meetingSubject#":
		err = limit(n.text, &in.MeetingSubject, "meetingSubject")
	case "state/meetingLocation#":
		err = limit(n.text, &in.MeetingLocation, "meetingLocation")
	default:
		if !strings.HasPrefix(n.path, "state/") && n.path != "state#" {
			return bad("the root of a state publication must be state")
		}
	}
	return err
}

func (a *Activity) take(n node) error {
	if a.Token = n.attr("token"); len(a.Token) > maxToken {
		return bad("an activity token may have at most 128 bytes")
	}
	var err error
	if v := n.attr("minAvailability"); v != "" {
		if a.Min, err = parseNumber(v, "minAvailability"); err != nil {
			return err
		}
	}
	if v := n.attr("maxAvailability"); v != "" {
		a.Max, err = parseNumber(v, "maxAvailability")
	}
	return err
}

func kindOf(name string) Kind {
	name = name[strings.LastIndexByte(name, ':')+1:]
	for _, k := range kinds {
		if k.name == name {
			return k.kind
		}
	}
	return OtherState
}

func parseNumber(s, field string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil {
		return 0, bad(field + " must be a number from 0 to 65535")
	}
	return int(n), nil
}

// parseTime reads an xs:dateTime; without a zone it is UTC. "" is 0.
func parseTime(s, field string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	if err != nil || t.Year() < 1970 || t.Year() > 9998 {
		return 0, bad(field + " must be a time such as 2026-11-20T21:27:42Z")
	}
	return t.UnixMilli(), nil
}

func limit(s string, to *string, field string) error {
	if *to += s; len(*to) > maxText {
		return bad(field + " may have at most 1024 bytes")
	}
	return nil
}

func bad(text string) error { return fault.New(fault.Invalid, "aggregate.ParseState", text) }

const head = `<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="`

// AppendState appends the aggregateState element.
func (r Result) AppendState(b []byte) []byte {
	b = append(append(b, head...), `aggregateState"`...)
	b = appendTime(b, ` lastActive="`, r.LastActive)
	b = append(b, "><availability>"...)
	b = strconv.AppendInt(b, int64(r.Availability), 10)
	b = append(b, "</availability>"...)
	b = r.Activity.append(b)
	b = element(b, "device", r.Device)
	b = append(b, "<endpointLocation/>"...)
	b = element(b, "meetingSubject", r.MeetingSubject)
	b = element(b, "meetingLocation", r.MeetingLocation)
	return append(b, "</state>"...)
}

// AppendMachineState appends the aggregateMachineState element.
func (r Result) AppendMachineState(b []byte) []byte {
	b = append(append(b, head...), `aggregateMachineState"><availability>`...)
	b = strconv.AppendInt(b, int64(r.Machine), 10)
	b = append(b, "</availability>"...)
	b = element(b, "device", r.Device)
	return append(b, "<endpointLocation/></state>"...)
}

func (a Activity) append(b []byte) []byte {
	if a.Empty() {
		return b
	}
	b = append(b, "<activity"...)
	if a.Token != "" {
		b = append(escape(append(b, ` token="`...), a.Token), '"')
	}
	b = number(b, ` minAvailability="`, a.Min)
	b = number(b, ` maxAvailability="`, a.Max)
	if len(a.Custom) == 0 {
		return append(b, "/>"...)
	}
	b = append(b, '>')
	for _, c := range a.Custom {
		b = append(b, "<custom"...)
		if c.LCID != "" {
			b = append(escape(append(b, ` LCID="`...), c.LCID), '"')
		}
		b = append(escape(append(b, '>'), c.Text), "</custom>"...)
	}
	return append(b, "</activity>"...)
}

func number(b []byte, start string, n int) []byte {
	if n <= 0 {
		return b
	}
	return append(strconv.AppendInt(append(b, start...), int64(n), 10), '"')
}

func appendTime(b []byte, start string, ms int64) []byte {
	if ms <= 0 {
		return b
	}
	b = time.UnixMilli(ms).UTC().AppendFormat(append(b, start...), "2006-01-02T15:04:05.000Z")
	return append(b, '"')
}

func element(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(append(append(b, '<'), name...), '>')
	b = escape(b, text)
	return append(append(append(b, "</"...), name...), '>')
}

func escape(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '&':
			b = append(b, "&amp;"...)
		case '"':
			b = append(b, "&quot;"...)
		case '\t', '\n', '\r':
			b = append(strconv.AppendInt(append(b, "&#"...), int64(c), 10), ';')
		default:
			b = append(b, c)
		}
	}
	return b
}
