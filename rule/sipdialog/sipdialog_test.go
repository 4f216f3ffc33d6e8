package sipdialog

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
)

func TestUntag(t *testing.T) {
	for _, c := range []struct{ in, addr, tag string }{
		{"<sip:a@b>;tag=1", "<sip:a@b>", "1"},
		{"<sip:a@b;tag=no>;epid=2;tag=1;x", "<sip:a@b;tag=no>;epid=2;x", "1"},
		{"sip:a@b;TAG=1", "sip:a@b", "1"},
		{`"a;tag=no>" <sip:a@b> ; tag = 1`, `"a;tag=no>" <sip:a@b>`, "1"},
		{`"a\"b" <sip:a@b>`, `"a\"b" <sip:a@b>`, ""},
		{`<sip:a@b>;x="p;q";tag=1`, `<sip:a@b>;x="p;q"`, "1"},
	} {
		if addr, tag := untag(c.in); addr != c.addr || tag != c.tag {
			t.Errorf("untag(%s) = %s, %s; want %s, %s", c.in, addr, tag, c.addr, c.tag)
		}
	}
}

var start = Start{CallID: "c", From: "<sip:a@b>;tag=f", To: "<sip:c@d>;tag=t", Seq: 7, Contact: "sip:x@y",
	RecordRoute: []string{"<sip:p2;lr>", "<sip:p1;lr>"}}

func TestNext(t *testing.T) {
	d := Accepted(start)
	want := Request{URI: "sip:x@y", Route: []string{"<sip:p2;lr>", "<sip:p1;lr>"}, From: "<sip:c@d>;tag=t", To: "<sip:a@b>;tag=f", CallID: "c", Seq: 1}
	if diff := cmp.Diff(want, d.Next(0)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := d.Next(1).Seq; got != 1 || d.LocalSeq != 1 {
		t.Errorf("ACK: Seq %d, LocalSeq %d", got, d.LocalSeq)
	}
}

func TestStrictRouter(t *testing.T) {
	s := start
	s.RecordRoute = []string{"<sip:old>", "<sip:p1;lr>"}
	d := Accepted(s)
	want := []string{"<sip:p1;lr>", "<sip:x@y>"}
	if r := d.Next(0); r.URI != "sip:old" || cmp.Diff(want, r.Route) != "" {
		t.Errorf("got %+v", r)
	}
}

func TestReceive(t *testing.T) {
	d := Accepted(start)
	for _, c := range []struct {
		method string
		seq    uint32
		want   fault.Kind
		ok     bool
	}{
		{"INFO", 8, 0, true}, {"INFO", 8, fault.Stale, false}, {"ACK", 7, 0, true}, {"MESSAGE", 20, 0, true},
		{"MESSAGE", 9, fault.Stale, false}, {"BYE", 21, 0, true}, {"INFO", 22, fault.Gone, false},
	} {
		if err := d.Receive(c.method, c.seq); (err == nil) != c.ok || !c.ok && !fault.Is(err, c.want) {
			t.Errorf("%s %d: got %v", c.method, c.seq, err)
		}
	}
	d.Refresh("")
	d.Refresh("sip:new")
	if d.Target != "sip:new" {
		t.Errorf("target %s", d.Target)
	}
}
