package siptrans

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/wire/sip"
)

// malformed answers a message that has its boundaries but cannot be read, if it
// is a request that can be answered; the connection goes on (RFC 4475 3.1.2).
func (l *Layer) malformed(c *Conn, m *sip.Message, raw []byte, err error) {
	l.stats.broken.Add(1)
	status, why := 400, "the message cannot be read"
	if f, ok := err.(*fault.Error); ok {
		why = f.Text
	}
	switch {
	case sip.IsVersion(err):
		status = 505
	case len(m.Headers) >= l.cfg.Limits.Headers:
		status = 513
	}
	if !answerable(m) {
		m = salvage(raw, l.cfg.Limits)
	}
	l.refuse(c, m, status, why)
}

// answerable reports whether m has what an answer needs.
func answerable(m *sip.Message) bool {
	return m.Get("Via") != "" && m.CallID() != "" && m.Get("CSeq") != "" && m.Get("From") != ""
}

// echoed are the headers of an answer.
var echoed = [...]string{"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq"}

// salvage reads only the lines that an answer needs, so that a bad line among
// the others does not hide them.
func salvage(raw []byte, lim sip.Limits) *sip.Message {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	head = head[:min(len(head), lim.Head)]
	start, rest, _ := bytes.Cut(bytes.TrimLeft(head, "\r\n"), crlf)
	out := append(append(make([]byte, 0, 1024), start...), crlf...)
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, crlf)
		name, _, _ := bytes.Cut(line, []byte(":"))
		if slices.Contains(echoed[:], strings.ToLower(string(bytes.TrimSpace(name)))) {
			out = append(append(out, line...), crlf...)
		}
	}
	m := new(sip.Message)
	m.Parse(append(out, crlf...), lim) // what could be read counts
	return m
}

// refuse answers without a transaction. Requests that lack what an answer needs,
// ACKs and responses are dropped.
func (l *Layer) refuse(c *Conn, m *sip.Message, status int, why string) {
	if !m.IsRequest() || m.Method == "ACK" || !answerable(m) {
		return
	}
	c.send(nil, refusal(m, status, why))
}

// refusal makes the answer; why goes into a Warning 399 (RFC 3261 20.43).
func refusal(m *sip.Message, status int, why string) *sip.Message {
	res := sip.NewResponse(m, status, "")
	if to := res.Get("To"); to != "" && tagOf(to) == "" {
		res.Set("To", to+";tag="+newTag())
	}
	if why != "" {
		res.Add("Warning", "399 trivet "+sip.Quote(why))
	}
	return res
}

// overloaded reports whether a new request may not come in.
func (l *Layer) overloaded(c *Conn, m *sip.Message) bool {
	delay := l.gate.delay.Load()
	if !c.safe.Load() {
		return l.full(2, 4) || l.cfg.Lag > 0 && delay > int64(l.cfg.Lag) || l.closing.Load()
	}
	late := l.cfg.Lag > 0 && delay > int64(l.cfg.Lag)
	if !l.full(4, 4) && !late && !l.closing.Load() {
		return false
	}
	switch {
	case tagOf(m.Get("To")) != "": // refusing it makes more work than doing it
		return l.full(8, 4)
	case m.Method == "MESSAGE" || m.Method == "INVITE":
		return l.full(6, 4) || l.closing.Load()
	}
	return true
}

// full reports whether n/d of the limit of requests are in work.
func (l *Layer) full(n, d int64) bool {
	return l.cfg.InWork > 0 && l.stats.inWork.Load()*d >= n*int64(l.cfg.InWork)
}

// admit reports whether t may come in, and counts it if a stranger has sent it.
func (l *Layer) admit(t *ServerTx) bool {
	c := t.conn
	if l.overloaded(c, t.req) || l.crowded(c, t.req) {
		return false
	}
	if c.safe.Load() || l.cfg.StrangerWork <= 0 {
		return true
	}
	all := l.cfg.StrangerWork
	if t.newcomer = !t.ack && !c.met.Load(); t.newcomer {
		all -= all / 2 // the rest is for those who are halfway in
	}
	t.stranger = l.sources.begin(c.remote.Addr(), all)
	return t.stranger
}

// overload refuses a request with 503.
func (l *Layer) overload(t *ServerTx) {
	l.stats.refused.Add(1)
	t.conn.send(t.batch, l.comeBack(t.req))
}

// comeBack is a 503 with a Retry-After that differs from client to client, so that
// they do not come back together.
func (l *Layer) comeBack(m *sip.Message) *sip.Message {
	res := refusal(m, 503, "")
	mid := max(int64(l.cfg.RetryAfter/time.Second), 1)
	res.Add("Retry-After", strconv.FormatInt(max(mid/2+rand.Int64N(mid+1), 1), 10))
	return res
}
