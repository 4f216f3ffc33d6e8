package siptrans

import (
	"hash/maphash"
	"runtime/debug"
	"strings"
	"sync"

	"trivet/wire/sip"
)

// laneLimit is how many requests may wait in a lane. A stream is not read on
// until half of them are done; over UDP, more are refused.
const laneLimit = 64

// lanes are the queues of requests that the reader may not handle itself: one per
// (connection, From URI), in order, with a goroutine as long as there is work.
type lanes struct {
	seed   maphash.Seed
	shards [connShards]struct {
		mu sync.Mutex
		m  map[laneKey]lane // present: a goroutine works on it
	}
}

type lane struct {
	waiting []*ServerTx
	room    chan struct{} // closed when there is room again; nil unless the reader waits for that
}

type laneKey struct {
	conn uint64
	user uint64 // hash of the From URI: two users in one lane would only wait for each other
}

func (q *lanes) init() {
	q.seed = maphash.MakeSeed()
	for i := range q.shards {
		q.shards[i].m = map[laneKey]lane{}
	}
}

// dispatch has t handled, here or in its lane.
func (l *Layer) dispatch(t *ServerTx) {
	l.stats.inWork.Add(1)
	if from := uriOf(t.req.Get("From")); t.conn.shared(from) {
		b := t.batch
		t.batch = nil
		l.enqueue(l.lanes.key(t.conn, from), t, b)
		return
	}
	l.handle(t)
}

func (q *lanes) key(c *Conn, from string) laneKey {
	return laneKey{c.id, maphash.String(q.seed, strings.ToLower(from))}
}

// crowded reports whether the lane of a datagram is full. Only the reader of the
// socket adds to it, so what has room now still has it in dispatch.
func (l *Layer) crowded(c *Conn, m *sip.Message) bool {
	if c.udp == nil {
		return false
	}
	k := l.lanes.key(c, uriOf(m.Get("From")))
	s := &l.lanes.shards[(k.conn^k.user)%connShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.m[k].waiting) >= laneLimit
}

// shared reports whether several users send over c. The first request of a second
// one makes it so; what came before has been handled by then. Reader only.
func (c *Conn) shared(from string) bool {
	r := &c.reader
	switch {
	case c.udp != nil || r.many:
		return true
	case r.user == "":
		r.user = strings.Clone(from)
	case r.user != from && !strings.EqualFold(r.user, from):
		r.many, r.user = true, ""
		return true
	}
	return false
}

// enqueue puts t into its lane and waits for room there. What b holds back is
// written before that.
func (l *Layer) enqueue(k laneKey, t *ServerTx, b *Batch) {
	s := &l.lanes.shards[(k.conn^k.user)%connShards]
	s.mu.Lock()
	q, busy := s.m[k]
	for len(q.waiting) >= laneLimit {
		room := make(chan struct{})
		q.room = room
		s.m[k] = q
		s.mu.Unlock()
		b.flush()
		<-room
		s.mu.Lock()
		q, busy = s.m[k]
	}
	if busy {
		q.waiting = append(q.waiting, t)
		s.m[k] = q
		s.mu.Unlock()
		return
	}
	s.m[k] = lane{}
	s.mu.Unlock()
	l.task(func() { l.work(k, t) })
}

// work handles t and what comes into its lane meanwhile.
func (l *Layer) work(k laneKey, t *ServerTx) {
	s := &l.lanes.shards[(k.conn^k.user)%connShards]
	for {
		l.handle(t)
		s.mu.Lock()
		q := s.m[k]
		if len(q.waiting) == 0 {
			delete(s.m, k)
			s.mu.Unlock()
			return
		}
		t = q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		if q.room != nil && len(q.waiting) <= laneLimit/2 {
			close(q.room)
			q.room = nil
		}
		s.m[k] = q
		s.mu.Unlock()
	}
}

// handle calls the handler. A panic in it costs the request, not the server.
func (l *Layer) handle(t *ServerTx) {
	defer l.stats.inWork.Add(-1)
	defer l.recovered(func() { t.Respond(sip.NewResponse(t.req, 500, "")) })
	l.cfg.Handler.Serve(l.ctx, t)
}

// recovered is deferred around what handles a message: it logs a panic and has
// the damage contained by then.
func (l *Layer) recovered(then func()) {
	if v := recover(); v != nil {
		l.cfg.Log.Error("panic while a message was handled", "value", v, "stack", string(debug.Stack()))
		then()
	}
}
