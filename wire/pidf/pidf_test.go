package pidf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trivet/fault"
	"trivet/wire/pidf"
)

const at = int64(1_800_000_001_000) // 2027-01-15T08:00:01Z

const ns = ` xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"`

func tuple(basic, more string) string {
	return `<tuple id="a"><status><basic>` + basic + `</basic></status>` + more + `</tuple>`
}

func person(activities string) string {
	return `<dm:person id="p"><rpid:activities>` + activities + `</rpid:activities></dm:person>`
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, inner string
		want        pidf.Presence
	}{
		{"open", tuple("open", `<contact priority="0.8"> sip:emil@192.0.2.7 </contact><timestamp>2027-01-15T09:00:01+01:00</timestamp>`),
			pidf.Presence{Availability: 3500, Contact: "sip:emil@192.0.2.7", Time: at}},
		{"closed", tuple("closed", `<note xml:lang="en">gone fishing</note>`), pidf.Presence{Availability: 18500, Note: "gone fishing"}},
		{"nothing known", ``, pidf.Presence{Availability: 18500}},
		{"no basic", `<tuple id="a"><status/></tuple>`, pidf.Presence{Availability: 3500}},
		{"one of two open", tuple("closed", "") + tuple(" open ", ""), pidf.Presence{Availability: 3500}},
		{"busy", tuple("open", "") + person(`<rpid:busy/>`), pidf.Presence{Availability: 6500}},
		{"on the phone", tuple("open", "") + person(`<rpid:busy/><rpid:on-the-phone/>`), pidf.Presence{Availability: 6500, Token: "on-the-phone"}},
		{"any order", tuple("open", "") + person(`<rpid:on-the-phone/><rpid:busy/>`), pidf.Presence{Availability: 6500, Token: "on-the-phone"}},
		{"away before busy", tuple("open", "") + person(`<rpid:busy/><rpid:away/>`), pidf.Presence{Availability: 15500}},
		{"vacation", tuple("open", "") + person(`<rpid:note>n</rpid:note><rpid:vacation/>`), pidf.Presence{Availability: 15500, Token: "out-of-office", Note: "n"}},
		{"do not disturb", tuple("open", "") + person(`<rpid:busy/><rpid:other>do-not-disturb</rpid:other>`), pidf.Presence{Availability: 9500}},
		{"be right back", tuple("open", "") + person(`<rpid:away/><rpid:other>be-right-back</rpid:other>`), pidf.Presence{Availability: 12500}},
		{"unheard of", tuple("open", "") + person(`<x:juggling xmlns:x="x"/><rpid:unknown/>`), pidf.Presence{Availability: 3500}},
		{"closed beats activities", tuple("closed", "") + person(`<rpid:busy/>`), pidf.Presence{Availability: 18500}},
		{"idle", tuple("open", "") + `<dm:person id="p"><rpid:user-input last-input="2027-01-15T08:00:01Z">idle</rpid:user-input><dm:note>back soon</dm:note></dm:person><note>other</note>`,
			pidf.Presence{Availability: 5000, LastActive: at, Note: "back soon"}},
		{"active", tuple("open", "") + `<dm:person id="p"><rpid:user-input last-input="2027-01-15T08:00:01Z">active</rpid:user-input></dm:person>`, pidf.Presence{Availability: 3500}},
		{"busy and idle", tuple("open", `<rpid:user-input>idle</rpid:user-input>`) + person(`<rpid:busy/>`), pidf.Presence{Availability: 7500}},
		{"draft", `<tuple id="0"><status><basic>open</basic><activities><activity>busy</activity></activities></status></tuple><display-name>E</display-name>`, pidf.Presence{Availability: 6500}},
		{"activities of a closed tuple", tuple("open", "") + `<tuple id="b"><rpid:activities><rpid:away/></rpid:activities><status><basic>closed</basic></status></tuple>`, pidf.Presence{Availability: 3500}},
	} {
		got, err := pidf.Parse([]byte(`<?xml version="1.0"?><presence` + ns + ` entity="sip:emil@partner.test">` + c.inner + `</presence>`))
		c.want.Entity = "sip:emil@partner.test"
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", c.name, err, d)
		}
	}
}

func TestParseXPIDF(t *testing.T) {
	for inner, want := range map[string]int{
		`<status status="open"/>`:                                         3500,
		`<status status="open"/><msnsubstatus substatus="online"/>`:       3500,
		`<status status="inuse"/><msnsubstatus substatus="busy"/>`:        6500,
		`<status status="inuse"/><msnsubstatus substatus="onthephone"/>`:  6500,
		`<status status="inactive"/><msnsubstatus substatus="idle"/>`:     5000,
		`<status status="inactive"/><msnsubstatus substatus="away"/>`:     15500,
		`<status status="open"/><msnsubstatus substatus="berightback"/>`:  12500,
		`<status status="closed"/><msnsubstatus substatus="outoflunch"/>`: 18500,
	} {
		got, err := pidf.Parse([]byte(`<?xml version="1.0"?>` + "\n" + `<!DOCTYPE presence PUBLIC "-//IETF//DTD RFCxxxx XPIDF 1.0//EN" "xpidf.dtd">` +
			`<presence><presentity uri="sip:emil@partner.test;method=SUBSCRIBE"/><atom id="1"><address uri="sip:emil@192.0.2.7" priority="0.8">` + inner + `</address></atom></presence>`))
		if err != nil || got.Availability != want || got.Entity != "sip:emil@partner.test" || got.Contact != "sip:emil@192.0.2.7" {
			t.Errorf("%s: %+v, %v", inner, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"empty": ``, "root": `<present/>`, "basic": `<presence>` + tuple("ajar", "") + `</presence>`, "cut off": `<presence>` + tuple("open", ""),
		"time": `<presence>` + tuple("open", `<timestamp>now</timestamp>`) + `</presence>`, "last input": `<presence><person><user-input last-input="x">idle</user-input></person></presence>`,
		"tuples": `<presence>` + strings.Repeat(tuple("open", ""), 33) + `</presence>`, "note": `<presence><note>` + strings.Repeat("x", 2049) + `</note></presence>`,
		"large":              `<presence>` + strings.Repeat(" ", 64<<10) + `</presence>`,
		"declarations":       `<!DOCTYPE presence [<!ENTITY a "aaaa">]><presence>` + tuple("open", "<note>&a;</note>") + `</presence>`,
		"two document types": `<!DOCTYPE a><!DOCTYPE b><presence/>`,
	} {
		if got, err := pidf.Parse([]byte(doc)); !fault.Is(err, fault.Invalid) || got != (pidf.Presence{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestAppend(t *testing.T) {
	p := pidf.Presence{Entity: "emil@example.test", Availability: 7500, Token: "on-the-phone", Note: "a < b", LastActive: at, Time: at, Contact: "sip:emil@example.test"}
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" + `<presence` + ns + ` entity="sip:emil@example.test"><tuple id="t1"><status><basic>open</basic>` +
		`<ep:activities xmlns:ep="urn:ietf:params:xml:ns:pidf:status:rpid-status"><ep:activity>busy</ep:activity></ep:activities></status>` +
		`<contact>sip:emil@example.test</contact><note>a &lt; b</note><timestamp>2027-01-15T08:00:01Z</timestamp></tuple>` +
		`<dm:person id="p1"><rpid:activities><rpid:busy/><rpid:on-the-phone/></rpid:activities><rpid:user-input last-input="2027-01-15T08:00:01Z">idle</rpid:user-input></dm:person></presence>`
	if got := string(p.Append(nil)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	want = `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" + `<presence` + ns + ` entity="sip:a@b"><tuple id="t1"><status><basic>closed</basic></status></tuple></presence>`
	if got := string(pidf.Presence{Entity: "sip:a@b", Availability: 18500, Token: "out-of-office"}.Append(nil)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestThereAndBack: what a Lync user chooses survives a standard document.
func TestThereAndBack(t *testing.T) {
	for _, p := range []pidf.Presence{
		{Availability: 3500}, {Availability: 5000, LastActive: at}, {Availability: 5000}, {Availability: 6500}, {Availability: 6500, Token: "on-the-phone"},
		{Availability: 6500, Token: "in-a-meeting"}, {Availability: 7000, Token: "in-a-conference"}, {Availability: 6900, Token: "urgent-interruptions-only"},
		{Availability: 7500, Token: "in-a-meeting", LastActive: at}, {Availability: 9500}, {Availability: 9000, Token: "in-presentation"},
		{Availability: 12500}, {Availability: 15500}, {Availability: 15500, Token: "out-to-lunch"}, {Availability: 15500, Token: "off-work"},
		{Availability: 15500, Token: "out-of-office", LastActive: at}, {Availability: 18500, Note: "bye"},
	} {
		p.Entity = "sip:emil@example.test"
		got, err := pidf.Parse(p.Append(nil))
		if d := cmp.Diff(p, got); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	}
}

func TestAnyNumberStaysInItsClass(t *testing.T) {
	class := func(n int) int {
		steps := []int{3000, 4500, 6000, 7500, 9000, 12000, 15000, 18000}
		for i, from := range steps {
			if n < from {
				return i % len(steps)
			}
		}
		return 0 // offline, as below 3000
	}
	rapid.Check(t, func(t *rapid.T) {
		p := pidf.Presence{Entity: "sip:a@b", Availability: rapid.IntRange(0, 20000).Draw(t, "availability"), Token: rapid.SampledFrom([]string{"", "on-the-phone", "out-of-office", "in-presentation", "x"}).Draw(t, "token")}
		got, err := pidf.Parse(p.Append(nil))
		if err != nil || class(got.Availability) != class(p.Availability) {
			t.Fatalf("%d came back as %d: %v", p.Availability, got.Availability, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<presence` + ns + ` entity="sip:a@b">` + tuple("open", `<contact>sip:a@c</contact><timestamp>2027-01-15T08:00:01Z</timestamp>`) + person(`<rpid:busy/>`) + `<note>x</note></presence>`))
	f.Add([]byte(`<!DOCTYPE presence><presence><presentity uri="sip:a@b"/><atom><address uri="sip:a@c"><status status="inuse"/></address></atom></presence>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		first, err := pidf.Parse(doc)
		if err != nil || len(doc) > 4096 {
			return
		}
		second, err := pidf.Parse(first.Append(nil))
		if err != nil || second.Availability != first.Availability || second.Token != first.Token || second.Note != first.Note {
			t.Fatalf("%+v came back as %+v: %v", first, second, err)
		}
	})
}
