package loopback

import "testing"

func TestAddrsDiffer(t *testing.T) {
	if a, b := Addr(t), Addr(t); a == b || !a.IsLoopback() || !b.IsLoopback() {
		t.Errorf("got %v and %v, want two loopback addresses", a, b)
	}
}
