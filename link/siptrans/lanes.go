package siptrans

import (
	"hash/maphash"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"trivet/wire/sip"
)

// Bounds of requests that wait their turn. A stream whose next request finds no
// room is not read on for laneWait; what finds none then is answered 503, and
// nothing else of the stream is waited for until laneHaste has passed. So a user
// whose work stands still costs the others of a stream a tenth of the time at
// most. Over UDP, nothing is waited for.
const (
	laneLimit = 64   // requests waiting of one user on a connection
	connLimit = 2048 // requests of all users on a connection, waiting or being handled
	laneWait  = 500 * time.Millisecond
	laneHaste = 5 * time.Second
)

// lanes are the queues of requests that the reader may not handle itself: one per
// (connection, From URI), in order, with a goroutine as long as there is work.
type lanes struct {
	seed   maphash.Seed
	shards [connShards]laneShard
}

// laneShard has all lanes of a connection.
type laneShard struct {
	mu sync.Mutex // guards m, and Conn.crowd of the connections
	m  map[laneKey][]*ServerTx
}

// crowd is what a connection has in lanes.
type crowd struct {
	n    int           // requests
	key  laneKey       // what the reader wants room for
	room chan struct{} // closed when there is; nil unless the reader waits
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

func (q *lanes) key(c *Conn, from string) laneKey {
	return laneKey{c.id, maphash.String(q.seed, strings.ToLower(from))}
}

func (q *lanes) of(c *Conn) *laneShard { return &q.shards[c.id%connShards] }

// full reports whether another request has no room. mu is held.
func (s *laneShard) full(c *Conn, k laneKey) bool {
	return len(s.m[k]) >= laneLimit || c.crowd.n >= connLimit
}

// dispatch has t handled, here or in its lane.
func (l *Layer) dispatch(t *ServerTx) {
	l.stats.inWork.Add(1)
	from := uriOf(t.req.Get("From"))
	if !t.conn.shared(from) {
		l.handle(t)
		return
	}
	b := t.batch
	t.batch = nil
	if l.enqueue(l.lanes.key(t.conn, from), t, b) {
		return
	}
	l.done(t)
	l.stats.refused.Add(1)
	t.Respond(l.comeBack(t.req))
}

// crowded reports whether there is no room for a datagram. Only the reader of the
// socket adds to its lanes, so what has room now still has it in dispatch.
func (l *Layer) crowded(c *Conn, m *sip.Message) bool {
	if c.udp == nil {
		return false
	}
	k := l.lanes.key(c, uriOf(m.Get("From")))
	s := l.lanes.of(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full(c, k)
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

// enqueue puts t into its lane, waiting a while for room; it reports false when
// there is none. What b holds back is written before the wait.
func (l *Layer) enqueue(k laneKey, t *ServerTx, b *Batch) bool {
	c := t.conn
	s := l.lanes.of(c)
	s.mu.Lock()
	if s.full(c, k) && !l.await(s, c, k, b) {
		s.mu.Unlock()
		return false
	}
	q, busy := s.m[k]
	if busy {
		q = append(q, t)
	}
	s.m[k] = q
	c.crowd.n++
	s.mu.Unlock()
	if !busy {
		l.task(func() { l.work(k, t) })
	}
	return true
}

// await waits for room in the lane k of c and reports whether there is some. mu is
// held before and after.
func (l *Layer) await(s *laneShard, c *Conn, k laneKey, b *Batch) bool {
	if c.udp != nil || l.now() < c.reader.hasty {
		return false
	}
	room := make(chan struct{})
	c.crowd.key, c.crowd.room = k, room
	s.mu.Unlock()
	b.flush()
	limit := time.NewTimer(laneWait)
	defer limit.Stop()
	select {
	case <-room:
	case <-limit.C:
		c.reader.hasty = l.now() + laneHaste
	}
	s.mu.Lock()
	c.crowd.room = nil
	return !s.full(c, k)
}

// work handles t and what comes into its lane meanwhile.
func (l *Layer) work(k laneKey, t *ServerTx) {
	c := t.conn
	s := l.lanes.of(c)
	for t != nil {
		l.handle(t)
		s.mu.Lock()
		t = s.next(c, k)
		s.mu.Unlock()
	}
}

// next ends one request of the lane k, takes the next one off and lets a reader
// that waits go on. It returns nil when there is none. mu is held.
func (s *laneShard) next(c *Conn, k laneKey) (t *ServerTx) {
	c.crowd.n--
	if q := s.m[k]; len(q) == 0 {
		delete(s.m, k)
	} else {
		t, q[0] = q[0], nil
		s.m[k] = q[1:]
	}
	if w := &c.crowd; w.room != nil && len(s.m[w.key]) <= laneLimit/2 && w.n <= connLimit*3/4 {
		close(w.room)
		w.room = nil
	}
	return t
}

// handle calls the handler. A panic in it costs the request, not the server.
func (l *Layer) handle(t *ServerTx) {
	defer l.done(t)
	defer l.recovered(func() { t.Respond(sip.NewResponse(t.req, 500, "")) })
	if t.newcomer && !l.gate.enter(t) {
		l.stats.refused.Add(1)
		t.Respond(l.comeBack(t.req))
		return
	}
	if t.newcomer {
		t.conn.met.Store(true)
	}
	l.cfg.Handler.Serve(l.ctx, t)
}

// done ends the work on t.
func (l *Layer) done(t *ServerTx) {
	l.stats.inWork.Add(-1)
	if t.stranger {
		l.sources.done(t.conn.remote.Addr())
	}
}

// recovered is deferred around what handles a message: it logs a panic and has
// the damage contained by then.
func (l *Layer) recovered(then func()) {
	if v := recover(); v != nil {
		l.cfg.Log.Error("panic while a message was handled", "value", v, "stack", string(debug.Stack()))
		then()
	}
}
