package siptrans

import (
	"net/netip"
	"sync"
)

const connShards = 64

// connTable finds connections by id.
type connTable struct {
	shards [connShards]struct {
		mu sync.RWMutex
		m  map[uint64]*Conn
	}
}

func (t *connTable) init() {
	for i := range t.shards {
		t.shards[i].m = map[uint64]*Conn{}
	}
}

func (t *connTable) get(id uint64) *Conn {
	s := &t.shards[id%connShards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[id]
}

func (t *connTable) put(c *Conn) {
	s := &t.shards[c.id%connShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[c.id] = c
}

func (t *connTable) del(id uint64) {
	s := &t.shards[id%connShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, id)
}

func (t *connTable) all() (out []*Conn) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for _, c := range s.m {
			out = append(out, c)
		}
		s.mu.RUnlock()
	}
	return out
}

// sourceTable counts the stream connections that were accepted, and the strangers
// of each address among them.
type sourceTable struct {
	mu   sync.Mutex
	open int
	n    map[netip.Addr]int
}

// enter counts a connection of a stranger, unless there are as many as may be.
func (t *sourceTable) enter(a netip.Addr, perSource, all int) bool {
	a = household(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if all > 0 && t.open >= all || perSource > 0 && t.n[a] >= perSource {
		return false
	}
	if t.n == nil {
		t.n = map[netip.Addr]int{}
	}
	t.open++
	t.n[a]++
	return true
}

// household is what one source is: an IPv4 address, or the /64 that whoever has
// one address of it has whole.
func household(a netip.Addr) netip.Addr {
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		return p.Addr()
	}
	return a
}

// known is for a connection that is no stranger's any more.
func (t *sourceTable) known(a netip.Addr) {
	a = household(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n[a]--; t.n[a] <= 0 {
		delete(t.n, a)
	}
}

func (t *sourceTable) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
}
