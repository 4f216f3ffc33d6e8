package soap

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
)

func envelope(body string) string { return envelopeOpen + body + envelopeClose }

// clientQuery is a SearchAbEntry as pidgin-sipe 1.25 writes it.
const clientQuery = `<SearchAbEntry xmlns="DistributionListExpander" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/"> <AbEntryRequest>` +
	`  <ChangeSearch xmlns:q1="DistributionListExpander" soapenc:arrayType="q1:AbEntryRequest.ChangeSearchQuery[1]"> <AbEntryRequest.ChangeSearchQuery> <SearchOn>msRTCSIP-PrimaryUserAddress</SearchOn> <Value>sip:bob@contoso.test</Value></AbEntryRequest.ChangeSearchQuery></ChangeSearch>` +
	`  <Metadata>   <FromDialPad>false</FromDialPad>   <MaxResultNum>1</MaxResultNum>   <ReturnList>displayName,mail, photoHash</ReturnList>  </Metadata> </AbEntryRequest></SearchAbEntry>`

func TestBookQuery(t *testing.T) {
	e, err := ParseEnvelope([]byte(envelope(clientQuery)))
	if err != nil {
		t.Fatal(err)
	}
	want := BookQuery{Changes: []BookTerm{{"msRTCSIP-PrimaryUserAddress", "sip:bob@contoso.test"}}, Max: 1, Return: []string{"displayName", "mail", "photoHash"}}
	got, err := ParseBookQuery(e)
	if err != nil || !cmp.Equal(got, want) || e.BodyName() != "SearchAbEntry" {
		t.Errorf("%v, %s", err, cmp.Diff(want, got))
	}
	for _, q := range []BookQuery{want, {Basic: &BookBasic{[]string{"sn", "mail"}, "<b>&", "BeginsWith"}, Max: 5, FromDialPad: true}, {Changes: []BookTerm{{"sn", "a"}, {"c", "DE"}}}} {
		e, err := ParseEnvelope([]byte(envelope(string(q.Append(nil)))))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseBookQuery(e); err != nil || !cmp.Equal(got, q) {
			t.Errorf("%v, %s", err, cmp.Diff(q, got))
		}
	}
}

func TestBookQueryRefuses(t *testing.T) {
	one := `<AbEntryRequest.ChangeSearchQuery><SearchOn>sn</SearchOn><Value>x</Value></AbEntryRequest.ChangeSearchQuery>`
	for _, c := range []struct {
		what, in string
		kind     fault.Kind
	}{
		{"no request", `<SearchAbEntry/>`, fault.Invalid},
		{"no search", `<SearchAbEntry><AbEntryRequest/></SearchAbEntry>`, fault.Invalid},
		{"both searches", `<SearchAbEntry><AbEntryRequest><ChangeSearch>` + one + `</ChangeSearch><BasicSearch/></AbEntryRequest></SearchAbEntry>`, fault.Invalid},
		{"no queries", `<SearchAbEntry><AbEntryRequest><ChangeSearch/></AbEntryRequest></SearchAbEntry>`, fault.Invalid},
		{"no value", `<SearchAbEntry><AbEntryRequest><ChangeSearch><q><SearchOn>sn</SearchOn></q></ChangeSearch></AbEntryRequest></SearchAbEntry>`, fault.Invalid},
		{"too many", `<SearchAbEntry><AbEntryRequest><ChangeSearch>` + strings.Repeat(one, 65) + `</ChangeSearch></AbEntryRequest></SearchAbEntry>`, fault.Limit},
		{"number", `<SearchAbEntry><AbEntryRequest><ChangeSearch>` + one + `</ChangeSearch><Metadata><MaxResultNum>-1</MaxResultNum></Metadata></AbEntryRequest></SearchAbEntry>`, fault.Invalid},
		{"truth", `<SearchAbEntry><AbEntryRequest><ChangeSearch>` + one + `</ChangeSearch><Metadata><FromDialPad>perhaps</FromDialPad></Metadata></AbEntryRequest></SearchAbEntry>`, fault.Invalid},
		{"names", `<SearchAbEntry><AbEntryRequest><BasicSearch><SearchList>` + strings.Repeat("a,", 65) + `</SearchList></BasicSearch></AbEntryRequest></SearchAbEntry>`, fault.Limit},
	} {
		e, err := ParseEnvelope([]byte(envelope(c.in)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseBookQuery(e); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestBookAnswer(t *testing.T) {
	want := []BookEntry{
		{{Name: "displayName", Values: []string{`Bob "<&>" Müller`}}, {Name: "telephoneNumber", Values: []string{"+49 30 1", "tel:+49301"}, Many: true}},
		{{Name: "mail", Values: []string{""}}},
	}
	got, err := ParseBookAnswer(AppendBookAnswer(nil, want))
	if err != nil || !cmp.Equal(got, want) || got[0].Get("telephoneNumber") != "+49 30 1" || got[0].Get("mail") != "" {
		t.Errorf("%v, %s", err, cmp.Diff(want, got))
	}
	if got, err := ParseBookAnswer(AppendBookAnswer(nil, nil)); err != nil || len(got) != 0 {
		t.Errorf("nobody: %v, %v", got, err)
	}
	if _, err := ParseBookAnswer(Fault{Code: "s:Server", Reason: "no"}.Append(nil)); !fault.Is(err, fault.Invalid) {
		t.Errorf("a fault: %v", err)
	}
}

func TestGroupExpansion(t *testing.T) {
	e, err := ParseEnvelope([]byte(envelope(string(AppendGroupQuery(nil, "sales&co@contoso.test")))))
	if err != nil {
		t.Fatal(err)
	}
	if mail, err := ParseGroupQuery(e); err != nil || mail != "sales&co@contoso.test" {
		t.Errorf("%q, %v", mail, err)
	}
	for _, body := range []string{`<QueryDLMember/>`, `<QueryDLMember><groupMailAddress>` + strings.Repeat("x", 400) + `</groupMailAddress></QueryDLMember>`} {
		if e, err = ParseEnvelope([]byte(envelope(body))); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseGroupQuery(e); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, want := range []GroupAnswer{{State: ExpandTooLarge}, {State: ExpandSuccess, Members: []GroupMember{
		{"User", "Bob <Müller>", "sip:bob@contoso.test", "bob@contoso.test"}, {"Contact", "X", "", "x@y"}, {"Group", "Inner", "", "inner@contoso.test"},
	}}} {
		if got, err := ParseGroupAnswer(want.Append(nil)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v, %s", err, cmp.Diff(want, got))
		}
	}
}

func FuzzBookRequests(f *testing.F) {
	f.Add([]byte(envelope(clientQuery)))
	f.Add([]byte(envelope(string(BookQuery{Basic: &BookBasic{[]string{"sn"}, "b", "BeginsWith"}}.Append(nil)))))
	f.Add([]byte(envelope(string(AppendGroupQuery(nil, "sales@contoso.test")))))
	f.Fuzz(func(t *testing.T, doc []byte) {
		e, err := ParseEnvelope(doc)
		if err != nil {
			return
		}
		ParseGroupQuery(e)
		q, err := ParseBookQuery(e)
		if err != nil {
			return
		}
		again, err := ParseEnvelope([]byte(envelope(string(q.Append(nil)))))
		if err != nil {
			if fault.Is(err, fault.Limit) {
				return
			}
			t.Fatal(err)
		}
		ParseBookQuery(again)
	})
}

func FuzzBookAnswers(f *testing.F) {
	f.Add(AppendBookAnswer(nil, []BookEntry{{{Name: "mail", Values: []string{"x"}}, {Name: "mobile", Values: []string{"1", "2"}, Many: true}}}))
	f.Add(GroupAnswer{State: ExpandSuccess, Members: []GroupMember{{"User", "B", "sip:b@c", "b@c"}}}.Append(nil))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if list, err := ParseBookAnswer(doc); err == nil {
			if again, err := ParseBookAnswer(AppendBookAnswer(nil, list)); err != nil || len(again) != len(list) {
				t.Fatal(err)
			}
		}
		if a, err := ParseGroupAnswer(doc); err == nil {
			if again, err := ParseGroupAnswer(a.Append(nil)); err != nil || len(again.Members) != len(a.Members) {
				t.Fatal(err)
			}
		}
	})
}
