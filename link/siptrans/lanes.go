package siptrans

import (
	"hash/maphash"
	"runtime/debug"
	"strings"
	"sync"

	"trivet/wire/sip"
)

// lanes are the queues of requests that the reader may not handle itself: one per
// (connection, From URI), in order, with a goroutine as long as there is work.
type lanes struct {
	seed   maphash.Seed
	shards [connShards]struct {
		mu sync.Mutex
		m  map[laneKey][]*ServerTx // present: a goroutine works on it
	}
}

type laneKey struct {
	conn uint64
	user uint64 // hash of the From URI: two users in one lane would only wait for each other
}

func (q *lanes) init() {
	q.seed = maphash.MakeSeed()
	for i := range q.shards {
		q.shards[i].m = map[laneKey][]*ServerTx{}
	}
}

// dispatch has t handled, here or in its lane.
func (l *Layer) dispatch(t *ServerTx) {
	l.stats.inWork.Add(1)
	if from := uriOf(t.req.Get("From")); t.conn.shared(from) {
		t.batch = nil
		l.enqueue(laneKey{t.conn.id, maphash.String(l.lanes.seed, strings.ToLower(from))}, t)
		return
	}
	l.handle(t)
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

func (l *Layer) enqueue(k laneKey, t *ServerTx) {
	s := &l.lanes.shards[(k.conn^k.user)%connShards]
	s.mu.Lock()
	waiting, busy := s.m[k]
	if busy {
		s.m[k] = append(waiting, t)
		s.mu.Unlock()
		return
	}
	s.m[k] = nil
	s.mu.Unlock()
	l.task(func() { l.work(k, t) })
}

// work handles t and what comes into its lane meanwhile.
func (l *Layer) work(k laneKey, t *ServerTx) {
	s := &l.lanes.shards[(k.conn^k.user)%connShards]
	for {
		l.handle(t)
		s.mu.Lock()
		waiting := s.m[k]
		if len(waiting) == 0 {
			delete(s.m, k)
			s.mu.Unlock()
			return
		}
		t = waiting[0]
		waiting[0] = nil
		s.m[k] = waiting[1:]
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
