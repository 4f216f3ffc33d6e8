package load

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// endpoint is one device of a user with its connection.
type endpoint struct {
	run  *Run
	user *user
	id   int32
	epid string
	in   atomic.Bool // signed in
	// watching is since when, in the run's time, it watches its contacts; 0: not.
	watching atomic.Int64

	mu     sync.Mutex // guards the fields below; never held together with another endpoint's
	link   *link      // nil while there is no connection
	life   uint32     // counts connections
	seq    uint32     // of requests, for branches and CSeq; never goes back
	open   []pending
	proof  *association
	asked  bool          // a challenge was answered and the answer is on its way
	began  time.Duration // when the sign-in under way was to begin
	visits int           // sessions so far
	steps  int           // requests after sign-in that are still open
	broken int           // the status of the first of them that failed; 0: none
	leave  bool          // signing out
	wait   time.Duration
	ours   string // our Contact
	theirs string // the server's
	own    [3]dialog
	shorts []short
	meets  []attendance
	vers   [slots]uint32
	asking []invitation
	sent   time.Duration   // when something was sent last
	heard  []time.Duration // of each contact the last note; nil: none yet
}

// pending is a request that waits for its answer.
type pending struct {
	seq    uint32
	ref    uint32 // what the act is about: a session, a short subscription, a kind of publication
	act    Act
	round  uint8         // how often it was repeated for a reason that is no failure
	silent bool          // no act of its own: what becomes of it is not counted
	step   bool          // part of becoming wholly signed in
	due    time.Duration // when it was to be sent
	sent   time.Duration
}

// dialog is a subscription of an endpoint.
type dialog struct {
	seq   uint32 // of the request that made it: names the Call-ID
	toTag string
}

// short is a short subscription.
type short struct {
	dialog
	about int32 // the user watched
}

// callID is the Call-ID of a dialog that a request began.
func (e *endpoint) callID(seq uint32) string {
	return string(strconv.AppendUint(append(append(append([]byte(nil), e.epid...), e.run.id...), '.'), uint64(seq), 36))
}

// send sends a request that is an act and notes that an answer is due. e.mu is
// held. It reports the number of the request, 0 when the connection is gone.
func (e *endpoint) send(q *request, p pending) uint32 {
	if e.link == nil {
		e.run.tally[p.act].skipped.Add(1)
		return 0
	}
	seq := e.next()
	if q.callID == "" {
		q.callID = e.callID(seq)
	}
	now := e.run.now()
	p.seq, p.sent = seq, now
	if p.due == 0 {
		p.due = now
	}
	e.open = append(e.open, p)
	if !p.silent && p.round == 0 {
		e.run.departed(p.act, p.due, now)
	}
	e.write(q, seq)
	return seq
}

// departed counts an act that was sent.
func (r *Run) departed(a Act, due, now time.Duration) {
	t := &r.tally[a]
	t.sent.Add(1)
	if now-due > lateAfter {
		t.late.Add(1)
	}
}

func (e *endpoint) next() uint32 { e.seq++; return e.seq }

// write writes a request. An error shows at the reader, too, and is handled there.
func (e *endpoint) write(q *request, seq uint32) {
	buf := e.run.buffers.Get().(*[]byte)
	b := e.append((*buf)[:0], q, seq)
	e.run.count.requests.Add(1)
	e.put(b)
	*buf = b
	e.run.buffers.Put(buf)
}

// put writes bytes. e.mu is held.
func (e *endpoint) put(b []byte) {
	if e.link == nil {
		return
	}
	e.sent = e.run.now()
	if e.link.send(b) != nil {
		e.link.hangUp()
	}
}

// take removes the pending request with the number.
func (e *endpoint) take(seq uint32) (pending, bool) {
	for i := range e.open {
		if e.open[i].seq == seq {
			p := e.open[i]
			last := len(e.open) - 1
			e.open[i] = e.open[last]
			if e.open = e.open[:last]; last == 0 {
				e.open = nil
			}
			return p, true
		}
	}
	return pending{}, false
}

// receive handles a message of the server.
func (e *endpoint) receive(l *link, m message) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link != l {
		return nil
	}
	e.run.count.bytesIn.Add(int64(len(m.raw)))
	if m.status > 0 {
		e.answered(&m)
	} else {
		e.asks(&m)
	}
	return nil
}

// answered handles a response.
func (e *endpoint) answered(m *message) {
	if m.status < 200 {
		return
	}
	p, ok := e.take(numberOf(param(m.get("Via"), "branch")))
	if !ok {
		e.run.count.strange.Add(1)
		return
	}
	if !e.verify(m, registers(p.act)) {
		return
	}
	if registers(p.act) {
		if m.status == 401 && e.challenged(m, p) {
			return
		}
		e.asked = false
	}
	if m.status == 409 && e.outdated(m, p) {
		return
	}
	if e.run.unserved(p.act, m) {
		e.run.missing[p.act].Store(int32(m.status))
		e.run.tally[p.act].skipped.Add(1)
	} else {
		e.settle(p, m.status)
	}
	if after := follow[p.act]; after != nil {
		after(e, m, p)
	}
	if m.status >= 300 && !p.silent {
		e.run.count.example(e, p.act, m)
	}
	if m.status >= 300 {
		e.told(m)
	}
	e.progress(p, m.status)
}

// settle counts the outcome of an act.
func (e *endpoint) settle(p pending, status int) {
	if p.silent {
		return
	}
	t := &e.run.tally[p.act]
	if status >= 300 {
		t.refused(status)
		return
	}
	t.answered.Add(1)
	d := e.run.now() - p.due
	t.latency.Add(d)
	e.run.recent.Load().Add(d)
}

// told obeys a Retry-After: nothing but what is under way is sent before.
func (e *endpoint) told(m *message) {
	seconds := number(m.get("Retry-After"))
	if seconds < 0 {
		return
	}
	e.run.count.told.Add(1)
	e.wait = max(e.wait, e.run.now()+e.run.jittered(time.Duration(seconds)*time.Second))
}

// lost handles the end of the connection l: what waits for an answer will get
// none.
func (e *endpoint) lost(l *link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link != l {
		return
	}
	l.Close()
	if e.in.Swap(false) {
		e.run.count.signedIn.Add(-1)
	}
	for _, p := range e.open {
		if !p.silent {
			e.run.cutShort(p.act, p.due)
		}
		e.failed(p)
	}
	if e.steps > 0 {
		t := &e.run.tally[Ready]
		t.planned.Add(1)
		t.sent.Add(1)
		e.run.cutShort(Ready, e.began)
	}
	leaving := e.leave
	e.reset()
	switch {
	case e.run.ending.Load():
	case leaving:
		e.rest()
	default:
		if !l.hung.Load() {
			e.run.count.dropped.Add(1)
		}
		e.later(e.run.jittered(4 * time.Second))
	}
}

// cutShort counts an act whose connection ended before its answer: lost, or open
// when it is the run that ended.
func (r *Run) cutShort(a Act, due time.Duration) {
	if t := &r.tally[a]; r.ending.Load() {
		t.stillOpen(r.length - due)
	} else {
		t.lost.Add(1)
	}
}

// failed follows a request that got no answer.
func (e *endpoint) failed(p pending) {
	if p.act == Talk {
		if x := e.run.talks.get(p.ref); x != nil {
			e.run.talks.end(x)
		}
	}
}

// reset forgets everything that hung on a connection.
func (e *endpoint) reset() {
	e.link, e.open, e.proof, e.asked, e.steps, e.broken, e.leave = nil, nil, nil, false, 0, 0, false
	e.own, e.shorts, e.meets, e.asking = [3]dialog{}, nil, nil, nil // sessions notice by themselves
	e.ours, e.heard = "", nil
	e.watching.Store(0)
	e.vers = [slots]uint32{}
}

// later connects again after d, or when the server said.
func (e *endpoint) later(d time.Duration) {
	e.run.agenda.add(todo{at: max(e.run.now()+d, e.wait), what: signIn, who: e.id, ref: uint32(Again)})
}

// rest ends a session; the next begins when the model says.
func (e *endpoint) rest() {
	c := &e.run.cfg
	if c.Away > 0 {
		e.run.agenda.add(todo{at: e.run.now() + e.run.scaled(c.Away), what: signIn, who: e.id, ref: uint32(SignIn)})
	}
}

// silence counts what got no answer in time. A sign-in that got none is begun anew.
func (e *endpoint) silence(now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	hang := false
	for i := 0; i < len(e.open); i++ {
		p := e.open[i]
		if now-p.sent < e.run.cfg.Patience {
			continue
		}
		e.open[i] = e.open[len(e.open)-1]
		e.open = e.open[:len(e.open)-1]
		i--
		hang = hang || registers(p.act)
		if !p.silent {
			e.run.tally[p.act].unanswered.Add(1)
		}
		e.failed(p)
		e.progress(p, unheard)
	}
	if hang && e.link != nil {
		e.link.hangUp()
	}
}
