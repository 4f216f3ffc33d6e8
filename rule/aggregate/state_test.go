package aggregate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/aggregate"
)

const ns = ` xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`

func TestParseState(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      in
	}{
		{"user", `<state` + ns + ` manual="true" xsi:type="userState"><availability>6500</availability><endpointLocation/></state>`,
			in{Kind: aggregate.UserState, Availability: 6500, Manual: true}},
		{"machine", `<s:state xmlns:s="x" xmlns:xsi="y" manual="false" lastActive="2027-01-15T08:00:01Z" xsi:type="machineState"><s:availability> 0 </s:availability><s:device>Mobile</s:device></s:state>`,
			in{Kind: aggregate.MachineState, LastActive: t1, Device: "Mobile"}},
		{"phone", `<state` + ns + ` xsi:type="phoneState"><availability>6500</availability><activity token="on-the-phone" minAvailability="6500" maxAvailability="8999"/></state>`,
			in{Kind: aggregate.PhoneState, Availability: 6500, Activity: aggregate.Activity{Token: "on-the-phone", Min: 6500, Max: 8999}}},
		{"calendar", `<?xml version="1.0"?><!-- from the mailbox --><state` + ns + ` xsi:type="calendarState" startTime="2027-01-15T08:00:01.000"><availability>6500</availability><activity><custom LCID="1031">R&amp;D &#x2713;</custom><custom><![CDATA[a<b]]></custom></activity><meetingSubject>Q4</meetingSubject><meetingLocation>North</meetingLocation></state>`,
			in{Kind: aggregate.CalendarState, Availability: 6500, Start: t1, MeetingSubject: "Q4", MeetingLocation: "North",
				Activity: aggregate.Activity{Custom: []aggregate.Custom{{LCID: "1031", Text: "R&D ✓"}, {Text: "a<b"}}}}},
		{"declaration named type", `<state xmlns:type="userState"/>`, in{Availability: aggregate.Unknown}},
		{"new type", `<state xsi:type="moodState"><availability>1</availability></state>`, in{Availability: 1}},
	} {
		got, err := aggregate.ParseState([]byte(c.raw))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestParseStateRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":             ``,
		"another root":        `<note/>`,
		"text":                `6500`,
		"cut off":             `<state><availability>6500`,
		"crossed tags":        `<state><a></state></a>`,
		"two roots":           `<state/><state/>`,
		"negative":            `<state><availability>-1</availability></state>`,
		"too big":             `<state><availability>65536</availability></state>`,
		"words":               `<state><availability>busy</availability></state>`,
		"document type":       `<!DOCTYPE state [<!ENTITY a "b">]><state/>`,
		"own entity":          `<state><device>&a;</device></state>`,
		"character zero":      `<state><device>&#0;</device></state>`,
		"control character":   "<state><device>\x01</device></state>",
		"not UTF-8":           "<state><device>\xff</device></state>",
		"deep":                strings.Repeat("<state>", 17) + strings.Repeat("</state>", 17),
		"long subject":        `<state><meetingSubject>` + strings.Repeat("x", 1025) + `</meetingSubject></state>`,
		"long token":          `<state><activity token="` + strings.Repeat("x", 129) + `"/></state>`,
		"many customs":        `<state><activity>` + strings.Repeat("<custom/>", 9) + `</activity></state>`,
		"huge":                `<state>` + strings.Repeat(" ", 16<<10) + `</state>`,
		"time":                `<state lastActive="yesterday"/>`,
		"bound":               `<state><activity minAvailability="x"/></state>`,
		"unquoted":            `<state manual=true/>`,
		"endless CDATA":       `<state><![CDATA[x</state>`,
		"endless comment":     `<state><!-- x</state>`,
		"endless instruction": `<?xml <state/>`,
	} {
		if got, err := aggregate.ParseState([]byte(raw)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestAppendState(t *testing.T) {
	r := aggregate.Result{Availability: 7500, LastActive: t1, Device: "Mobile", Machine: 5000, MeetingSubject: "<Q4>",
		Activity: aggregate.Activity{Token: "on-the-phone", Min: 6500, Max: 8999, Custom: []aggregate.Custom{{LCID: "1033", Text: `"R&D"`}}}}
	want := `<state` + ns + ` xsi:type="aggregateState" lastActive="2027-01-15T08:00:01.000Z"><availability>7500</availability>` +
		`<activity token="on-the-phone" minAvailability="6500" maxAvailability="8999"><custom LCID="1033">&quot;R&amp;D&quot;</custom></activity>` +
		`<device>Mobile</device><endpointLocation/><meetingSubject>&lt;Q4&gt;</meetingSubject></state>`
	if got := string(r.AppendState(nil)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	want = `<state` + ns + ` xsi:type="aggregateMachineState"><availability>5000</availability><device>Mobile</device><endpointLocation/></state>`
	if got := string(r.AppendMachineState(nil)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	back, err := aggregate.ParseState(r.AppendState(nil))
	if err != nil || back.Kind != aggregate.AggregateState || back.LastActive != t1 || !cmp.Equal(back.Activity, r.Activity) || back.MeetingSubject != "<Q4>" {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`<state` + ns + ` xsi:type="userState"><availability>3500</availability><activity token="x"><custom LCID="1">&#65;</custom></activity></state>`))
	f.Add([]byte(`<a:state><!-- --><?x?><![CDATA[]]></a:state>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := aggregate.ParseState(raw)
		if err != nil {
			return
		}
		r := aggregate.Result{Availability: 3500, Activity: got.Activity, Device: got.Device, MeetingSubject: got.MeetingSubject, MeetingLocation: got.MeetingLocation}
		back, err := aggregate.ParseState(r.AppendState(nil))
		if len(raw) < 2000 && err != nil {
			t.Fatalf("our own state is refused: %v", err)
		}
		if err == nil && (back.Activity.Token != got.Activity.Token || back.Device != got.Device || back.MeetingSubject != got.MeetingSubject) {
			t.Fatalf("%+v became %+v", got, back)
		}
	})
}
