package sipauth

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// readInfo takes an Authentication-Info apart.
func readInfo(t *testing.T, v string) (credentials, Seal, []byte) {
	t.Helper()
	c, ok, err := parseCredentials(v)
	if err != nil || !ok {
		t.Fatalf("%q: %v", v, err)
	}
	get := func(name string) string {
		_, rest, _ := strings.Cut(v, name+`="`)
		s, _, _ := strings.Cut(rest, `"`)
		return s
	}
	sig, err := hex.DecodeString(get("rspauth"))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := c.number(pVersion)
	return c, Seal{Scheme: c.scheme.String(), Rand: get("srand"), Num: get("snum"), Realm: c.value[pRealm], Target: c.value[pTarget], Version: int(n)}, sig
}

func TestText(t *testing.T) {
	m, err := sip.Parse([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS x\r\nFrom: \"<x>\" <sip:alice@contoso.test>;epid=1;tag=4944537669\r\n" +
		"To: <sip:bob@contoso.test>;tag=1704546625;epid=2\r\nCall-ID: 59B7\r\nCSeq: 3 MESSAGE\r\nContent-Length: 0\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := Seal{Scheme: "NTLM", Rand: "C19D7734", Num: "21", Realm: "SIP Communications Service", Target: "fe1.contoso.test", Version: 4}
	head := "<NTLM><C19D7734><21><SIP Communications Service><fe1.contoso.test><59B7><3><MESSAGE><sip:alice@contoso.test><4944537669>"
	for version, want := range map[int]string{
		4: head + "<sip:bob@contoso.test><1704546625><><><><200>",
		3: head + "<sip:bob@contoso.test><1704546625><><><><200>",
		2: head + "<1704546625><><200>",
	} {
		s.Version = version
		if got := string(AppendText(nil, s, m)); got != want {
			t.Errorf("version %d:\n got %s\nwant %s", version, got, want)
		}
	}
	m.Add("P-Preferred-Identity", "<sip:alice@contoso.test>, <tel:+15550101>")
	m.Add("Expires", "60")
	s.Version = 4
	if got := string(AppendText(nil, s, m)); !strings.HasSuffix(got, "<1704546625><sip:alice@contoso.test><tel:+15550101><60><200>") {
		t.Errorf("got %s", got)
	}
}

func TestCalm(t *testing.T) {
	for in, want := range map[string]string{
		`"Al" <sip:a@b>;tag=1`:             `"Al" <sip:a@b>;tag=1`,
		`"Doe, <x>;tag=2" <sip:a@b>;tag=1`: `"Doe   x  tag=2" <sip:a@b>;tag=1`,
		`"a\"<" <sip:a@b>`:                 `"a\" " <sip:a@b>`,
		`"a" <sip:a@b>, "b;" <tel:+1>`:     `"a" <sip:a@b>, "b " <tel:+1>`,
		`<sip:a@b>;tag=1`:                  `<sip:a@b>;tag=1`,
		`"open < <sip:a@b>`:                `"open    sip:a@b `,
	} {
		m := &sip.Message{}
		m.Add("From", in)
		if calm(m); m.Get("From") != want {
			t.Errorf("%s became %s, want %s", in, m.Get("From"), want)
		}
	}
}

func TestOffers(t *testing.T) {
	bare := func(method string, extra ...string) *sip.Message {
		m := request(method, alice, "")
		m.Set("From", "<"+string(alice)+">;tag=1")
		for i := 0; i < len(extra); i += 2 {
			m.Add(extra[i], extra[i+1])
		}
		return m
	}
	all := Policy{UseNtlm: true, UseDigest: true, DigestMD5: true}
	for _, tc := range []struct {
		name   string
		policy Policy
		m      *sip.Message
		status int
		want   string
	}{
		{"Lync", all, request("REGISTER", alice, ""), 401, "NTLM"},
		{"Lync by Supported", all, bare("REGISTER", "Supported", "gruu-10"), 401, "NTLM"},
		{"Lync by header", all, bare("REGISTER", "ms-keep-alive", "UAC;hop-hop=yes"), 401, "NTLM"},
		{"Lync, other method", all, request("SUBSCRIBE", alice, ""), 401, "NTLM"},
		{"phone", all, bare("REGISTER", "Supported", "path, outbound"), 401, "Digest Digest"},
		{"phone, other method", all, bare("INVITE", "Supported", "100rel"), 407, "Digest Digest"},
		{"phone by instance", all, bare("REGISTER", "Supported", "x", "Contact", `<sip:x@y>;+sip.instance="<urn:uuid:1>"`), 401, "Digest Digest"},
		{"unsure", all, bare("REGISTER", "Supported", "x"), 401, "Digest Digest NTLM"},
		{"old phone", all, bare("REGISTER", "Contact", `<sip:x@y>;+sip.instance="<urn:uuid:1>"`), 401, "Digest"},
		{"old phone without MD5", Policy{UseNtlm: true, UseDigest: true}, bare("REGISTER"), 401, "Digest"},
		{"without MD5", Policy{UseDigest: true}, bare("REGISTER"), 401, "Digest"},
		{"Lync where only Digest is on", Policy{UseDigest: true}, request("REGISTER", alice, ""), 401, "Digest"},
		{"phone where only NTLM is on", Policy{UseNtlm: true}, bare("REGISTER", "Supported", "path"), 401, "NTLM"},
		{"no keys for the others", Policy{UseNtlm: true, UseKerberos: true, UseCertificate: true}, request("REGISTER", alice, ""), 401, "NTLM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.policy = tc.policy
			res := s.challenge(tc.m)
			if got := strings.Join(lines(res), " "); res.Status != tc.status || got != tc.want {
				t.Errorf("%d %q, want %d %q", res.Status, got, tc.status, tc.want)
			}
		})
	}
	s := newSite(t)
	s.policy = Policy{}
	if _, _, err := s.check(s.peer, bare("REGISTER")); err == nil {
		t.Error("nothing is switched on and yet something is offered")
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, tc := range []struct {
		n    uint32
		want bool
	}{{0, false}, {1, true}, {1, false}, {5, true}, {3, true}, {3, false}, {4, true}, {200, true}, {136, false}, {137, true}, {137, false}, {200, false}, {1 << 31, true}, {201, false}} {
		if got := w.take(tc.n); got != tc.want {
			t.Errorf("take(%d) = %v", tc.n, got)
		}
	}
}

func TestBrakesAreBounded(t *testing.T) {
	b, now := NewBrakes(), time.Now()
	for i := range maxBrakes + 10 {
		b.Failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), fmt.Sprint(i), now)
	}
	if len(b.debt) > maxBrakes+2 {
		t.Errorf("%d entries", len(b.debt))
	}
	addr := netip.MustParseAddr("2001:db8::1")
	for i := range perAddress.free {
		b.Failed(addr, fmt.Sprint("device", i), now)
	}
	if b.Check(netip.MustParseAddr("2001:db8::2"), "new", now) == nil {
		t.Error("another address of the same network is free")
	}
	if err := b.Check(netip.MustParseAddr("2001:db8:1::2"), "new", now); err != nil {
		t.Error(err)
	}
}

func TestMergeRecords(t *testing.T) {
	rec := func(typ byte, body string) []byte { return append([]byte{typ, 3, 1, 0, byte(len(body))}, body...) }
	in := slices.Concat(rec(22, "hello"), rec(22, "certificate"), rec(22, "done"))
	if got := mergeRecords(in); !slices.Equal(got, rec(22, "hellocertificatedone")) {
		t.Errorf("got %q", got)
	}
	last := slices.Concat(rec(20, "\x01"), rec(22, "finished"))
	if got := mergeRecords(last); !slices.Equal(got, last) {
		t.Errorf("got %q", got)
	}
	if got := mergeRecords(in[:len(in)-2]); len(got) == 0 {
		t.Error("a cut flight vanished")
	}
	big := mergeRecords(append([]byte{22, 3, 1, 0x40, 0}, append(make([]byte, 1<<14), rec(22, "more")...)...))
	if len(big) != 1<<14+4+10 {
		t.Errorf("a long flight has %d bytes", len(big))
	}
}

func FuzzParseCredentials(f *testing.F) {
	f.Add(`NTLM qop="auth", realm="SIP Communications Service", targetname="fe1", gssapi-data="", version=4`)
	f.Add(`Digest username="a\"b", realm=x, nc=00000001`)
	f.Add(`Kerberos realm="`)
	f.Fuzz(func(t *testing.T, v string) {
		if c, ok, err := parseCredentials(v); err == nil && ok {
			if b, err := c.token(100); err == nil && len(b) > 102 {
				t.Error("limit")
			}
		}
	})
}

// FuzzHandshake feeds hostile gssapi-data to every scheme.
func FuzzHandshake(f *testing.F) {
	f.Add(byte(0), []byte("NTLMSSP\x00\x03\x00\x00\x00"), []byte{})
	f.Add(byte(1), []byte{0x60, 0x82, 1, 0}, []byte{})
	f.Add(byte(2), []byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, []byte{22})
	f.Fuzz(func(t *testing.T, which byte, one, two []byte) {
		s := newSite(t)
		withKeys(s)
		name := []string{"NTLM", "Kerberos", "TLS-DSK"}[which%3]
		opaque := ""
		for _, token := range [][]byte{one, two} {
			v := name + ` realm="` + DefaultRealm + `", targetname="` + fqdn + `", gssapi-data="` + base64.StdEncoding.EncodeToString(token) + `", opaque="` + opaque + `"`
			user, res, _ := s.check(s.peer, request("REGISTER", alice, v))
			if user != "" {
				t.Fatal("let in")
			}
			if res != nil {
				if c, ok, err := parseCredentials(res.Get("WWW-Authenticate")); err == nil && ok {
					opaque = c.value[pOpaque]
				}
			}
		}
		s.peer.end()
	})
}
