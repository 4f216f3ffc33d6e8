package auth

import (
	"net/netip"
	"sync"
)

// maxFamiliar bounds the logins remembered.
const maxFamiliar = 1 << 16

// familiar remembers who has proved a password from where, in memory: those go
// first when many want their passwords checked.
type familiar struct {
	mu   sync.Mutex
	seen map[familiarKey]struct{}
}

type familiarKey struct {
	from  netip.Prefix
	login string
}

func newFamiliar() *familiar { return &familiar{seen: map[familiarKey]struct{}{}} }

// household is what one source is: an IPv4 address or an IPv6 /64.
func household(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (f *familiar) knows(from netip.Prefix, login string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.seen[familiarKey{from, login}]
	return ok
}

// add remembers a login; any other gives way when there are too many.
func (f *familiar) add(from netip.Prefix, login string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) >= maxFamiliar {
		for k := range f.seen {
			delete(f.seen, k)
			break
		}
	}
	f.seen[familiarKey{from, login}] = struct{}{}
}
