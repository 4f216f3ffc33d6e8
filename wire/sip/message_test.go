package sip

import (
	"strings"
	"testing"
)

const invite = "INVITE sip:bob@example.test SIP/2.0\r\n" +
	"v: SIP / 2.0 / TCP [2001:db8::1]:5060 ;branch=z9hG4bK1, SIP/2.0/UDP b\r\n" +
	"From: \"A, lice\" <sip:alice@example.test;x=1>;tag=1;epid=ab\r\n" +
	"To: sip:bob@example.test;tag=2\r\nCall-ID: c\r\nCSeq: 0009 INVITE\r\nX-Odd : a\r\n  b\r\n" +
	"Supported: one\r\nk: two, three\r\nl: 3\r\n\r\nabcdef"

func TestParse(t *testing.T) {
	m, err := Parse([]byte(invite))
	if err != nil {
		t.Fatal(err)
	}
	from, _ := m.From()
	to, _ := m.To()
	via, err := m.Via()
	n, method, _ := m.CSeq()
	for _, c := range []struct{ what, got, want string }{
		{"body", string(m.Body), "abc"},
		{"display", from.Display, "A, lice"}, {"uri", from.URI, "sip:alice@example.test;x=1"},
		{"tag", from.Tag(), "1"}, {"epid", from.Params.Value("epid"), "ab"}, {"to", to.URI, "sip:bob@example.test"},
		{"via host", via.Host, "[2001:db8::1]"}, {"branch", via.Branch(), "z9hG4bK1"}, {"method", method, "INVITE"},
		{"folded", m.Get("x-odd"), "a b"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if err != nil || n != 9 || via.Port != 5060 || !m.Has("Supported", "THREE") || m.Has("Supported", "four") {
		t.Errorf("via %v %v, cseq %d", via, err, n)
	}
	m.PopVia()
	if got := m.Get("Via"); got != "SIP/2.0/UDP b" {
		t.Errorf("after PopVia: %q", got)
	}
	again, err := Parse(m.Append(nil))
	if err != nil || again.String() != m.String() || !strings.Contains(m.String(), "X-Odd: a b\r\n") {
		t.Errorf("round trip: %v\n%s", err, m)
	}
}

func TestStrayCR(t *testing.T) {
	for _, raw := range []string{
		strings.Replace(invite, "X-Odd", "X-A: a\rX-B: b\r\nX-Odd", 1),
		strings.Replace(invite, " SIP/2.0\r\n", "\rX-B: b SIP/2.0\r\n", 1),
	} {
		var m Message
		if raw == invite {
			t.Fatal("the message has no place for it")
		}
		if err := m.Parse([]byte(raw), DefaultLimits); err == nil || strings.Contains(m.String(), "\rX-B") {
			t.Errorf("got %v and\n%q", err, m.String())
		}
	}
}

func TestFrame(t *testing.T) {
	stream := []byte("\r\n\r\n" + invite)
	skip, size, err := Frame(stream, DefaultLimits)
	if err != nil || skip != 4 || string(stream[skip+size:]) != "def" {
		t.Fatalf("skip %d size %d err %v", skip, size, err)
	}
	for cut := range skip + size {
		if _, size, err := Frame(stream[:cut], DefaultLimits); size != 0 || err != nil {
			t.Fatalf("%d bytes: size %d err %v", cut, size, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	raw := []byte(strings.Replace(invite, "abcdef", "abc", 1))
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Parse(raw, DefaultLimits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	m, _ := Parse([]byte(invite))
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Append(buf[:0])
	}
}
