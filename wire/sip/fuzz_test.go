package sip

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func seeds(f *testing.F) {
	files, _ := filepath.Glob("testdata/rfc*/*.dat")
	if len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(invite))
}

// FuzzParse: what parses is written and read back alike, every accessor copes,
// and Frame agrees with Parse about where a message ends.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		m.Check()
		m.Contacts()
		m.Expires()
		m.Clone().PopVia()
		m.Clone().PopRoute()
		if m.IsRequest() {
			NewResponse(m, 200, "").Append(nil)
		}
		raw := m.Append(nil)
		again, err := Parse(raw)
		if err != nil {
			t.Fatalf("written message does not parse: %v\n%q", err, raw)
		}
		if !alike(m, again) {
			t.Fatalf("round trip\n%q\n%q", raw, again.Append(nil))
		}
		if skip, size, err := Frame(raw, DefaultLimits); err == nil && (skip != 0 || size != len(raw)) {
			t.Fatalf("Frame: skip %d size %d of %d\n%q", skip, size, len(raw), raw)
		}
	})
}

// alike compares what a receiver sees; Content-Length is always rewritten.
func alike(a, b *Message) bool {
	a, b = a.Clone(), b.Clone()
	a.Del("Content-Length")
	b.Del("Content-Length")
	if len(a.Headers) != len(b.Headers) || string(a.Body) != string(b.Body) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Name != b.Headers[i].Name || a.Headers[i].Value != b.Headers[i].Value {
			return false
		}
	}
	return a.Method == b.Method && a.RequestURI == b.RequestURI && a.Status == b.Status && a.Reason == b.Reason
}

// FuzzURI: what parses is written and read back alike.
func FuzzURI(f *testing.F) {
	for _, s := range []string{"sip:a@b", "sips:a:p@[::1]:5061;transport=tls?x=y", "tel:+1;ext=2", "sip:%00@h", "sip:;@;?;@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		again, err := ParseURI(u.String())
		if err != nil || !reflect.DeepEqual(u, again) {
			t.Fatalf("%q: %#v, then %#v, %v", s, u, again, err)
		}
	})
}

// FuzzAddr: what parses is written and read back alike.
func FuzzAddr(f *testing.F) {
	for _, s := range []string{`"A \"x\"" <sip:a@b>;tag=1;epid="q"`, "sip:a@b;tag=2", "<sip:a@b>", "Al Ice <sip:a@b;x>;y", "*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddr(s)
		if err != nil {
			return
		}
		again, err := ParseAddr(a.String())
		if err != nil || again.URI != a.URI || again.Display != a.Display || len(again.Params) != len(a.Params) {
			t.Fatalf("%q: %#v, then %#v, %v", s, a, again, err)
		}
	})
}

// FuzzVia: nothing panics, and lists are cut without losing bytes.
func FuzzVia(f *testing.F) {
	f.Add("SIP / 2.0 / TCP [::1]:5 ;branch=x, SIP/2.0/UDP b")
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		for item := range Split(s) {
			ParseVia(item)
			n += len(item)
		}
		if n > len(s) {
			t.Fatalf("%q grew", s)
		}
	})
}
