package siptrans

import (
	"net/netip"
	"sync"
)

// share is which part of what strangers may have in all those of one source may.
const share = 4

// freeBytes of a message begun are not counted: nearly all arrive in one piece, and
// the number of connections bounds the rest.
const freeBytes = 4 << 10

// sourceTable counts the stream connections that were accepted and what strangers
// have of them, of requests in work and of bytes held for them, in all and by source.
type sourceTable struct {
	mu   sync.Mutex
	open int
	all  stock
	of   map[netip.Addr]stock // by household
}

// stock is what strangers have.
type stock struct{ conns, work, bytes int }

// household is what one source is: an IPv4 address, or the /64 that whoever has
// one address of it has whole.
func household(a netip.Addr) netip.Addr {
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		return p.Addr()
	}
	return a
}

// change adds d to what a source has. mu is held.
func (t *sourceTable) change(a netip.Addr, d stock) {
	if t.of == nil {
		t.of = map[netip.Addr]stock{}
	}
	h := t.of[a]
	h.add(d)
	t.all.add(d)
	if h == (stock{}) {
		delete(t.of, a)
		return
	}
	t.of[a] = h
}

func (h *stock) add(d stock) {
	h.conns += d.conns
	h.work += d.work
	h.bytes += d.bytes
}

// enter counts a connection of a stranger, unless there are as many as may be.
func (t *sourceTable) enter(a netip.Addr, perSource, all int) (why reason, ok bool) {
	a = household(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case all > 0 && t.open >= all:
		return tooMany, false
	case perSource > 0 && t.of[a].conns >= perSource:
		return tooManyStrangers, false
	}
	t.open++
	t.change(a, stock{conns: 1})
	return 0, true
}

// known is for a connection that is no stranger's any more.
func (t *sourceTable) known(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(household(a), stock{conns: -1})
}

func (t *sourceTable) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
}

// begin counts a request of a stranger, unless there are as many as may be;
// done takes it off.
func (t *sourceTable) begin(a netip.Addr, all int) bool {
	a = household(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if all > 0 && (t.all.work >= all || t.of[a].work >= max(all/share, 1)) {
		return false
	}
	t.change(a, stock{work: 1})
	return true
}

func (t *sourceTable) done(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(household(a), stock{work: -1})
}

// hold counts more or fewer bytes of half-received messages; false: more than may
// be, and nothing is counted.
func (t *sourceTable) hold(a netip.Addr, n, all int) bool {
	a = household(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 && all > 0 && (t.all.bytes+n > all || t.of[a].bytes+n > all/share) {
		return false
	}
	t.change(a, stock{bytes: n})
	return true
}

// strangers reads what all strangers have.
func (t *sourceTable) strangers() stock {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}
