package replica

import (
	"encoding/binary"
	"maps"
	"slices"
)

const (
	window      = 1024 // results kept per client
	maxSessions = 256  // clients remembered per group
)

// unknown is the result of a command whose result did not outlive a restart.
type unknown struct{}

// session is what a group remembers of one client, alike on every replica.
type session struct {
	low     uint64         // every sequence number below is answered
	high    uint64         // the highest seen
	used    uint64         // index of the client's last entry
	results map[uint64]any // by sequence number, low or above
}

// sessions answers whether a command was carried out before. It is part of the
// replicated state: it depends on the entries alone.
type sessions struct {
	of map[uint64]*session
}

func newSessions() *sessions { return &sessions{of: map[uint64]*session{}} }

// seen reports whether the command was carried out before, and its result.
func (s *sessions) seen(id ID) (any, bool) {
	c := s.of[id.Client]
	if c == nil {
		return nil, false
	}
	if id.Seq < c.low {
		return unknown{}, true
	}
	res, ok := c.results[id.Seq]
	return res, ok
}

// keep records the result of a command that was not seen before.
func (s *sessions) keep(index uint64, c command, result any) {
	e := s.of[c.id.Client]
	if e == nil {
		e = &session{results: map[uint64]any{}}
		s.of[c.id.Client] = e
		s.evict()
	}
	e.used = index
	e.results[c.id.Seq] = result
	e.high = max(e.high, c.id.Seq)
	low := max(e.low, c.low)
	if e.high >= window {
		low = max(low, e.high-window+1)
	}
	e.raise(low)
}

func (e *session) raise(low uint64) {
	if low-e.low > uint64(len(e.results)) {
		maps.DeleteFunc(e.results, func(seq uint64, _ any) bool { return seq < low })
	} else {
		for seq := e.low; seq < low; seq++ {
			delete(e.results, seq)
		}
	}
	e.low = low
}

// evict forgets the client that was quiet for longest. The new one, not yet
// marked as used, stays.
func (s *sessions) evict() {
	if len(s.of) <= maxSessions {
		return
	}
	var oldest uint64
	found := false
	for id, e := range s.of {
		if e.used != 0 && (!found || e.used < s.of[oldest].used) {
			oldest, found = id, true
		}
	}
	if found {
		delete(s.of, oldest)
	}
}

// encode writes what makes commands recognisable; results are not kept.
func (s *sessions) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.of)))
	for _, id := range slices.Sorted(maps.Keys(s.of)) {
		e := s.of[id]
		b = binary.BigEndian.AppendUint64(b, id)
		for _, v := range [...]uint64{e.low, e.high, e.used, uint64(len(e.results))} {
			b = binary.AppendUvarint(b, v)
		}
		for _, seq := range slices.Sorted(maps.Keys(e.results)) {
			b = binary.AppendUvarint(b, seq)
		}
	}
	return b
}

func decodeSessions(r *reader) *sessions {
	s := newSessions()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		if len(r.b) < 8 {
			r.err = errEntry
			return s
		}
		id := binary.BigEndian.Uint64(r.b)
		r.b = r.b[8:]
		e := &session{results: map[uint64]any{}}
		e.low, e.high, e.used = r.uvarint(), r.uvarint(), r.uvarint()
		for k := r.uvarint(); k > 0 && r.err == nil; k-- {
			e.results[r.uvarint()] = unknown{}
		}
		s.of[id] = e
	}
	return s
}
