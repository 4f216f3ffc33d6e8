package load

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// talk is an IM session between two users. Each side belongs to the endpoint that
// has it and is guarded by that endpoint's mutex.
type talk struct {
	number uint32
	due    time.Duration // of the INVITE
	caller *endpoint
	callee atomic.Pointer[endpoint] // set when the side is whole
	side   [2]leg

	mu   sync.Mutex // guards the fields below; taken last
	up   bool       // the caller has acknowledged
	late []todo     // lines that were due before the session was up
}

// leg is one side's dialog.
type leg struct {
	to, toTag string // the other side
	target    string // its Contact
	routes    []string
}

// talks are the sessions that go on.
type talks struct {
	mu   sync.Mutex // guards the fields below
	last uint32
	open map[uint32]*talk
}

func (t *talks) get(n uint32) *talk {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[n]
}

func (t *talks) make(due time.Duration, caller *endpoint) *talk {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	x := &talk{number: t.last, due: due, caller: caller}
	t.open[t.last] = x
	return x
}

func (t *talks) end(x *talk) {
	t.mu.Lock()
	delete(t.open, x.number)
	t.mu.Unlock()
}

// lineEvery is the time between two lines of a session; a message is three of
// them: a notice that somebody types, one that he stopped, the message itself.
const lineEvery = 10 * time.Second

func (r *Run) talkID(n uint32) string {
	return "talk-" + r.id + "-" + strconv.FormatUint(uint64(n), 36)
}

// talkOf finds the session of a Call-ID.
func (r *Run) talkOf(callID []byte) *talk {
	rest, ok := strings.CutPrefix(string(callID), "talk-"+r.id+"-")
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(rest, 36, 32)
	if err != nil {
		return nil
	}
	return r.talks.get(uint32(n))
}

const (
	typing    = `<?xml version="1.0"?><KeyboardActivity><status xmlns="http://schemas.microsoft.com/sip/" status="type"/></KeyboardActivity>`
	paused    = `<?xml version="1.0"?><KeyboardActivity><status xmlns="http://schemas.microsoft.com/sip/" status="idle"/></KeyboardActivity>`
	plainText = "text/plain; charset=UTF-8;msgr=WAAtAE0ATQBTAC0ASQBNAC0ARgBvAHIAbQBhAHQAOgAgAEYATgA9AE0AUwAlADIAMABTAGEAbgBzACUAMgAwAFMAZQByAGkAZgA7ACAARQBGAD0AOwAgAEMATwA9ADAAOwAgAFAARgA9ADAAOwAgAFIATAA9ADAADQAKAA0ACgA"
	prose     = "The quick brown fox jumps over the lazy dog; the lazy dog sleeps on."
)

// session is the SDP of an IM session.
func session(address string) []byte {
	return []byte("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip " + address +
		"\r\na=accept-types:text/plain text/html image/gif application/im-iscomposing+xml application/ms-imdn+xml text/x-msmsgsinvite\r\n")
}

// call opens a session with somebody. e.mu is held.
func (e *endpoint) call(p pending, callee *user) {
	x := e.run.talks.make(p.due, e)
	x.side[0].to = callee.address
	q := request{method: "INVITE", uri: callee.address, to: callee.address, callID: e.run.talkID(x.number), expires: noExpires, kind: "application/sdp", body: session("null")}
	q.more = "Contact: " + e.ours + "\r\nSupported: ms-sender\r\nms-text-format: text/plain; charset=UTF-8;ms-body=aGVsbG8=\r\nMs-Conversation-ID: " + q.callID + "\r\n"
	p.ref = x.number
	if e.send(&q, p) == 0 {
		e.run.talks.end(x)
		return
	}
	e.run.agenda.add(todo{at: p.due + e.run.scaled(lineEvery), what: talkOn, who: 1, ref: x.number})
}

// called follows the answer to the INVITE of a session.
func called(e *endpoint, m *message, p pending) {
	x := e.run.talks.get(p.ref)
	if x == nil {
		return
	}
	e.ack(&x.side[0], e.run.talkID(x.number), m, p)
	if m.status >= 300 {
		e.run.talks.end(x)
		return
	}
	x.mu.Lock()
	x.up = true
	late := x.late
	x.late = nil
	x.mu.Unlock()
	for _, t := range late {
		e.run.agenda.add(t)
	}
}

// ack sends the ACK for the answer to an INVITE: within the dialog, which is noted,
// for a 2xx, else to the same transaction.
func (e *endpoint) ack(s *leg, callID string, m *message, p pending) {
	tag := string(param(m.get("To"), "tag"))
	q := request{method: "ACK", uri: s.to, to: s.to, toTag: tag, callID: callID, cseq: p.seq, expires: noExpires}
	seq := p.seq
	if m.status < 300 {
		s.toTag, s.target = tag, string(uri(m.get("Contact")))
		m.all("Record-Route", func(v []byte) { s.routes = append([]string{string(v)}, s.routes...) })
		q.uri, q.routes = s.target, s.routes
		seq = e.next()
	}
	buf := e.run.buffers.Get().(*[]byte)
	b := e.append((*buf)[:0], &q, seq)
	e.put(b)
	*buf = b
	e.run.buffers.Put(buf)
}

// line begins the n-th line of a session when its time has come, whatever became of
// those before, and plans the next. What is due before the session is up waits, and
// its time goes on counting.
func (r *Run) line(t todo) {
	x := r.talks.get(t.ref)
	if x == nil {
		return
	}
	n := int(t.who)
	if n <= r.lines() {
		r.agenda.add(todo{at: x.due + r.scaled(lineEvery)*time.Duration(n+1), what: talkOn, who: t.who + 1, ref: x.number})
	}
	x.mu.Lock()
	up := x.up
	if !up {
		t.what = talkLate
		x.late = append(x.late, t)
	}
	x.mu.Unlock()
	if up {
		r.play(x, n, t.at)
	}
}

// lines is how many lines a session has before its end.
func (r *Run) lines() int { return r.cfg.Model.Messages * (r.cfg.Model.Typings + 1) }

// lateLine plays a line that waited.
func (r *Run) lateLine(t todo) {
	if x := r.talks.get(t.ref); x != nil {
		r.play(x, int(t.who), t.at)
	}
}

// play says the n-th line. The two take turns by message.
func (r *Run) play(x *talk, n int, due time.Duration) {
	perMessage := r.cfg.Model.Typings + 1
	from := (n - 1) / perMessage % 2
	switch {
	case n > r.lines():
		r.say(x, EndTalk, 0, due, request{method: "BYE"})
		r.talks.end(x)
	case n%perMessage == 0:
		r.say(x, Message, from, due, request{method: "MESSAGE", kind: plainText, body: []byte(prose)})
	case n%perMessage == 1:
		r.say(x, Typing, from, due, request{method: "INFO", kind: "application/xml", body: []byte(typing)})
	default:
		r.say(x, Typing, from, due, request{method: "INFO", kind: "application/xml", body: []byte(paused)})
	}
}

// say sends a request within the session from one side.
func (r *Run) say(x *talk, a Act, from int, due time.Duration, q request) {
	t := &r.tally[a]
	t.planned.Add(1)
	e := x.caller
	if from == 1 {
		e = x.callee.Load()
	}
	if e == nil {
		t.skipped.Add(1)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &x.side[from]
	if e.link == nil || s.toTag == "" {
		t.skipped.Add(1)
		return
	}
	q.uri, q.to, q.toTag, q.routes, q.callID, q.expires = s.target, s.to, s.toTag, s.routes, r.talkID(x.number), noExpires
	e.send(&q, pending{act: a, due: due, ref: x.number})
}

// said follows the answer to a line. Who finds that nobody is there stops writing:
// what would have been said is not planned any more.
func said(e *endpoint, m *message, p pending) {
	if m.status < 300 {
		return
	}
	if x := e.run.talks.get(p.ref); x != nil && (m.status == 481 || m.status == 480 || m.status == 408) {
		e.run.talks.end(x)
	}
}

// invitation is an INVITE that waits because another endpoint of the user takes it.
type invitation struct {
	callID string
	refuse []byte // the 487 for it
}

// asks handles a request of the server.
func (e *endpoint) asks(m *message) {
	switch string(m.method) {
	case "BENOTIFY", "NOTIFY":
		e.notified(m)
		return
	case "ACK":
		return
	}
	if !e.verify(m, false) {
		return
	}
	switch string(m.method) {
	case "INVITE":
		e.invited(m)
	case "MESSAGE":
		e.run.count.delivered.Add(1)
		e.reply(m, 200, "")
	case "INFO", "OPTIONS", "BYE":
		e.reply(m, 200, "")
	case "CANCEL":
		e.cancelled(m)
	default:
		e.reply(m, 501, "")
	}
}

// invited answers an INVITE. One of the endpoints of a user takes it; the others
// ring until they are told that it was taken.
func (e *endpoint) invited(m *message) {
	x := e.run.talkOf(m.get("Call-ID"))
	if x == nil {
		e.reply(m, 481, "")
		return
	}
	if e.run.present(e.user) != e {
		e.reply(m, 180, "")
		e.asking = append(e.asking, invitation{string(m.get("Call-ID")), e.respond(nil, m, 487, "", nil)})
		return
	}
	s := &x.side[1]
	from := m.get("From")
	*s = leg{to: string(uri(from)), toTag: string(param(from, "tag")), target: string(uri(m.get("Contact")))}
	m.all("Record-Route", func(v []byte) { s.routes = append(s.routes, string(v)) })
	x.callee.Store(e)
	sdp := session(e.user.address)
	e.replyWith(m, 200, "Contact: "+e.ours+"\r\nSupported: com.microsoft.rtc-multiparty\r\nContent-Type: application/sdp\r\n", sdp)
}

func (e *endpoint) cancelled(m *message) {
	e.reply(m, 200, "")
	id := string(m.get("Call-ID"))
	for i := range e.asking {
		if e.asking[i].callID == id {
			b := e.asking[i].refuse
			e.asking = append(e.asking[:i], e.asking[i+1:]...)
			if len(e.asking) == 0 {
				e.asking = nil
			}
			e.put(b)
			return
		}
	}
}

// reply answers a request.
func (e *endpoint) reply(m *message, status int, lines string) { e.replyWith(m, status, lines, nil) }

func (e *endpoint) replyWith(m *message, status int, lines string, body []byte) {
	buf := e.run.buffers.Get().(*[]byte)
	b := e.respond((*buf)[:0], m, status, lines, body)
	e.run.count.answers.Add(1)
	e.put(b)
	*buf = b
	e.run.buffers.Put(buf)
}

var reasons = map[int]string{180: "Ringing", 200: "OK", 481: "Call Leg Does Not Exist", 487: "Request Terminated", 501: "Not Implemented"}

// copied are the headers that a response repeats.
var copied = [...]string{"Via", "From", "Call-ID", "CSeq", "Record-Route"}

// respond writes a response, signed if there is an association.
func (e *endpoint) respond(b []byte, m *message, status int, lines string, body []byte) []byte {
	b = append(strconv.AppendInt(append(b, "SIP/2.0 "...), int64(status), 10), ' ')
	b = append(append(b, reasons[status]...), "\r\n"...)
	for _, name := range copied {
		m.all(name, func(v []byte) { b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...) })
	}
	to := m.get("To")
	b = append(append(b, "To: "...), to...)
	tag := string(param(to, "tag"))
	if tag == "" {
		tag = e.epid
		b = append(append(b, ";tag="...), tag...)
	}
	b = append(append(b, "\r\nUser-Agent: "+product+"\r\n"...), lines...)
	if e.proof != nil {
		num, method, _ := bytes.Cut(m.get("CSeq"), []byte(" "))
		from := m.get("From")
		b = e.proof.sign(b, seal{callID: string(m.get("Call-ID")), cseq: uint32(max(number(num), 0)), method: string(method), from: string(uri(from)), fromTag: string(param(from, "tag")),
			to: string(uri(to)), toTag: tag, status: status})
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}
