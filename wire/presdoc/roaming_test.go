package presdoc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/wire/presdoc"
)

const at = int64(1_800_000_001_000) // 2027-01-15T08:00:01 UTC

func TestRoaming(t *testing.T) {
	r := presdoc.Roaming{
		Categories: &presdoc.Categories{URI: "dora@example.test", Names: []string{"state", "note"}, List: []presdoc.Category{
			{Name: "state", Instance: 536870912, Container: 2, Version: 3, PublishTime: at, Body: busyBody},
			{Name: "state", Instance: 1, Container: 2, Version: 1, PublishTime: at, ExpireType: presdoc.UserBound},
			{Name: "calendarData", Container: 200, Version: 1, ExpireType: presdoc.TimeBound, Expires: 60},
		}},
		Containers: []presdoc.Container{
			{ID: 200, Version: 1, Members: []presdoc.Member{{Type: "sameEnterprise"}, {Type: "user", Value: "sip:emil@example.test"}, {Type: "domain", Value: "partner.test"}}},
			{ID: 400},
		},
		Subscribers: []presdoc.Subscriber{{User: "sip:emil@example.test", DisplayName: `Emil "E"`, Type: "sameEnterprise"}},
	}
	want := `<roamingData xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self">` +
		`<categories xmlns="http://schemas.microsoft.com/2006/09/sip/categories" uri="sip:dora@example.test">` +
		`<category name="state" instance="536870912" publishTime="2027-01-15T08:00:01.000" container="2" version="3" expireType="static">` + busyBody + `</category>` +
		`<category name="state" instance="1" publishTime="2027-01-15T08:00:01.000" container="2" version="1" expireType="user"/>` +
		`<category name="calendarData" instance="0" container="200" version="1" expireType="time" expires="60"/>` +
		`<category name="note"/></categories>` +
		`<containers xmlns="http://schemas.microsoft.com/2006/09/sip/container-management"><container id="200" version="1"><member type="sameEnterprise"/>` +
		`<member type="user" value="emil@example.test"/><member type="domain" value="partner.test"/></container><container id="400" version="0"/></containers>` +
		`<subscribers xmlns="http://schemas.microsoft.com/2006/09/sip/presence-subscribers">` +
		`<subscriber user="emil@example.test" displayName="Emil &quot;E&quot;" acknowledged="false" type="sameEnterprise"/></subscribers></roamingData>`
	doc := r.Append(nil)
	if string(doc) != want {
		t.Fatalf("%s\nwant\n%s", doc, want)
	}
	got, err := presdoc.ParseRoaming(doc)
	if err != nil || len(got.Categories.List) != 3 || !cmp.Equal(got.Categories.Names, []string{"state", "calendarData", "note"}) {
		t.Fatalf("%v %+v", err, got)
	}
	if got.Containers[0].Members[1].Value != "emil@example.test" || got.Subscribers[0].User != "emil@example.test" || got.Categories.List[0].PublishTime != at {
		t.Fatalf("%+v", got)
	}
}

func TestRoamingLeavesOutWhatIsNil(t *testing.T) {
	if doc := string(presdoc.Roaming{}.Append(nil)); doc != `<roamingData xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self"></roamingData>` {
		t.Error(doc)
	}
	doc := string(presdoc.Roaming{Containers: []presdoc.Container{}}.Append(nil))
	if !strings.Contains(doc, "<containers ") || strings.Contains(doc, "<subscribers") || strings.Contains(doc, "<categories") {
		t.Error(doc)
	}
}

func TestWatchersSeeNoContainers(t *testing.T) {
	c := presdoc.Categories{URI: "sip:emil@example.test", Names: []string{"note", "state"}, List: []presdoc.Category{
		{Name: "state", Instance: 1, Container: 200, Version: 4, PublishTime: at, ExpireType: presdoc.UserBound, Body: busyBody}}}
	want := `<categories xmlns="http://schemas.microsoft.com/2006/09/sip/categories" uri="sip:emil@example.test">` +
		`<category name="state" instance="1" publishTime="2027-01-15T08:00:01.000" version="4">` + busyBody + `</category><category name="note"/></categories>`
	doc := c.Append(nil)
	if string(doc) != want {
		t.Fatalf("%s", doc)
	}
	got, err := presdoc.ParseCategories(doc)
	if err != nil || len(got.List) != 1 || got.List[0].Body != busyBody || !cmp.Equal(got.Names, []string{"state", "note"}) {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestCategoryWithoutContainerOrInstanceIsNothingLeft(t *testing.T) {
	doc := `<roamingData><categories uri="sip:a@b"><category name="note"/><category name="state" instance="1"/><category name="device" container="2"/></categories></roamingData>`
	got, err := presdoc.ParseRoaming([]byte(doc))
	if err != nil || len(got.Categories.List) != 0 || len(got.Categories.Names) != 3 {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestSetContainers(t *testing.T) {
	doc := `<setContainerMembers xmlns="http://schemas.microsoft.com/2006/09/sip/container-management">` +
		`<container id="400" version="2"><member action="remove" type="user" value="emil@example.test"/></container>` +
		`<container id="32000" version="0"><member action="add" type="user" value="emil@example.test"/><member action="add" type="everyone"/></container></setContainerMembers>`
	want := []presdoc.Container{
		{ID: 400, Version: 2, Members: []presdoc.Member{{Remove: true, Type: "user", Value: "emil@example.test"}}},
		{ID: 32000, Members: []presdoc.Member{{Type: "user", Value: "emil@example.test"}, {Type: "everyone"}}},
	}
	got, err := presdoc.ParseSetContainers([]byte(doc))
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
	}
	if back := string(presdoc.AppendSetContainers(nil, got)); back != doc {
		t.Fatal(back)
	}
	for name, doc := range map[string]string{
		"no id":     `<setContainerMembers><container/></setContainerMembers>`,
		"no type":   `<setContainerMembers><container id="1"><member action="add"/></container></setContainerMembers>`,
		"no action": `<setContainerMembers><container id="1"><member type="user"/></container></setContainerMembers>`,
		"id":        `<setContainerMembers><container id="colleagues"/></setContainerMembers>`,
		"too many":  `<setContainerMembers>` + strings.Repeat(`<container id="1"/>`, 65) + `</setContainerMembers>`,
		"members":   `<setContainerMembers><container id="1">` + strings.Repeat(`<member action="add" type="everyone"/>`, 1025) + `</container></setContainerMembers>`,
	} {
		if got, err := presdoc.ParseSetContainers([]byte(doc)); !fault.Is(err, fault.Invalid) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestSetSubscribers(t *testing.T) {
	doc := `<setSubscribers xmlns="http://schemas.microsoft.com/2006/09/sip/presence-subscribers"><subscriber user="emil@example.test" acknowledged="true"/></setSubscribers>`
	got, err := presdoc.ParseSetSubscribers([]byte(doc))
	if want := []presdoc.Subscriber{{User: "emil@example.test", Acknowledged: true}}; err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	if back := string(presdoc.AppendSetSubscribers(nil, got)); back != doc {
		t.Fatal(back)
	}
	for _, doc := range []string{`<setSubscribers><subscriber/></setSubscribers>`, `<setSubscribers><subscriber user="a@b" acknowledged="maybe"/></setSubscribers>`} {
		if _, err := presdoc.ParseSetSubscribers([]byte(doc)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestRoamingRequest(t *testing.T) {
	for doc, want := range map[string][]string{
		``: {"categories", "containers", "subscribers"},
		`<roamingList xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self"><roaming type="containers"/></roamingList>`: {"containers"},
	} {
		got, err := presdoc.ParseRoamingRequest([]byte(doc))
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v, %v", doc, got, err)
		}
	}
	if got, err := presdoc.ParseRoamingRequest(presdoc.AppendRoamingRequest(nil, []string{"a", "b"})); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}
