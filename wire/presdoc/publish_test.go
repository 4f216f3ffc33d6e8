package presdoc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/wire/presdoc"
)

const (
	stateNS  = "http://schemas.microsoft.com/2006/09/sip/state"
	xsi      = "http://www.w3.org/2001/XMLSchema-instance"
	busyBody = `<state xmlns="` + stateNS + `" xmlns:xsi="` + xsi + `" manual="true" xsi:type="userState"><availability>6500</availability><endpointLocation/></state>`
)

const publishSample = `<publish xmlns="http://schemas.microsoft.com/2006/09/sip/rich-presence"><publications uri="sip:dora@example.test">` +
	`<publication categoryName="state" instance="536870912" container="2" version="0" expireType="static">` + busyBody + `</publication>` +
	`<publication categoryName="state" instance="805306369" container="3" version="7" expireType="endpoint">` + busyBody + `</publication>` +
	`<publication categoryName="note" instance="0" container="400" version="2" expireType="static" expires="0"/>` +
	`<publication categoryName="calendarData" instance="0" container="200" version="1" expireType="time" expires="3600"><calendarData/></publication>` +
	`</publications></publish>`

func TestParsePublish(t *testing.T) {
	got, err := presdoc.ParsePublish([]byte(publishSample))
	want := presdoc.Publish{URI: "sip:dora@example.test", Publications: []presdoc.Publication{
		{Category: "state", Instance: 536870912, Container: 2, Body: busyBody},
		{Category: "state", Instance: 805306369, Container: 3, Version: 7, ExpireType: presdoc.EndpointBound, Body: busyBody},
		{Category: "note", Container: 400, Version: 2, Remove: true},
		{Category: "calendarData", Container: 200, Version: 1, ExpireType: presdoc.TimeBound, Expires: 3600,
			Body: `<calendarData xmlns="http://schemas.microsoft.com/2006/09/sip/rich-presence"/>`},
	}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatalf("%v\n%s", err, d)
	}
	if again, err := presdoc.ParsePublish(got.Append(nil)); err != nil || !cmp.Equal(again, want) {
		t.Fatalf("%v\n%s", err, cmp.Diff(want, again))
	}
}

func TestPublishPayloadWithAncestorsPrefixes(t *testing.T) {
	doc := `<p:publish xmlns:p="rp" xmlns:s="` + stateNS + `"><p:publications uri="sip:a@b"><p:publication categoryName="state" instance="1" container="2">` +
		`<s:state xsi:type="userState"><s:availability>3500</s:availability></s:state></p:publication></p:publications></p:publish>`
	got, err := presdoc.ParsePublish([]byte(doc))
	want := `<s:state xmlns:s="` + stateNS + `" xmlns:xsi="` + xsi + `" xsi:type="userState"><s:availability>3500</s:availability></s:state>`
	if err != nil || got.Publications[0].Body != want {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestPublishDefaults(t *testing.T) {
	doc := `<publish><publications><publication categoryName="a"/><publication categoryName="b" expires="60"/></publications></publish>`
	got, err := presdoc.ParsePublish([]byte(doc))
	if err != nil || got.Publications[0].ExpireType != presdoc.Static || got.Publications[0].Remove || got.Publications[1].ExpireType != presdoc.TimeBound {
		t.Fatalf("%v, %+v", err, got)
	}
}

func publication(attrs, inner string) string {
	return `<publish><publications uri="sip:a@b"><publication ` + attrs + `>` + inner + `</publication></publications></publish>`
}

func TestParsePublishRefuses(t *testing.T) {
	for _, c := range []struct{ name, doc, text string }{
		{"no name", publication(`instance="1"`, ""), "categoryName"},
		{"long name", publication(`categoryName="`+strings.Repeat("x", 65)+`"`, ""), "categoryName"},
		{"instance", publication(`categoryName="a" instance="x"`, ""), "instance"},
		{"instance too big", publication(`categoryName="a" instance="4294967296"`, ""), "instance"},
		{"container", publication(`categoryName="a" container="-1"`, ""), "container"},
		{"version", publication(`categoryName="a" version="1.0"`, ""), "version"},
		{"expireType", publication(`categoryName="a" expireType="forever"`, ""), "expireType"},
		{"time without expires", publication(`categoryName="a" expireType="time"`, ""), "expires"},
		{"two bodies", publication(`categoryName="a"`, "<b/><c/>"), "one element"},
		{"prefix", publication(`categoryName="a"`, "<q:b/>"), "prefix q"},
		{"root", `<unpublish/>`, "publish"},
		{"cut off", publishSample[:len(publishSample)-20], "cut off"},
		{"too many", `<publish><publications>` + strings.Repeat(`<publication categoryName="a"/>`, 129) + `</publications></publish>`, "too many"},
		{"too large", publication(`categoryName="a"`, `<b>`+strings.Repeat(" ", 256<<10)+`</b>`), "too large"},
	} {
		got, err := presdoc.ParsePublish([]byte(c.doc))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.text) || got.Publications != nil {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestWrongDelta(t *testing.T) {
	ops := []presdoc.StaleOp{{Index: 1, CurVersion: 3}, {Index: 4}}
	doc := presdoc.AppendWrongDelta(nil, ops)
	want := `<Fault xmlns="http://schemas.microsoft.com/2006/09/sip/service-fault"><Faultcode>Client.BadCall.WrongDelta</Faultcode>` +
		`<details><operation index="1" curVersion="3"/><operation index="4" curVersion="0"/></details></Fault>`
	if string(doc) != want {
		t.Errorf("%s", doc)
	}
	if got, err := presdoc.ParseWrongDelta(doc); err != nil || !cmp.Equal(got, ops) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := presdoc.ParseWrongDelta([]byte(`<Fault><Faultcode>Server</Faultcode></Fault>`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("another fault: %v", err)
	}
}
