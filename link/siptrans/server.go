package siptrans

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"trivet/fault"
	"trivet/rule/siptxn"
	"trivet/wire/sip"
)

// ServerTx is a request that was received and, unless it is an ACK, wants an
// answer. Its methods may be called from any goroutine.
type ServerTx struct {
	conn  *Conn
	req   *sip.Message
	batch *Batch
	tag   string // To tag of our answers, made when first needed; guarded by Conn.tmu

	plain    bool        // neither retransmission nor ACK nor CANCEL can meet it: no machine, not in the table
	ack      bool        // an ACK: nothing to answer
	stranger bool        // counted among the requests of strangers
	newcomer bool        // the first of a stranger: it waits at the gate
	finished atomic.Bool // a final response was given

	// guarded by Conn.tmu
	key       txKey
	machine   siptxn.Machine
	alarm     alarm
	last      []byte // the last response
	onCancel  []func()
	cancelled bool
}

// Req is the request. It belongs to the handler.
func (t *ServerTx) Req() *sip.Message { return t.req }

// Conn is where the request came from.
func (t *ServerTx) Conn() *Conn { return t.conn }

// Batch holds back output while the handler runs; pass it to Layer.Relay.
func (t *ServerTx) Batch() *Batch { return t.batch }

// Uncork writes what was held back and holds nothing back from now on. Call it
// before anything that may wait.
func (t *ServerTx) Uncork() { t.batch.flush() }

// Answered reports whether a final response was given.
func (t *ServerTx) Answered() bool { return t.finished.Load() }

// OnCancel calls f when the client gives the INVITE up (CANCEL, or its
// connection is gone); at once if it has. The CANCEL itself is answered here; the
// INVITE is the handler's to answer. f must not block.
func (t *ServerTx) OnCancel(f func()) {
	c := t.conn
	c.tmu.Lock()
	now := t.cancelled
	if !now {
		t.onCancel = append(t.onCancel, f)
	}
	c.tmu.Unlock()
	if now {
		f()
	}
}

// Tag is the To tag that Respond gives to answers that have none: the local tag
// of a dialog that begins with this request.
func (t *ServerTx) Tag() string {
	t.conn.tmu.Lock()
	defer t.conn.tmu.Unlock()
	if t.tag == "" {
		t.tag = newTag()
	}
	return t.tag
}

// Respond sends a response. A To without tag gets Tag, except in a 100. A second
// final response is dropped, but a 2xx to an INVITE may be repeated.
func (t *ServerTx) Respond(res *sip.Message) { t.RespondIn(t.batch, res) }

// RespondIn is Respond with the output held back by b.
func (t *ServerTx) RespondIn(b *Batch, res *sip.Message) {
	if t.ack {
		return
	}
	if res.Status > 100 {
		t.tagged(res)
	}
	if res.Status >= 200 && !t.finished.Swap(true) {
		t.conn.layer.stats.open.Add(-1)
	} else if res.Status >= 200 && (t.plain || res.Status >= 300) {
		return
	}
	if t.plain {
		t.conn.send(b, res)
		return
	}
	t.answer(b, res)
}

// Drop ends a request that nobody wants an answer to: BENOTIFY ([MS-SIP] 3.4) has
// none.
func (t *ServerTx) Drop() {
	if !t.ack && !t.finished.Swap(true) {
		t.conn.layer.stats.open.Add(-1)
	}
}

func (t *ServerTx) tagged(res *sip.Message) {
	if to := res.Get("To"); to != "" && tagOf(to) == "" {
		res.Set("To", to+";tag="+t.Tag())
	}
}

// answer steps the machine with a response of the user.
func (t *ServerTx) answer(b *Batch, res *sip.Message) {
	c := t.conn
	c.tmu.Lock()
	do := t.machine.Step(&c.layer.timers, c.layer.now(), siptxn.ResponseInput(res.Status))
	c.tmu.Unlock()
	switch {
	case !do.Has(siptxn.Send):
	case c.udp != nil:
		t.answerDatagram(res)
	default:
		c.send(b, res)
	}
	t.after(do)
}

// answerDatagram keeps the bytes for retransmissions before it sends them: the
// next one may come at once.
func (t *ServerTx) answerDatagram(res *sip.Message) {
	c := t.conn
	raw, err := c.pack(res)
	if err != nil { // RFC 3261 18.1.1: too long for the transport
		if raw, err = c.pack(t.tooLong()); err != nil {
			return
		}
	}
	c.tmu.Lock()
	t.last = raw
	c.tmu.Unlock()
	c.udp.write(raw, c.remote)
}

func (t *ServerTx) tooLong() *sip.Message {
	res := sip.NewResponse(t.req, 513, "")
	t.tagged(res)
	return res
}

// after sets the alarm anew and forgets a transaction that has ended.
func (t *ServerTx) after(do siptxn.Do) {
	c := t.conn
	c.tmu.Lock()
	wake := t.machine.Wake()
	if do.Has(siptxn.Done) && c.servers[t.key] == t {
		delete(c.servers, t.key)
	}
	c.layer.wheel(c.id).set(&t.alarm, wake)
	c.tmu.Unlock()
}

// ring is a Tick.
func (t *ServerTx) ring(now time.Duration) {
	c := t.conn
	c.tmu.Lock()
	do := t.machine.Step(&c.layer.timers, now, siptxn.Tick)
	last := t.last
	c.tmu.Unlock()
	switch {
	case do.Has(siptxn.Send) && last != nil:
		c.resend(nil, last)
	case do.Has(siptxn.SendTrying):
		sent, _ := c.send(nil, sip.NewResponse(t.req, 100, ""))
		c.tmu.Lock()
		if t.last == nil {
			t.last = sent
		}
		c.tmu.Unlock()
	}
	t.after(do)
}

// cancel tells the handler that nobody waits any more.
func (t *ServerTx) cancel() {
	c := t.conn
	c.tmu.Lock()
	calls := t.onCancel
	t.onCancel, t.cancelled = nil, true
	c.tmu.Unlock()
	for _, f := range calls {
		f()
	}
}

// receive handles a message that could be read.
func (l *Layer) receive(c *Conn, b *Batch, m *sip.Message) {
	if !m.IsRequest() {
		l.stats.replyIn[class(m.Status)].Add(1)
		l.response(c, b, m)
		return
	}
	l.methodIn(m.Method)
	if status, err := m.Check(); status != 0 {
		l.stats.broken.Add(1)
		why := "the message cannot be served"
		if f, ok := err.(*fault.Error); ok {
			why = f.Text
		}
		l.refuse(c, m, status, why)
		return
	}
	via := readVia(m.Get("Via"))
	c.received(m, via)
	switch {
	case m.Method == "ACK":
		l.ack(c, b, m, via)
	case m.Method == "CANCEL":
		l.cancelled(c, b, m, via)
	case m.Method != "INVITE" && c.udp == nil: // nothing can meet it again
		l.begin(&ServerTx{conn: c, req: m, batch: b, plain: true})
	default:
		l.matched(c, b, m, l.seeds.keyOf(m, via))
	}
}

// received notes the real source in the topmost Via, RFC 3261 18.2.1, RFC 3581 4.
func (c *Conn) received(m *sip.Message, via topVia) {
	host := via.sentBy
	if i := strings.LastIndexByte(host, ':'); i >= 0 && host[len(host)-1] != ']' {
		host = strings.TrimRight(host[:i], " \t")
	}
	addr := c.remote.Addr()
	var text [46]byte
	if !via.rport && strings.Trim(host, "[]") == string(addr.AppendTo(text[:0])) {
		return
	}
	v, err := m.Via()
	if err != nil {
		return
	}
	top := m.Get("Via")
	rest := ""
	if i := strings.IndexByte(top, ','); i >= 0 {
		top, rest = top[:i], top[i:]
	}
	out := make([]byte, 0, len(top)+64)
	head, params, _ := strings.Cut(top, ";")
	out = append(out, head...)
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, "received") || p == "":
			continue
		case strings.EqualFold(name, "rport") && value == "":
			out = strconv.AppendUint(append(out, ";rport="...), uint64(c.remote.Port()), 10)
		default:
			out = append(append(out, ';'), p...)
		}
	}
	if strings.Trim(v.Host, "[]") != addr.String() || via.rport {
		out = addr.AppendTo(append(out, ";received="...))
	}
	setTop(m, string(out)+rest)
}

// matched finds the transaction of a request or begins one.
func (l *Layer) matched(c *Conn, b *Batch, m *sip.Message, key txKey) {
	role := siptxn.Server
	if m.Method == "INVITE" {
		role = siptxn.ServerInvite
	}
	c.tmu.Lock()
	if old := c.servers[key]; old != nil {
		do := old.machine.Step(&l.timers, l.now(), siptxn.Again)
		last := old.last
		c.tmu.Unlock()
		l.stats.absorbed.Add(1)
		if do.Has(siptxn.Send) && last != nil {
			c.resend(b, last)
		}
		return
	}
	if c.ended {
		c.tmu.Unlock()
		return
	}
	t := &ServerTx{conn: c, req: m, batch: b, key: key, machine: siptxn.New(role, c.udp == nil)}
	t.alarm.ring = t.ring
	if !l.admit(t) { // answered without a trace
		c.tmu.Unlock()
		l.overload(t)
		return
	}
	if c.servers == nil {
		c.servers = map[txKey]*ServerTx{}
	}
	c.servers[key] = t
	do := t.machine.Step(&l.timers, l.now(), siptxn.Begin)
	c.tmu.Unlock()
	t.after(do)
	l.begin(t)
}

// begin counts a new request and has it handled.
func (l *Layer) begin(t *ServerTx) {
	if t.plain && !l.admit(t) {
		l.overload(t)
		return
	}
	l.stats.open.Add(1)
	l.dispatch(t)
}

// ack matches an ACK to its INVITE, RFC 3261 17.2.1. An ACK of a 2xx goes up
// unless there is too much to do: it cannot be refused, only dropped.
func (l *Layer) ack(c *Conn, b *Batch, m *sip.Message, via topVia) {
	key := l.seeds.keyOf(m, via)
	c.tmu.Lock()
	t := c.servers[key]
	up := true
	if t != nil {
		do := t.machine.Step(&l.timers, l.now(), siptxn.Ack)
		up = do.Has(siptxn.Up)
		c.tmu.Unlock()
		t.after(do)
	} else {
		c.tmu.Unlock()
	}
	if !up {
		return
	}
	if a := (&ServerTx{conn: c, req: m, batch: b, plain: true, ack: true}); l.admit(a) {
		l.dispatch(a)
	}
}

// cancelled answers a CANCEL and tells the INVITE, RFC 3261 9.2.
func (l *Layer) cancelled(c *Conn, b *Batch, m *sip.Message, via topVia) {
	key := l.seeds.keyOf(m, via)
	c.tmu.Lock()
	t := c.servers[key]
	c.tmu.Unlock()
	status := 200
	if t == nil {
		status = 481
	}
	res := sip.NewResponse(m, status, "")
	if to := res.Get("To"); tagOf(to) == "" {
		tag := newTag()
		if t != nil {
			tag = t.Tag()
		}
		res.Set("To", to+";tag="+tag)
	}
	c.send(b, res)
	if t != nil && !t.Answered() {
		t.cancel()
	}
}

// failTransactions ends everything that waits on c.
func (c *Conn) failTransactions() {
	l := c.layer
	c.tmu.Lock()
	clients, servers := c.clients, c.servers
	c.clients, c.servers, c.ended = nil, nil, true
	c.tmu.Unlock()
	for _, t := range clients {
		t.broken()
	}
	for _, t := range servers {
		c.tmu.Lock()
		t.machine.Step(&l.timers, l.now(), siptxn.Broken)
		c.tmu.Unlock()
		l.wheel(c.id).set(&t.alarm, 0)
		if !t.finished.Swap(true) {
			l.stats.open.Add(-1)
			t.cancel()
		}
	}
}

// setTop replaces the first Via line and leaves the others.
func setTop(m *sip.Message, value string) {
	for i := range m.Headers {
		if n := m.Headers[i].Name; strings.EqualFold(n, "Via") || n == "v" || n == "V" {
			m.Headers[i].Value = value
			return
		}
	}
}
