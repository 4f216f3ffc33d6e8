package presdoc_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/wire/presdoc"
)

const batchSample = `<batchSub xmlns="http://schemas.microsoft.com/2006/01/sip/batch-subscribe" uri="sip:dora@example.test" name="">` +
	`<action name="subscribe" id="4711"><adhocList><resource uri="sip:emil@example.test"/><resource uri="sip:finn@partner.test"><context/></resource></adhocList>` +
	`<categoryList xmlns="http://schemas.microsoft.com/2006/09/sip/categorylist"><category name="state"/><category name="note"/></categoryList></action>` +
	`<action name="unsubscribe" id="4712"><adhocList><resource uri="sip:gina@example.test"/></adhocList></action></batchSub>`

func TestBatchSub(t *testing.T) {
	want := presdoc.BatchSub{URI: "sip:dora@example.test", Actions: []presdoc.BatchAction{
		{ID: "4711", Resources: []presdoc.BatchResource{{URI: "sip:emil@example.test"}, {URI: "sip:finn@partner.test", Added: true}}, Categories: []string{"state", "note"}},
		{ID: "4712", Unsubscribe: true, Resources: []presdoc.BatchResource{{URI: "sip:gina@example.test"}}},
	}}
	got, err := presdoc.ParseBatchSub([]byte(batchSample))
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v\n%s", err, cmp.Diff(want, got))
	}
	if back := string(got.Append(nil)); back != batchSample {
		t.Fatal(back)
	}
}

func TestBatchSubOfACategoryListAlone(t *testing.T) {
	got, err := presdoc.ParseBatchSub(presdoc.AppendCategoryList(nil, []string{"state"}))
	if err != nil || len(got.Actions) != 1 || got.Actions[0].Resources != nil || !cmp.Equal(got.Actions[0].Categories, []string{"state"}) {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestBatchSubRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"root":         `<subscribe/>`,
		"action":       `<batchSub><action name="poll"/></batchSub>`,
		"resource":     `<batchSub><action name="subscribe"><adhocList><resource/></adhocList></action></batchSub>`,
		"category":     `<batchSub><action name="subscribe"><categoryList><category/></categoryList></action></batchSub>`,
		"resources":    `<batchSub><action name="subscribe"><adhocList>` + strings.Repeat(`<resource uri="a@b"/>`, 1025) + `</adhocList></action></batchSub>`,
		"split over":   `<batchSub>` + strings.Repeat(`<action name="subscribe"><adhocList>`+strings.Repeat(`<resource uri="a@b"/>`, 600)+`</adhocList></action>`, 2) + `</batchSub>`,
		"categories":   `<categoryList>` + strings.Repeat(`<category name="a"/>`, 65) + `</categoryList>`,
		"not finished": batchSample[:100],
	} {
		if got, err := presdoc.ParseBatchSub([]byte(doc)); !fault.Is(err, fault.Invalid) || got.Actions != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestListHasStateOnEveryInstance(t *testing.T) {
	l := presdoc.List{URI: "dora@example.test", Version: 2, Resources: []presdoc.Resource{{URI: "sip:emil@example.test", CID: "c1"}, {URI: "finn@partner.test", State: "resubscribe"}}}
	want := `<list xmlns="urn:ietf:params:xml:ns:rlmi" uri="sip:dora@example.test" version="2" fullState="false">` +
		`<resource uri="sip:emil@example.test"><instance id="1" state="active" cid="c1"/></resource>` +
		`<resource uri="sip:finn@partner.test"><instance id="1" state="resubscribe"/></resource></list>`
	doc := l.Append(nil)
	if string(doc) != want {
		t.Fatalf("%s", doc)
	}
	got, err := presdoc.ParseList(doc)
	if err != nil || got.Resources[1].State != "resubscribe" || got.Resources[0].CID != "c1" {
		t.Fatalf("%v, %+v", err, got)
	}
}

func TestMultipart(t *testing.T) {
	parts := []presdoc.Part{
		{Type: presdoc.TypeRLMI, CID: "r0@example.test", Body: []byte("<list/>")},
		{Type: presdoc.TypeCategories, CID: "c1@example.test", Body: []byte("<categories/>")},
	}
	m := presdoc.NewMultipart("b1", parts)
	if want := `multipart/related;type="application/rlmi+xml";start="<r0@example.test>";boundary=b1`; m.Type() != want {
		t.Errorf("%s", m.Type())
	}
	want := "--b1\r\nContent-Type: application/rlmi+xml\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <r0@example.test>\r\n\r\n<list/>\r\n\r\n" +
		"--b1\r\nContent-Type: application/msrtc-event-categories+xml\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <c1@example.test>\r\n\r\n<categories/>\r\n\r\n--b1--\r\n"
	body := m.Append(nil)
	if string(body) != want {
		t.Errorf("%q", body)
	}
	// What a reader sees that drops the last two bytes of a part.
	for _, raw := range bytes.Split(body, []byte("\r\n--b1"))[:1] {
		if _, inner, _ := bytes.Cut(raw, []byte("\r\n\r\n")); string(inner[:len(inner)-2]) != "<list/>" {
			t.Errorf("%q is left", inner[:len(inner)-2])
		}
	}
	got, err := presdoc.ParseMultipart(m.Type(), body)
	if err != nil || !cmp.Equal(got, parts) {
		t.Errorf("%v\n%s", err, cmp.Diff(parts, got))
	}
}

func TestMultipartBoundaryIsInNoPart(t *testing.T) {
	evil := presdoc.Part{Type: presdoc.TypeCategories, Body: []byte("x\r\n--b--\r\n--b0--")}
	m := presdoc.NewMultipart("b", []presdoc.Part{{Type: presdoc.TypeRLMI, Body: []byte("<list/>")}, evil})
	got, err := presdoc.ParseMultipart(m.Type(), m.Append(nil))
	if err != nil || len(got) != 2 || !bytes.Equal(got[1].Body, evil.Body) {
		t.Fatalf("%s: %v, %q", m.Type(), err, got)
	}
}

func TestParseMultipartRefuses(t *testing.T) {
	for _, c := range []struct{ name, contentType, body string }{
		{"no boundary", "multipart/related", "--b\r\n\r\n--b--"},
		{"no end", "multipart/related;boundary=b", "--b\r\n\r\nx\r\n"},
		{"no parts", `multipart/related; boundary="b"`, "--b--"},
		{"no header end", `multipart/related;x="a;boundary=c";boundary="b"`, "--b\r\nContent-Type: x\r\n--b--"},
		{"longer boundary", "multipart/related;boundary=b", "--bc\r\n\r\nx\r\n--b--"},
	} {
		if got, err := presdoc.ParseMultipart(c.contentType, []byte(c.body)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestKeyboardActivity(t *testing.T) {
	for _, types := range []bool{true, false} {
		if got, err := presdoc.ParseKeyboardActivity(appendKeyboardActivity(nil, types)); err != nil || got != types {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := presdoc.ParseKeyboardActivity([]byte(`<KeyboardActivity><status status="sleep"/></KeyboardActivity>`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("sleep: %v", err)
	}
}

func TestComposing(t *testing.T) {
	c := presdoc.Composing{Active: true, Refresh: 60, ContentType: "text/plain"}
	doc := c.Append(nil)
	want := `<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><contenttype>text/plain</contenttype><refresh>60</refresh></isComposing>`
	if got, err := presdoc.ParseComposing(doc); err != nil || got != c || string(doc) != want {
		t.Errorf("%s: %+v, %v", doc, got, err)
	}
	if got, err := presdoc.ParseComposing([]byte(`<isComposing><state> dreaming </state></isComposing>`)); err != nil || got.Active {
		t.Errorf("%+v, %v", got, err)
	}
	for _, doc := range []string{`<isComposing/>`, `<isComposing><state>active</state><refresh>soon</refresh></isComposing>`} {
		if _, err := presdoc.ParseComposing([]byte(doc)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
