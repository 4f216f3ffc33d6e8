package xmlpull_test

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/wire/xmlpull"
)

func TestChildren(t *testing.T) {
	s := xmlpull.New([]byte("\ufeff<?xml version='1.0' encoding=\"UTF-8\"?><!-- first -->\r\n<p:list p:id='7' xmlns:p='x' on=\"1\">\n text <a><deep><a/></deep></a><p:b name=\"&lt;R&amp;D&#33;&#x2713;\"/><!-- c --><c>1<d>no</d><![CDATA[<2>]]> &gt;</c></p:list> \n<!-- last -->"), 1000)
	if !s.Root("list") || s.Uint32("id") != 7 || !s.Bool("on") {
		t.Fatalf("root %q %d: %v", s.Name(), s.Uint32("id"), s.Err())
	}
	var names []string
	for name := range s.Children() {
		names = append(names, name)
		switch name {
		case "b":
			if got := s.Attr("name"); got != "<R&D!✓" {
				t.Errorf("attribute %q", got)
			}
		case "c":
			if got := s.Text(); got != "1<2> >" {
				t.Errorf("text %q", got)
			}
		}
	}
	if err := s.Finish(); err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Fatalf("%v, %v", names, err)
	}
}

func TestNestedLoops(t *testing.T) {
	s := xmlpull.New([]byte(`<r><x><y/><y><z/></y></x><x/><x><y/></x></r>`), 1000)
	s.Root("r")
	counts := []int{}
	for range s.Children() {
		n := 0
		for range s.Children() {
			n++
		}
		counts = append(counts, n)
	}
	if err := s.Finish(); err != nil || !slices.Equal(counts, []int{2, 0, 1}) {
		t.Fatalf("%v, %v", counts, err)
	}
}

func TestRawIsSelfContained(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"as written", `<r><p  a='1' ><!-- x --><b/>t&amp;</p></r>`, `<p  a='1' ><!-- x --><b/>t&amp;</p>`},
		{"empty", `<r><p/></r>`, `<p/>`},
		{"own default", `<r xmlns="o"><p xmlns="i"><q/></p></r>`, `<p xmlns="i"><q/></p>`},
		{"inherited default", `<r xmlns="o"><p><q/></p></r>`, `<p xmlns="o"><q/></p>`},
		{"inherited default of a child only", `<r xmlns="o" xmlns:s="ss"><s:p xmlns:s="s2"><q/></s:p></r>`, `<s:p xmlns="o" xmlns:s="s2"><q/></s:p>`},
		{"default switched off", `<r xmlns="o"><m xmlns=""><p/></m></r>`, `<p/>`},
		{"inherited prefix", `<r xmlns:s="urn:s&amp;t"><s:p s:a="1"/></r>`, `<s:p xmlns:s="urn:s&amp;t" s:a="1"/>`},
		{"nearest wins", `<r xmlns:s="1"><m xmlns:s="2"><s:p/></m></r>`, `<s:p xmlns:s="2"/>`},
		{"prefix of a grandchild's attribute", `<r xmlns:s="1"><p><q s:a=""/></p></r>`, `<p xmlns:s="1"><q s:a=""/></p>`},
		{"declared half way", `<r xmlns:s="1"><p><q xmlns:s="2"><s:x/></q></p></r>`, `<p><q xmlns:s="2"><s:x/></q></p>`},
		{"used before and after", `<r xmlns:s="1"><p><q xmlns:s="2"><s:x/></q><s:y/></p></r>`, `<p xmlns:s="1"><q xmlns:s="2"><s:x/></q><s:y/></p>`},
		{"xsi undeclared", `<r><p xsi:type="userState"/></r>`, `<p xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="userState"/>`},
		{"type by prefix", `<r xmlns:s="1" xmlns:xsi="2"><p xsi:type="s:userState"/></r>`, `<p xmlns:xsi="2" xmlns:s="1" xsi:type="s:userState"/>`},
		{"xml prefix", `<r><p xml:lang="de"/></r>`, `<p xml:lang="de"/>`},
	} {
		s := xmlpull.New([]byte(c.doc), 1000)
		s.RootName()
		got := ""
		for name := range s.Children() {
			if name == "m" {
				for range s.Children() {
					got = s.Raw()
				}
				continue
			}
			got = s.Raw()
		}
		if err := s.Finish(); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"nothing": ``, "space": ` `, "text": `x`, "text after": `<r/>x`, "second root": `<r/><s/>`, "cut off": `<r><a>`, "cut tag": `<r><a`, "cut value": `<r a="`,
		"other root": `<s/>`, "crossed": `<r><a></r></a>`, "end first": `</r>`, "document type": `<!DOCTYPE r><r/>`, "entity declaration": `<!DOCTYPE r [<!ENTITY a "aaa">]><r>&a;</r>`,
		"entity": `<r>&nbsp;</r>`, "bare ampersand": `<r>a & b</r>`, "number zero": `<r>&#0;</r>`, "surrogate": `<r>&#xd800;</r>`, "beyond Unicode": `<r>&#x110000;</r>`,
		"control": "<r>\x00</r>", "not UTF-8": "<r>\xff</r>", "other encoding": `<?xml version="1.0" encoding="utf-16"?><r/>`, "instruction inside": `<r><?php ?></r>`,
		"twice": `<r a="1" a="2"/>`, "unquoted": `<r a=1/>`, "no value": `<r a/>`, "less in value": `<r a="<"/>`, "no gap": `<r a="1"b="2"/>`, "CDATA end": `<r>]]></r>`,
		"comment dashes": `<r><!-- a -- b --></r>`, "digit name": `<1/>`, "two colons": `<a:b:c/>`, "colon end": `<a:/>`, "space before name": `< r/>`,
		"prefix as nothing": `<r xmlns:a=""/>`, "noncharacter": "<r>\uffff</r>",
		"deep": "<r>" + strings.Repeat("<a>", 32) + strings.Repeat("</a>", 32) + "</r>", "attributes": "<r" + many(65) + "/>", "large": "<r>" + strings.Repeat(" ", 4000) + "</r>",
	} {
		s := xmlpull.New([]byte(doc), 4000)
		s.Root("r")
		if err := s.Finish(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := xmlpull.New([]byte(`<r><q:p/></r>`), 100)
	s.Root("r")
	for range s.Children() {
		s.Raw()
	}
	if s.Finish() == nil {
		t.Error("an undeclared prefix in a payload is accepted")
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + `=""`)
	}
	return b.String()
}

func TestAfterAMistakeEverythingIsQuiet(t *testing.T) {
	s := xmlpull.New([]byte(`<r a="x"><b/>`), 100)
	s.Root("r")
	if s.Uint32("a") != 0 || s.Err() == nil {
		t.Fatal("a is no number")
	}
	for range s.Children() {
		t.Fatal("a loop after a mistake")
	}
	if s.Text() != "" || s.Raw() != "" {
		t.Fatal("content after a mistake")
	}
}

func TestEscape(t *testing.T) {
	got := string(xmlpull.AppendElement(xmlpull.AppendUint(xmlpull.AppendAttr(nil, "a", "\"<&>\t\n"), "n", 7), "e", "ü\x01\xff]]>"))
	if want := " a=\"&quot;&lt;&amp;&gt;&#9;&#10;\" n=\"7\"<e>ü\ufffd\ufffd]]&gt;</e>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzScanner checks that whatever is accepted is well-formed to another parser,
// and that payloads cut out of it are too.
func FuzzScanner(f *testing.F) {
	f.Add(`<?xml version="1.0"?><r xmlns:s="1" xmlns="d"><p s:a="&#65;"><![CDATA[<]]><!-- x --></p></r>`)
	f.Add(`<a:r xmlns:a="1"><a:b xsi:type="x"/></a:r>`)
	f.Fuzz(func(t *testing.T, doc string) {
		s := xmlpull.New([]byte(doc), 1<<16)
		s.RootName()
		var parts []string
		for range s.Children() {
			parts = append(parts, s.Raw())
		}
		if s.Finish() != nil {
			return
		}
		for _, part := range parts {
			if err := wellFormed(part); err != nil {
				t.Fatalf("%q: %v", part, err)
			}
			again := xmlpull.New([]byte(part), 1<<20)
			again.RootName()
			if got := again.Raw(); got != part || again.Finish() != nil {
				t.Fatalf("%q again is %q: %v", part, got, again.Err())
			}
		}
	})
}

func wellFormed(doc string) error {
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		if _, err := d.Token(); err == io.EOF {
			return nil
		} else if err != nil {
			// The other parser knows which letters beyond ASCII make names; we take all.
			if strings.Contains(err.Error(), "invalid XML name") {
				return nil
			}
			return err
		}
	}
}
