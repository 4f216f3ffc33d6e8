package siptrans

import (
	"math/rand/v2"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/siptxn"
	"trivet/wire/sip"
)

// Sink takes the responses of a request.
type Sink interface {
	// Response is called for each response in order, or once with an error:
	// fault.Timeout when no final answer came, fault.Unavailable when the connection
	// failed. It may not block; output it causes may be held back by b.
	Response(b *Batch, t *ClientTx, res *sip.Message, err error)
}

type sinkFunc func(res *sip.Message, err error)

func (f sinkFunc) Response(_ *Batch, _ *ClientTx, res *sip.Message, err error) { f(res, err) }

// ClientTx is a request that we sent.
type ClientTx struct {
	conn   *Conn
	sink   Sink
	method string
	id     uint32
	salt   uint32
	req    *sip.Message // INVITE only: what ACK and CANCEL are made from

	// guarded by Conn.tmu
	machine  siptxn.Machine
	alarm    alarm
	sent     []byte // on UDP: for retransmission
	finished bool   // the final response, or the error, was given to the sink
	sending  bool   // Relay still works on the request; a failure waits for it in failure
	failure  error
}

// Conn is where the request went.
func (t *ClientTx) Conn() *Conn { return t.conn }

// Method is the method of the request.
func (t *ClientTx) Method() string { return t.method }

// Request sends req on c in a transaction of its own; it puts our Via in front.
// on gets each response, then nothing more, or an error (see Sink). req belongs
// to the layer from here on. on may be called before Request returns.
func (l *Layer) Request(c *Conn, req *sip.Message, on func(res *sip.Message, err error)) *ClientTx {
	return l.Relay(nil, c, req, "", sinkFunc(on))
}

// Relay is Request for the hot path: output may be held back by b, and params
// (";name=value") are added to our Via.
func (l *Layer) Relay(b *Batch, c *Conn, req *sip.Message, params string, sink Sink) *ClientTx {
	t := &ClientTx{conn: c, sink: sink, method: req.Method, id: l.lastTx.Add(1), salt: rand.Uint32()}
	t.alarm.ring = t.ring
	role := siptxn.Client
	if req.Method == "INVITE" {
		role, t.req = siptxn.ClientInvite, req
	}
	t.machine = siptxn.New(role, c.udp == nil)
	req.Prepend("Via", t.via(params))

	c.tmu.Lock()
	if c.ended {
		c.tmu.Unlock()
		sink.Response(b, t, nil, errGone)
		return t
	}
	if c.clients == nil {
		c.clients = map[uint32]*ClientTx{}
	}
	c.clients[t.id] = t
	t.sending = true
	l.stats.pending.Add(1)
	t.machine.Step(t.timers(), l.now(), siptxn.Begin)
	l.wheel(c.id).set(&t.alarm, t.machine.Wake())
	c.tmu.Unlock()

	sent, err := c.send(b, req)
	c.tmu.Lock()
	t.sending, t.sent = false, sent
	if err == nil {
		err = t.failure
	}
	c.tmu.Unlock()
	if err != nil {
		t.fail(b, err)
	}
	return t
}

func (t *ClientTx) timers() *siptxn.Timers {
	if t.method == "MESSAGE" {
		return &t.conn.layer.patience
	}
	return &t.conn.layer.timers
}

// via is our Via value.
func (t *ClientTx) via(params string) string {
	var b [128]byte
	out := append(b[:0], t.conn.via...)
	return string(append(appendBranch(out, t.conn.id, t.id, t.salt), params...))
}

// Forward puts our Via in front of m and sends it without a transaction: the ACK
// of a 2xx on its way through a proxy.
func (l *Layer) Forward(b *Batch, c *Conn, m *sip.Message) error {
	t := ClientTx{conn: c, id: l.lastTx.Add(1), salt: rand.Uint32()}
	m.Prepend("Via", t.via(""))
	return l.SendIn(b, c, m)
}

// Cancel gives an INVITE up, RFC 3261 9.1: a CANCEL goes out as soon as there was
// a provisional response, and the final response still comes to the sink. It does
// nothing to other requests.
func (t *ClientTx) Cancel() {
	c := t.conn
	c.tmu.Lock()
	do := t.machine.Step(t.timers(), c.layer.now(), siptxn.Cancel)
	c.layer.wheel(c.id).set(&t.alarm, t.machine.Wake())
	c.tmu.Unlock()
	t.act(nil, do, nil)
}

// response finds the transaction of a response, RFC 3261 17.1.3, by the branch
// that we made.
func (l *Layer) response(c *Conn, b *Batch, m *sip.Message) {
	via := readVia(m.Get("Via"))
	conn, id, salt, ok := parseBranch(via.branch)
	if !ok || conn != c.id {
		l.stats.stray.Add(1)
		return
	}
	_, method, _ := strings.Cut(m.Get("CSeq"), " ")
	c.tmu.Lock()
	t := c.clients[id]
	if t == nil || t.salt != salt || strings.Trim(method, " \t") != t.method {
		c.tmu.Unlock()
		l.stats.stray.Add(1)
		return
	}
	do := t.machine.Step(t.timers(), l.now(), siptxn.ResponseInput(m.Status))
	t.rest(do)
	final := m.Status >= 200 && do.Has(siptxn.Up) && !t.finished
	t.finished = t.finished || final
	c.tmu.Unlock()
	if final {
		l.stats.pending.Add(-1)
	}
	t.act(b, do, m)
}

// rest sets the alarm anew, or forgets the transaction. tmu is held.
func (t *ClientTx) rest(do siptxn.Do) {
	c := t.conn
	c.layer.wheel(c.id).set(&t.alarm, t.machine.Wake())
	if do.Has(siptxn.Done) {
		delete(c.clients, t.id)
	}
}

// act does what the machine asks for.
func (t *ClientTx) act(b *Batch, do siptxn.Do, res *sip.Message) {
	if do.Has(siptxn.SendAck) {
		t.conn.send(b, t.ackOf(res))
	}
	if do.Has(siptxn.Up) {
		t.sink.Response(b, t, res, nil)
	}
	if do.Has(siptxn.SendCancel) {
		t.sendCancel()
	}
}

var errTimeout = fault.New(fault.Timeout, "siptrans.Request", "the other side did not answer in time")

// ring is a Tick.
func (t *ClientTx) ring(now time.Duration) {
	c := t.conn
	c.tmu.Lock()
	do := t.machine.Step(t.timers(), now, siptxn.Tick)
	t.rest(do)
	sent := t.sent
	c.tmu.Unlock()
	if do.Has(siptxn.Send) && sent != nil {
		c.resend(nil, sent)
	}
	t.act(nil, do, nil)
	if do.Has(siptxn.TimedOut) {
		t.fail(nil, errTimeout)
	}
}

// broken is called when the connection is gone; the tables have forgotten t.
func (t *ClientTx) broken() { t.fail(nil, errGone) }

// fail ends the transaction with an error for the sink.
func (t *ClientTx) fail(b *Batch, err error) {
	c := t.conn
	c.tmu.Lock()
	if t.sending { // the request is the sink's to change once it is told
		t.failure = err
		c.tmu.Unlock()
		return
	}
	do := t.machine.Step(t.timers(), c.layer.now(), siptxn.Broken)
	t.rest(do)
	tell := !t.finished
	t.finished = true
	c.tmu.Unlock()
	if tell {
		c.layer.stats.pending.Add(-1)
		t.sink.Response(b, t, nil, err)
	}
}

// ackOf makes the ACK of a final response from 300 on, RFC 3261 17.1.1.3.
func (t *ClientTx) ackOf(res *sip.Message) *sip.Message {
	return t.sibling("ACK", res.Get("To"))
}

// sendCancel sends a CANCEL, RFC 3261 9.1, whose own answer nobody needs.
func (t *ClientTx) sendCancel() {
	c := t.conn
	m := t.sibling("CANCEL", t.req.Get("To"))
	sent, err := c.send(nil, m)
	if err == nil && sent != nil {
		c.layer.repeatCancel(t, sent)
	}
}

// repeatCancel sends a CANCEL again over UDP until the INVITE has its answer.
func (l *Layer) repeatCancel(t *ClientTx, sent []byte) {
	c := t.conn
	interval := l.timers.T1
	a := new(alarm)
	a.ring = func(now time.Duration) {
		c.tmu.Lock()
		over := t.machine.Answered() || c.ended
		c.tmu.Unlock()
		if over {
			return
		}
		c.resend(nil, sent)
		interval = min(2*interval, l.timers.T2)
		l.wheel(c.id).set(a, now+interval)
	}
	l.wheel(c.id).set(a, l.now()+interval)
}

// sibling is a request with the branch of the INVITE.
func (t *ClientTx) sibling(method, to string) *sip.Message {
	m := sip.NewRequest(method, t.req.RequestURI)
	m.Add("Via", t.req.Get("Via"))
	m.Add("Max-Forwards", "70")
	m.Add("From", t.req.Get("From"))
	m.Add("To", to)
	m.Add("Call-ID", t.req.CallID())
	num, _, _ := strings.Cut(t.req.Get("CSeq"), " ")
	m.Add("CSeq", num+" "+method)
	for r := range t.req.All("Route") {
		m.Add("Route", r)
	}
	return m
}

const tagLetters = "0123456789abcdefghijklmnopqrstuv"

// newTag makes a tag of 65 random bits (RFC 3261 19.3 asks for 32).
func newTag() string {
	var b [13]byte
	n := rand.Uint64()
	for i := range b {
		b[i] = tagLetters[n&31]
		n >>= 5
	}
	return string(b[:])
}
