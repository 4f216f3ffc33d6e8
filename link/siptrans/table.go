package siptrans

import "sync"

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
