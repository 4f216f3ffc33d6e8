package sippeer

import (
	"net/netip"
	"testing"

	"trivet/rule/groupstate"
)

func TestToken(t *testing.T) {
	for _, f := range []groupstate.Flow{
		{Epoch: 7, Conn: 12345},
		{Epoch: 1<<64 - 1, Conn: 1 << 62},
		{Epoch: 3, Conn: 4, Transport: "udp", Remote: netip.MustParseAddrPort("192.0.2.7:5060")},
		{Epoch: 3, Conn: 4, Transport: "udp", Remote: netip.MustParseAddrPort("[2001:db8::1%eth0]:5062")},
	} {
		got, ok := parse(token(&f))
		if !ok || got != f {
			t.Errorf("%+v came back as %+v, %v", f, got, ok)
		}
	}
	for _, s := range []string{"", "flow", "flow.", "flow.AAAA", "flow.!", "alice", token(&groupstate.Flow{})[1:], token(&groupstate.Flow{}) + "AA"} {
		if f, ok := parse(s); ok {
			t.Errorf("%q is taken for %+v", s, f)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("flow.AAAAAAAAAAcAAAAAAAAwOQ")
	f.Add(token(&groupstate.Flow{Epoch: 3, Conn: 4, Transport: "udp", Remote: netip.MustParseAddrPort("192.0.2.7:5060")}))
	f.Fuzz(func(t *testing.T, s string) {
		if flow, ok := parse(s); ok {
			if again, ok := parse(token(&flow)); !ok || again != flow {
				t.Errorf("%q: %+v came back as %+v", s, flow, again)
			}
		}
	})
}
