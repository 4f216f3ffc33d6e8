package presdoc_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/wire/presdoc"
)

// fuzz checks that what a reader accepts is written so that reading and writing
// again change nothing.
func fuzz[T any](f *testing.F, parse func([]byte) (T, error), write func(T, []byte) []byte, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 4096 {
			return
		}
		first, err := parse(doc)
		if err != nil {
			return
		}
		second, err := parse(write(first, nil))
		if err != nil {
			t.Fatalf("our own document is refused: %v\n%s", err, write(first, nil))
		}
		third, err := parse(write(second, nil))
		if d := cmp.Diff(second, third); err != nil || d != "" {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}

func FuzzParsePublish(f *testing.F) {
	fuzz(f, presdoc.ParsePublish, presdoc.Publish.Append, publishSample)
}

func FuzzParseSetContainers(f *testing.F) {
	fuzz(f, presdoc.ParseSetContainers, swap(presdoc.AppendSetContainers), `<setContainerMembers><container id="400" version="2"><member action="remove" type="user" value="sip:a@b"/></container></setContainerMembers>`)
}

func FuzzParseSetSubscribers(f *testing.F) {
	fuzz(f, presdoc.ParseSetSubscribers, swap(presdoc.AppendSetSubscribers), `<setSubscribers><subscriber user="a@b" acknowledged="true" displayName="x"/></setSubscribers>`)
}

func FuzzParseRoaming(f *testing.F) {
	fuzz(f, presdoc.ParseRoaming, presdoc.Roaming.Append,
		`<roamingData xmlns="r"><categories uri="sip:a@b"><category name="state" instance="1" publishTime="2027-01-15T08:00:01.000" container="2" version="3" expireType="static"><s/></category><category name="note"/></categories><containers><container id="1"><member type="everyone"/></container></containers><subscribers><subscriber user="a@b"/></subscribers></roamingData>`)
}

func FuzzParseRoamingRequest(f *testing.F) {
	fuzz(f, presdoc.ParseRoamingRequest, swap(presdoc.AppendRoamingRequest), `<roamingList><roaming type="categories"/></roamingList>`)
}

func FuzzParseCategories(f *testing.F) {
	fuzz(f, presdoc.ParseCategories, presdoc.Categories.Append, `<categories uri="sip:a@b"><category name="state" instance="1" version="2" publishTime="2027-01-15T08:00:01Z"><s:s xmlns:s="x"/></category><category name="note"/></categories>`)
}

func FuzzParseBatchSub(f *testing.F) {
	fuzz(f, presdoc.ParseBatchSub, presdoc.BatchSub.Append, batchSample, `<categoryList><category name="state"/></categoryList>`)
}

func FuzzParseList(f *testing.F) {
	fuzz(f, presdoc.ParseList, presdoc.List.Append, `<list uri="sip:a@b" version="0" fullState="true"><resource uri="sip:c@d"><instance id="1" state="active" cid="x"/></resource></list>`)
}

func FuzzParseContactList(f *testing.F) {
	fuzz(f, presdoc.ParseContactList, presdoc.ContactList.Append, `<contactList deltaNum="4" ucsmode="none"><group id="1" name="~"/><contact uri="a@b" groups="1 2" subscribed="true"/></contactList>`)
}

func FuzzParseContactDelta(f *testing.F) {
	fuzz(f, presdoc.ParseContactDelta, presdoc.ContactDelta.Append, `<contactDelta deltaNum="5" prevDeltaNum="4"><addedGroup id="3"/><modifiedGroup id="3"/><deletedGroup id="3"/><addedContact uri="a@b"/><modifiedContact uri="a@b"/><deletedContact uri="a@b"/></contactDelta>`)
}

func FuzzParseContactOp(f *testing.F) {
	fuzz(f, presdoc.ParseContactOp, presdoc.ContactOp.Append, soap(`<m:setContact xmlns:m="x"><m:URI>sip:a@b</m:URI><m:groups>1 2</m:groups></m:setContact>`), soap(`<modifyGroup><groupID>3</groupID><name>x</name></modifyGroup>`))
}

func FuzzParseGroupID(f *testing.F) {
	fuzz(f, presdoc.ParseGroupID, swap(presdoc.AppendGroupID), soap(`<addGroup><groupID>3</groupID></addGroup>`))
}

func FuzzSOAPOperation(f *testing.F) {
	f.Add([]byte(soap(`<a/>`)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if name, err := presdoc.SOAPOperation(doc); err == nil && name == "" {
			t.Fatal("no operation and no mistake")
		}
	})
}

func FuzzParseSearch(f *testing.F) {
	fuzz(f, presdoc.ParseSearch, presdoc.Search.Append, soap(`<m:directorySearch xmlns:m="x"><m:filter m:href="#a"/><m:maxResults>5</m:maxResults></m:directorySearch><m:Array xmlns:m="x" m:id="a"><m:row m:attrib="sn" m:value="B"/></m:Array>`))
}

func FuzzParseSearchAnswer(f *testing.F) {
	fuzz(f, presdoc.ParseSearchAnswer, presdoc.SearchAnswer.Append, soap(`<directorySearch><moreAvailable>true</moreAvailable></directorySearch><Array><row uri="sip:a@b" displayName="A"/></Array>`))
}

func FuzzParseProvisioningRequest(f *testing.F) {
	fuzz(f, presdoc.ParseProvisioningRequest, swap(presdoc.AppendProvisioningRequest), `<provisioningGroupList><provisioningGroup name="ucPolicy"/></provisioningGroupList>`)
}

func FuzzParseProvisioning(f *testing.F) {
	fuzz(f, presdoc.ParseProvisioning, swap(presdoc.AppendProvisioning), `<provisionGroupList><provisionGroup name="a"><b>c</b><propertyEntryList><property name="d">e</property></propertyEntryList></provisionGroup></provisionGroupList>`)
}

func FuzzParseWrongDelta(f *testing.F) {
	fuzz(f, presdoc.ParseWrongDelta, swap(presdoc.AppendWrongDelta), `<Fault><Faultcode>Client.BadCall.WrongDelta</Faultcode><details><operation index="1" curVersion="3"/></details></Fault>`)
}

func appendKeyboardActivity(b []byte, types bool) []byte {
	status := map[bool]string{true: "type", false: "idle"}[types]
	return append(b, `<KeyboardActivity><status status="`+status+`"/></KeyboardActivity>`...)
}

func FuzzParseKeyboardActivity(f *testing.F) {
	fuzz(f, presdoc.ParseKeyboardActivity, swap(appendKeyboardActivity), `<KeyboardActivity><status status="type"/></KeyboardActivity>`)
}

func FuzzParseComposing(f *testing.F) {
	fuzz(f, presdoc.ParseComposing, presdoc.Composing.Append, `<isComposing><state>active</state><refresh>60</refresh><contenttype>text/plain</contenttype></isComposing>`)
}

func FuzzParseMultipart(f *testing.F) {
	f.Add(`multipart/related;type="a/b";boundary="x"`, []byte("--x\r\nContent-Type: a/b\r\nContent-ID: <c>\r\n\r\nbody\r\n\r\n--x--\r\n"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		parts, err := presdoc.ParseMultipart(contentType, body)
		if err == nil && len(parts) == 0 {
			t.Fatal("no parts and no mistake")
		}
	})
}

// swap gives a function that appends to its first argument the order of a method.
func swap[T any](write func([]byte, T) []byte) func(T, []byte) []byte {
	return func(v T, b []byte) []byte { return write(b, v) }
}
