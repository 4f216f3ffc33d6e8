// Package loopback hands out loopback addresses, so that programs that insist on
// a fixed or known port can run side by side: each gets an address of its own
// instead of a port, and no port can be taken between its choice and its use.
package loopback

import (
	"crypto/rand"
	"net"
	"net/netip"
	"testing"
)

// Addr returns an address of 127.0.0.0/8 that nobody else was given, with a
// probability that leaves nothing to worry about: it is one of 16 million, and it
// was free a moment ago on the port that most programs under test use.
func Addr(t testing.TB) netip.Addr {
	t.Helper()
	for range 100 {
		a := [4]byte{127}
		if _, err := rand.Read(a[1:]); err != nil {
			t.Fatal(err)
		}
		if a[1] == 0 || a[3] == 0 || a[3] == 255 { // 127.0.x.x is everybody's
			continue
		}
		addr := netip.AddrFrom4(a)
		l, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 5060).String())
		if err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free loopback address: 127.0.0.0/8 cannot be bound here")
	return netip.Addr{}
}
