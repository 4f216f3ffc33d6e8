package soap

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestParseKeepsBytes(t *testing.T) {
	doc := "\ufeff<?xml version=\"1.0\" encoding='UTF-8'?>\n<a:x xmlns:a='urn:a' xmlns=\"urn:d\">&lt;t<y  p='1' a:q=\"&#x41;\" /><![CDATA[<&]]>&amp;<a:z>i</a:z >\n</a:x>\n"
	x, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if x.Space != "urn:a" || x.Local != "x" || x.Text != "<t<&&\n" {
		t.Errorf("root %q %q with text %q", x.Space, x.Local, x.Text)
	}
	y, z := x.Child("urn:d", "y"), x.Child("urn:a", "z")
	if y == nil || z == nil {
		t.Fatal("a child is missing")
	}
	if string(y.Raw) != `<y  p='1' a:q="&#x41;" />` || y.Attr("q") != "A" || len(y.Inner) != 0 {
		t.Errorf("y: %q %v", y.Raw, y.Attrs)
	}
	if string(z.Raw) != "<a:z>i</a:z >" || string(z.Inner) != "i" {
		t.Errorf("z: %q %q", z.Raw, z.Inner)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		kind      fault.Kind
	}{
		{"empty", "", fault.Invalid},
		{"text", "hello", fault.Invalid},
		{"document type", `<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>`, fault.Invalid},
		{"comment", "<x><!-- --></x>", fault.Invalid},
		{"instruction", "<x><?php ?></x>", fault.Invalid},
		{"entity", "<x>&a;</x>", fault.Invalid},
		{"bare ampersand", "<x>a & b</x>", fault.Invalid},
		{"null reference", "<x>&#0;</x>", fault.Invalid},
		{"surrogate", "<x>&#xD800;</x>", fault.Invalid},
		{"unclosed", "<x><y></y>", fault.Invalid},
		{"crossed", "<x><y></x></y>", fault.Invalid},
		{"two roots", "<x/><x/>", fault.Invalid},
		{"prefix", "<a:x/>", fault.Invalid},
		{"prefix out of scope", "<x><y xmlns:a='urn:a'/><a:z/></x>", fault.Invalid},
		{"attribute twice", "<x a='1' a='2'/>", fault.Invalid},
		{"attribute twice by namespace", "<x xmlns:a='u' xmlns:b='u' a:c='1' b:c='2'/>", fault.Invalid},
		{"unquoted", "<x a=1/>", fault.Invalid},
		{"glued", "<x a='1'b='2'/>", fault.Invalid},
		{"latin", "<?xml version='1.0' encoding='latin1'?><x/>", fault.Invalid},
		{"not UTF-8", "<x>\xff</x>", fault.Invalid},
		{"end only", "</x>", fault.Invalid},
		{"deep", strings.Repeat("<x>", 40) + strings.Repeat("</x>", 40), fault.Limit},
		{"many", "<x>" + strings.Repeat("<y/>", 600) + "</x>", fault.Limit},
		{"attributes", "<x" + manyAttributes(30) + "/>", fault.Limit},
		{"large", "<x>" + strings.Repeat("a", MaxDocument) + "</x>", fault.Limit},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse([]byte(c.doc)); !fault.Is(err, c.kind) {
				t.Errorf("got %v, want %v", err, c.kind)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + hex.EncodeToString([]byte{byte(i)}) + "='1'")
	}
	return b.String()
}

// The key of the client's entropy and the server's, computed by hand from RFC 2246
// section 5 with another program.
func TestProofKey(t *testing.T) {
	client, server := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	const want = "e7dee695899af2c5b5603c57cc0bbfb1cef01b0c5b4c1f113a95b064cebd65ed"
	if got := hex.EncodeToString(ProofKey(client, server)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func testAssertion() Assertion {
	return Assertion{ID: "_1", Issuer: "fe1.contoso.test", User: "al&ice@contoso.test", Audience: "https://fe1.contoso.test/CertProv?a=1&b=<2>", NotBefore: noon, NotAfter: noon.Add(8 * time.Hour), SealedKey: []byte("sealed")}
}

func TestAssertionTravels(t *testing.T) {
	key := []byte("key of the pool")
	want := testAssertion()
	doc := want.Append(nil, key)
	loose := string(doc) // as a client that writes XML anew would have it
	loose = strings.ReplaceAll(loose, "saml:", "q:")
	loose = strings.ReplaceAll(loose, "xmlns:saml", "xmlns:q")
	loose = strings.ReplaceAll(loose, "><q:", ">\n  <q:")
	for _, form := range []string{string(doc), loose} {
		x, err := Parse([]byte(form))
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenAssertion(x, key)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
}

func TestAssertionTampered(t *testing.T) {
	key := []byte("key of the pool")
	doc := string(testAssertion().Append(nil, key))
	for _, c := range []struct{ name, old, new string }{
		{"user", "al&amp;ice@", "bob@"},
		{"audience", "CertProv", "Other"},
		{"end", `NotOnOrAfter="2026-11-21T20`, `NotOnOrAfter="2027-11-21T20`},
		{"id", `AssertionID="_1"`, `AssertionID="_2"`},
		{"key", "c2VhbGVk", "c2VhbGVl"},
		{"key gone", "<e:CipherValue>c2VhbGVk</e:CipherValue>", ""},
		{"second subject", "<saml:AuthenticationStatement", "<saml:AuthenticationStatement/><saml:AuthenticationStatement"},
		{"signature gone", "<ds:SignatureValue>", "<ds:SignatureValue/><ds:SignatureValue>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(doc, c.old) {
				t.Fatalf("no %q in %s", c.old, doc)
			}
			x, err := Parse([]byte(strings.Replace(doc, c.old, c.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if a, err := OpenAssertion(x, key); err == nil {
				t.Errorf("accepted: %+v", a)
			}
		})
	}
	x, _ := Parse([]byte(doc))
	if _, err := OpenAssertion(x, []byte("another key")); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("with another pool's key: %v", err)
	}
}

func signedRequest(key []byte) []byte {
	sec := AppendSecurity(nil, testAssertion().Append(nil, []byte("pool")), "_1", key, noon, noon.Add(8*time.Hour))
	return AppendRequest(nil, Headers{To: "https://fe1.contoso.test/CertProv", Action: ActionPublish, MessageID: "uuid:1", Security: sec}, PublishRequest{DeviceID: "{d}", Entity: "alice@contoso.test", PKCS10: []byte("csr"), RequestID: "7"}.Append(nil))
}

func TestVerifyProof(t *testing.T) {
	key := []byte("proof key")
	doc := string(signedRequest(key))
	day := 24 * time.Hour
	for _, c := range []struct {
		name, old, new string
		now            time.Time
		max            time.Duration
		kind           fault.Kind
		ok             bool
	}{
		{name: "good", now: noon.Add(time.Minute), max: day, ok: true},
		{name: "late by less than the skew", now: noon.Add(8*time.Hour + 4*time.Minute), max: day, ok: true},
		{name: "expired", now: noon.Add(8*time.Hour + 6*time.Minute), max: day, kind: fault.Unauthenticated},
		{name: "future", now: noon.Add(-6 * time.Minute), max: day, kind: fault.Unauthenticated},
		{name: "too long", now: noon, max: time.Hour, kind: fault.Invalid},
		{name: "timestamp changed", old: "<wsu:Expires>2026-11-21T20", new: "<wsu:Expires>2026-11-21T21", now: noon, max: day, kind: fault.Unauthenticated},
		{name: "signature changed", old: "hmac-sha1\"></Sig", new: "hmac-sha1\" ></Sig", now: noon, max: day, kind: fault.Unauthenticated},
		{name: "other reference", old: `URI="#timestamp"`, new: `URI="#other"`, now: noon, max: day, kind: fault.Invalid},
		{name: "weaker method", old: "xmldsig#hmac-sha1", new: "xmldsig#hmac-md5", now: noon, max: day, kind: fault.Unsupported},
		{name: "second timestamp", old: "<wsu:Timestamp", new: `<wsu:Timestamp xmlns:wsu="` + nsWSU + `"/><wsu:Timestamp`, now: noon, max: day, kind: fault.Unauthenticated},
		{name: "no signature", old: "<SignatureValue>", new: "<SignatureValue></SignatureValue><SignatureValue>", now: noon, max: day, kind: fault.Unauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(doc, c.old) {
				t.Fatalf("no %q", c.old)
			}
			e, err := ParseEnvelope([]byte(strings.Replace(doc, c.old, c.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseSecurity(e)
			if err != nil {
				t.Fatal(err)
			}
			err = s.VerifyProof(key, Window{Now: c.now, Skew: 5 * time.Minute, MaxLife: c.max})
			if c.ok != (err == nil) || !c.ok && !fault.Is(err, c.kind) {
				t.Errorf("got %v", err)
			}
		})
	}
	e, _ := ParseEnvelope([]byte(doc))
	s, _ := ParseSecurity(e)
	if err := s.VerifyProof([]byte("another"), Window{Now: noon, MaxLife: day}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("with another key: %v", err)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Run("ticket request", func(t *testing.T) {
		want := TicketRequest{Context: "c", AppliesTo: "https://x/y?a&b", Claim: "sip:alice@contoso.test", Entropy: bytes.Repeat([]byte{9}, 32)}
		e, err := ParseEnvelope(AppendRequest(nil, Headers{To: "https://x", Action: ActionIssue, MessageID: "uuid:2"}, want.Append(nil)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseTicketRequest(e)
		if d := cmp.Diff(want, got); d != "" || err != nil || e.MessageID != "uuid:2" || e.Action != ActionIssue {
			t.Error(d, err, e.MessageID)
		}
	})
	t.Run("ticket response", func(t *testing.T) {
		want := TicketResponse{Context: "c", Assertion: testAssertion().Append(nil, []byte("k")), Entropy: []byte("0123456789abcdef"), AppliesTo: "https://x", Created: noon, Expires: noon.Add(time.Hour)}
		got, err := ParseTicketResponse(want.Append(nil))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
	})
	t.Run("publish request", func(t *testing.T) {
		e, err := ParseEnvelope(signedRequest([]byte("k")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePublishRequest(e)
		if d := cmp.Diff(PublishRequest{DeviceID: "{d}", Entity: "alice@contoso.test", PKCS10: []byte("csr"), RequestID: "7"}, got); d != "" || err != nil {
			t.Error(d, err)
		}
	})
	t.Run("publish response", func(t *testing.T) {
		want := PublishResponse{DeviceID: "{d}", Entity: "alice@contoso.test", Certificate: []byte("der"), RequestID: "7"}
		got, err := ParsePublishResponse(want.Append(nil))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
	})
	t.Run("discovery", func(t *testing.T) {
		want := Discovery{Internal: true, User: true, Links: []Link{{"Redirect", "https://x/?a=1&b=2"}}, Inside: Access{"fe1.contoso.test", 5061}, Outside: Access{"edge.contoso.test", 443}}
		got, err := ParseDiscovery(want.Append(nil))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
	})
	t.Run("description", func(t *testing.T) {
		d := Description{Service: "S", Namespace: "urn:s", Ports: []Port{{Name: "A", Location: "https://x/a", Proof: Signed, Issuer: "https://x/t"}, {Name: "B", Location: "https://x/b?c&d", Proof: Bearer, Issuer: "https://x/u"}, {Name: "C", Location: "https://x/c"}}}
		for _, want := range d.Ports {
			got, ok, err := FindPort(d.Append(nil), want.Name)
			if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
				t.Error(diff, ok, err)
			}
		}
	})
	t.Run("fault", func(t *testing.T) {
		want := Fault{Code: "wsse:FailedAuthentication", Reason: "a < b", Diag: 28000}
		e, err := ParseEnvelope(want.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := ParseFault(e)
		if got != want || !ok || e.Body.Path("Fault", "Detail", "error", "internalerror", "text").Value() != "a < b" {
			t.Errorf("%+v", got)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("<a:x xmlns:a='urn:a'>&lt;<y p='1'/><![CDATA[<]]></a:x>"))
	f.Add(signedRequest([]byte("k")))
	f.Fuzz(func(t *testing.T, doc []byte) {
		x, err := Parse(doc)
		if err != nil {
			return
		}
		if !bytes.Contains(doc, x.Raw) || !bytes.Contains(x.Raw, x.Inner) {
			t.Error("bytes were not kept")
		}
		if again, err := Parse(x.Raw); err != nil || again.Local != x.Local || again.Text != x.Text {
			t.Errorf("the root read again: %v", err)
		}
	})
}

func FuzzRequests(f *testing.F) {
	f.Add(signedRequest([]byte("k")))
	f.Add(AppendRequest(nil, Headers{}, TicketRequest{AppliesTo: "https://x", Entropy: make([]byte, 32)}.Append(nil)))
	f.Add(TicketResponse{Assertion: testAssertion().Append(nil, []byte("k")), Created: noon, Expires: noon}.Append(nil))
	f.Add(PublishResponse{Certificate: []byte("x")}.Append(nil))
	f.Add(Fault{Diag: 7}.Append(nil))
	f.Fuzz(func(t *testing.T, doc []byte) {
		e, err := ParseEnvelope(doc)
		if err != nil {
			return
		}
		if r, err := ParseTicketRequest(e); err == nil && (len(r.Entropy) > maxEntropy || r.AppliesTo == "") {
			t.Errorf("%+v", r)
		}
		if r, err := ParsePublishRequest(e); err == nil && (len(r.PKCS10) > maxPKCS10 || r.DeviceID == "") {
			t.Errorf("%+v", r)
		}
		if s, err := ParseSecurity(e); err == nil {
			if _, err := OpenAssertion(s.Assertion, []byte("never the key")); err == nil {
				t.Error("an assertion without the key")
			}
			if err := s.VerifyProof([]byte("never the key"), Window{Now: noon}); err == nil {
				t.Error("a proof without the key")
			}
		}
		ParseFault(e)
		ParseTicketResponse(doc)
		ParsePublishResponse(doc)
	})
}

func FuzzDiscovery(f *testing.F) {
	f.Add(Discovery{User: true, Links: []Link{{"User", "https://x"}}, Inside: Access{"x", 1}}.Append(nil))
	f.Add(Description{Ports: []Port{{Name: "A", Proof: Bearer}}}.Append(nil))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if d, err := ParseDiscovery(doc); err == nil {
			again, err := ParseDiscovery(d.Append(nil))
			if err != nil || again.Internal != d.Internal || len(again.Links) != len(d.Links) {
				t.Errorf("%+v then %+v, %v", d, again, err)
			}
		}
		FindPort(doc, "A")
	})
}
