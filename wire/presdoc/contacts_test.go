package presdoc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/wire/presdoc"
)

func TestContactList(t *testing.T) {
	l := presdoc.ContactList{Groups: []presdoc.ContactGroup{{ID: 1, Name: "~"}, {ID: 2, Name: "R&D"}},
		Contacts: []presdoc.Contact{{URI: "sip:emil@example.test", Groups: []uint32{1, 2}, Subscribed: true}, {URI: "finn@partner.test", Name: "Finn"}}}
	want := `<contactList deltaNum="1" ucsmode="none"><group id="1" name="~" externalURI=""/><group id="2" name="R&amp;D" externalURI=""/>` +
		`<contact uri="emil@example.test" name="" groups="1 2" subscribed="true" externalURI=""/>` +
		`<contact uri="finn@partner.test" name="Finn" groups="" subscribed="false" externalURI=""/></contactList>`
	doc := l.Append(nil)
	if string(doc) != want {
		t.Fatalf("%s", doc)
	}
	l.DeltaNum, l.Contacts[0].URI = 1, "emil@example.test"
	if got, err := presdoc.ParseContactList(doc); err != nil || !cmp.Equal(got, l) {
		t.Fatalf("%v\n%s", err, cmp.Diff(l, got))
	}
}

func TestContactDelta(t *testing.T) {
	d := presdoc.ContactDelta{DeltaNum: 5, PrevDeltaNum: 4,
		AddedGroups: []presdoc.ContactGroup{{ID: 3, Name: "Choir"}}, ModifiedGroups: []presdoc.ContactGroup{{ID: 3, Name: "Band"}}, DeletedGroups: []uint32{9},
		AddedContacts: []presdoc.Contact{{URI: "emil@example.test", Groups: []uint32{3}, Subscribed: true}}, ModifiedContacts: []presdoc.Contact{{URI: "sip:finn@partner.test", Name: "F"}},
		DeletedContacts: []string{"gina@example.test"}}
	want := `<contactDelta deltaNum="5" prevDeltaNum="4"><addedGroup id="3" name="Choir" externalURI=""/><modifiedGroup id="3" name="Band" externalURI=""/><deletedGroup id="9"/>` +
		`<addedContact uri="sip:emil@example.test" name="" groups="3" subscribed="true" externalURI=""/>` +
		`<modifiedContact uri="sip:finn@partner.test" name="F" groups="" subscribed="false" externalURI=""/><deletedContact uri="sip:gina@example.test"/></contactDelta>`
	doc := d.Append(nil)
	if string(doc) != want {
		t.Fatalf("%s", doc)
	}
	d.AddedContacts[0].URI, d.DeletedContacts[0] = "sip:emil@example.test", "sip:gina@example.test"
	if got, err := presdoc.ParseContactDelta(doc); err != nil || !cmp.Equal(got, d) {
		t.Fatalf("%v\n%s", err, cmp.Diff(d, got))
	}
	if doc := string(presdoc.ContactDelta{}.Append(nil)); doc != `<contactDelta deltaNum="1" prevDeltaNum="1"></contactDelta>` {
		t.Error(doc)
	}
}

func soap(inner string) string {
	return `<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body>` + inner + `</SOAP-ENV:Body></SOAP-ENV:Envelope>`
}

func TestContactOps(t *testing.T) {
	for _, o := range []presdoc.ContactOp{
		{Verb: presdoc.SetContact, URI: "sip:emil@example.test", Name: "Emil <3", Groups: []uint32{1, 2}, Subscribed: true, DeltaNum: 4},
		{Verb: presdoc.DeleteContact, URI: "sip:emil@example.test", DeltaNum: 4},
		{Verb: presdoc.AddGroup, Name: "Choir", DeltaNum: 5},
		{Verb: presdoc.ModifyGroup, GroupID: 3, Name: "Band", ExternalURI: "<x/>", DeltaNum: 6},
		{Verb: presdoc.DeleteGroup, GroupID: 3, DeltaNum: 7},
	} {
		doc := o.Append(nil)
		got, err := presdoc.ParseContactOp(doc)
		if err != nil || !cmp.Equal(got, o) {
			t.Errorf("%s: %v\n%s", doc, err, cmp.Diff(o, got))
		}
		if name, err := presdoc.SOAPOperation(doc); err != nil || name != o.Verb.String() {
			t.Errorf("%s: %q, %v", doc, name, err)
		}
	}
}

func TestParseContactOpAsAClientSendsIt(t *testing.T) {
	got, err := presdoc.ParseContactOp([]byte(soap(`<m:setContact xmlns:m="http://schemas.microsoft.com/winrtc/2002/11/sip"><m:displayName/><m:groups> 1  7 </m:groups>` +
		`<m:subscribed>true</m:subscribed><m:URI>sip:emil@example.test</m:URI><m:externalURI/><m:deltaNum>12</m:deltaNum><m:new>x</m:new></m:setContact>`)))
	want := presdoc.ContactOp{Verb: presdoc.SetContact, URI: "sip:emil@example.test", Groups: []uint32{1, 7}, Subscribed: true, DeltaNum: 12}
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestParseContactOpRefuses(t *testing.T) {
	for _, c := range []struct{ name, doc, text string }{
		{"no operation", soap(``), "no operation"},
		{"another", soap(`<m:setACE xmlns:m="x"/>`), "setContact"},
		{"two", soap(`<deleteGroup><groupID>1</groupID></deleteGroup><deleteGroup/>`), "one operation"},
		{"contact without URI", soap(`<setContact/>`), "URI"},
		{"group without name", soap(`<addGroup/>`), "name"},
		{"group without number", soap(`<modifyGroup><name>x</name></modifyGroup>`), "groupID"},
		{"delete without number", soap(`<deleteGroup/>`), "groupID"},
		{"groups", soap(`<setContact><groups>1,2</groups></setContact>`), "groups"},
		{"many groups", soap(`<setContact><groups>` + strings.Repeat("1 ", 129) + `</groups></setContact>`), "groups"},
		{"subscribed", soap(`<setContact><subscribed>perhaps</subscribed></setContact>`), "subscribed"},
		{"deltaNum", soap(`<setContact><deltaNum>-4</deltaNum></setContact>`), "deltaNum"},
		{"no envelope", `<setContact/>`, "Envelope"},
		{"cut off", soap(`<deleteGroup><groupID>1</groupID></deleteGroup>`)[:150], "cut off"},
	} {
		if got, err := presdoc.ParseContactOp([]byte(c.doc)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestGroupID(t *testing.T) {
	if id, err := presdoc.ParseGroupID(presdoc.AppendGroupID(nil, 17)); err != nil || id != 17 {
		t.Errorf("%d, %v", id, err)
	}
	if _, err := presdoc.ParseGroupID([]byte(soap(`<addGroup/>`))); !fault.Is(err, fault.Invalid) {
		t.Errorf("no number: %v", err)
	}
}

func TestSearch(t *testing.T) {
	q := presdoc.Search{MaxResults: 100, Terms: []presdoc.Term{{Attribute: "givenName", Value: "Em"}, {Attribute: "msRTCSIP-PrimaryUserAddress", Value: "sip:e"}}}
	if got, err := presdoc.ParseSearch(q.Append(nil)); err != nil || !cmp.Equal(got, q) {
		t.Errorf("%v\n%s", err, cmp.Diff(q, got))
	}
	if name, err := presdoc.SOAPOperation(q.Append(nil)); err != nil || name != "directorySearch" {
		t.Errorf("%q, %v", name, err)
	}
	a := presdoc.SearchAnswer{More: true, Rows: []presdoc.SearchRow{{URI: "sip:emil@example.test", DisplayName: "Emil & Co", Title: "t", Office: "o", Phone: "p", Company: "c", City: "i", State: "s", Country: "DE", Email: "e@x"}}}
	if got, err := presdoc.ParseSearchAnswer(a.Append(nil)); err != nil || !cmp.Equal(got, a) {
		t.Errorf("%v\n%s", err, cmp.Diff(a, got))
	}
	for _, doc := range []string{soap(``), soap(`<directorySearch><maxResults>all</maxResults></directorySearch>`), soap(`<directorySearch/><Array><row attrib="sn"/></Array>`),
		soap(`<directorySearch/><Array>` + strings.Repeat(`<row attrib="sn" value="a"/>`, 17) + `</Array>`)} {
		if _, err := presdoc.ParseSearch([]byte(doc)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestProvisioning(t *testing.T) {
	names := []string{"ServerConfiguration", "ucPolicy"}
	if got, err := presdoc.ParseProvisioningRequest(presdoc.AppendProvisioningRequest(nil, names)); err != nil || !cmp.Equal(got, names) {
		t.Errorf("%v, %v", got, err)
	}
	groups := []presdoc.ProvisionGroup{
		{Name: "ServerConfiguration", Entries: []presdoc.Setting{{Name: "ucPC2PCAVEncryption", Value: "SupportEncryption"}, {Name: "dlxInternalUrl", Value: "https://web.example.test/?a&b"}}},
		{Name: "persistentChatConfiguration", Properties: []presdoc.Setting{{Name: "EnablePersistentChat", Value: "true"}}},
	}
	want := `<provisionGroupList xmlns="http://schemas.microsoft.com/2006/09/sip/provisiongrouplist-notification"><provisionGroup name="ServerConfiguration">` +
		`<ucPC2PCAVEncryption>SupportEncryption</ucPC2PCAVEncryption><dlxInternalUrl>https://web.example.test/?a&amp;b</dlxInternalUrl></provisionGroup>` +
		`<provisionGroup name="persistentChatConfiguration"><propertyEntryList><property name="EnablePersistentChat">true</property></propertyEntryList></provisionGroup></provisionGroupList>`
	doc := presdoc.AppendProvisioning(nil, groups)
	if string(doc) != want {
		t.Errorf("%s", doc)
	}
	if got, err := presdoc.ParseProvisioning(doc); err != nil || !cmp.Equal(got, groups) {
		t.Errorf("%v\n%s", err, cmp.Diff(groups, got))
	}
}
