package uc

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParseUserURI(t *testing.T) {
	for _, c := range []struct {
		in   string
		want UserURI // "" is refused
	}{
		{"sip:alice@example.test", "sip:alice@example.test"},
		{"alice@example.test", "sip:alice@example.test"},
		{" SIPS:Alice@Example.Test:5061;transport=tls?x=y ", "sip:alice@example.test"},
		{"sip:alice;x=1:pw@example.test", "sip:alice@example.test"},
		{"sip:+1555@example.test", "sip:+1555@example.test"},
		{"sip:a@b@c", ""}, {"sip:@example.test", ""}, {"sip:alice@", ""}, {"sip:alice", ""}, {"", ""},
		{"sip:al ice@example.test", ""}, {"sip:<a>@example.test", ""}, {"sip:a@exa mple", ""}, {"sip:a@[::1]", ""},
	} {
		got, err := ParseUserURI(c.in)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

// A canonical address is what the slow way makes of it, and parsing it again
// changes nothing.
func TestCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`(sip:)?[a-zA-Z0-9.+~%!;:@ -]{0,12}@?[a-z.A-Z0-9:;_-]{0,9}`).Draw(t, "address")
		u, err := ParseUserURI(s)
		if err != nil {
			return
		}
		if again, err := ParseUserURI(string(u)); again != u || err != nil {
			t.Fatalf("%q: %q, then %q, %v", s, u, again, err)
		}
		if slow, err := ParseUserURI(" " + s); slow != u || err != nil {
			t.Fatalf("%q: %q the fast way, %q the slow way, %v", s, u, slow, err)
		}
	})
}

func BenchmarkParseUserURI(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ParseUserURI("sip:user00042@example.test")
	}
}
