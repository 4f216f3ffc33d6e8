package siptrans

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"trivet/wire/sip"
)

// reader is the state of the goroutine that reads a stream.
type reader struct {
	part   []byte        // the beginning of a message, or of a WebSocket frame
	began  time.Duration // when the rest of the message begun was first waited for; 0: no message has begun
	ended  bool          // a message ended in this read
	timed  bool          // a deadline is set; it may be older than began
	spent  int           // bytes read before Trust
	user   string        // From URI of the first request
	many   bool          // more than one From URI has been seen
	hasty  time.Duration // until when nobody is waited for in a full lane
	held   int           // bytes counted as held for a stranger
	frames wsReader
	err    error
}

var (
	errFraming = errors.New("the message boundaries are lost")
	errHold    = errors.New("connections without sign-in hold too many bytes of unfinished messages")
	errBudget  = errors.New("too much was sent before signing in")
)

// read reads c until it ends. All of it happens inside one raw read: the runtime
// wakes us when there is something, and only then is a buffer borrowed.
func (c *Conn) read() {
	r := &c.reader
	if !c.safe.Load() {
		c.deadline(c.layer.now())
	}
	done := false
	if c.tls != nil || len(r.part) > 0 { // what came with the end of the handshake
		done = !c.early()
	}
	if !done {
		err := c.sock.raw.Read(c.ready)
		for errors.Is(err, os.ErrDeadlineExceeded) && r.err == nil && c.patient() {
			err = c.sock.raw.Read(c.ready)
		}
		if r.err == nil {
			r.err = err
		}
	}
	c.account(0)
	c.Close(c.ending())
}

// ending is the reason why reading stopped.
func (c *Conn) ending() string {
	err := c.reader.err
	var again interface{ Timeout() bool }
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return "the peer closed the connection"
	case errors.As(err, &again) && again.Timeout():
		c.layer.reject(overdue)
		return "no sign-in, or the rest of a message, came in time"
	}
	return err.Error()
}

// deadline ends waiting First after since.
func (c *Conn) deadline(since time.Duration) {
	if l := c.layer; l.cfg.First > 0 {
		c.reader.timed = true
		c.sock.SetReadDeadline(l.epoch.Add(since + l.cfg.First))
	}
}

// mark is called after each read: it notes since when the rest of a message is
// waited for and sees to a deadline. One that is set stays, whatever ends
// meanwhile, so that a busy connection sets none; patient looks when it passes.
func (c *Conn) mark() {
	r := &c.reader
	ended := r.ended
	r.ended = false
	if len(r.part) == 0 && !r.frames.open {
		r.began = 0
		return
	}
	if ended || r.began == 0 {
		r.began = c.layer.now()
	}
	if !r.timed {
		c.deadline(r.began)
	}
}

// patient reports, when a deadline has passed, whether waiting goes on: the peer
// has signed in since it was set, and the message begun is a later one.
func (c *Conn) patient() bool {
	r := &c.reader
	switch {
	case !c.safe.Load():
		return false
	case r.began == 0:
		r.timed = false
		c.sock.SetReadDeadline(time.Time{})
		return true
	case c.layer.now() >= r.began+c.layer.cfg.First:
		return false
	}
	c.deadline(r.began)
	return true
}

// ready reads what there is and reports true when reading is over.
func (c *Conn) ready(fd uintptr) bool {
	chunk := borrowChunk()
	defer returnChunk(chunk)
	for {
		n, err := syscall.Read(int(fd), *chunk)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return c.dead.Load()
		case err != nil:
			c.reader.err = err
			return true
		case n == 0:
			return true
		}
		if !c.batch((*chunk)[:n]) {
			return true
		}
	}
}

// affordable counts what a stranger has sent.
func (c *Conn) affordable(n int) bool {
	if c.safe.Load() || c.layer.cfg.Budget <= 0 {
		return true
	}
	if c.reader.spent += n; c.reader.spent <= c.layer.cfg.Budget {
		return true
	}
	c.reader.err = errBudget
	c.layer.reject(overBudget)
	return false
}

// account counts the n bytes that are held of messages begun, while c is a
// stranger's; false: strangers hold too much.
func (c *Conn) account(n int) bool {
	r := &c.reader
	if n -= freeBytes; n < 0 || c.safe.Load() || c.layer.cfg.StrangerHold <= 0 {
		n = 0
	}
	if n == r.held {
		return true
	}
	if !c.layer.sources.hold(c.remote.Addr(), n-r.held, c.layer.cfg.StrangerHold) {
		r.err = errHold
		c.layer.reject(overHold)
		return false
	}
	r.held = n
	return true
}

// early handles what crypto/tls or the upgrade has read already.
func (c *Conn) early() bool {
	part := c.reader.part
	c.reader.part = nil
	if c.tls == nil {
		return c.batch(part)
	}
	b := batches.Get().(*Batch)
	b.begin()
	ok := (len(part) == 0 || c.feed(b, part)) && c.decrypt(b)
	b.flush()
	batches.Put(b)
	c.mark()
	return ok
}

// batch handles the bytes of one read.
func (c *Conn) batch(data []byte) (ok bool) {
	b := batches.Get().(*Batch)
	b.begin()
	if c.tls != nil {
		c.sock.in = data
		ok = c.decrypt(b)
	} else {
		ok = c.feed(b, data)
	}
	b.flush()
	batches.Put(b)
	c.mark()
	return ok && !c.dead.Load() && c.affordable(len(data)) && c.account(cap(c.reader.part)+cap(c.reader.frames.message))
}

// decrypt feeds what the TLS records at hand hold.
func (c *Conn) decrypt(b *Batch) bool {
	plain := borrowChunk()
	defer returnChunk(plain)
	for {
		n, err := c.tls.Read(*plain)
		if n > 0 && !c.feed(b, (*plain)[:n]) {
			return false
		}
		if err != nil {
			if errors.Is(err, errAgain) {
				return true
			}
			c.reader.err = err
			return false
		}
	}
}

// feed takes bytes of the SIP stream, or of the WebSocket.
func (c *Conn) feed(b *Batch, data []byte) bool {
	if c.ws {
		return c.feedFrames(b, data)
	}
	r := &c.reader
	whole := data
	if len(r.part) > 0 {
		r.part = append(r.part, data...)
		if bytes.IndexByte(data, '\n') < 0 && len(r.part) < c.layer.cfg.Limits.Head {
			if head := bytes.Index(r.part, []byte("\r\n\r\n")); head < 0 {
				return true // no line has ended, so no head has
			}
		}
		whole = r.part
	}
	rest, ok := c.messages(b, whole)
	r.keep(whole, rest)
	return ok
}

// keep saves the beginning of a message for the next read.
func (r *reader) keep(whole, rest []byte) {
	switch {
	case len(rest) == 0:
		r.part = nil
	case len(r.part) == 0:
		r.part = append(make([]byte, 0, max(2*len(rest), 1024)), rest...)
	case len(rest) < len(whole):
		r.part = append(r.part[:0], rest...)
	}
}

var crlf = []byte("\r\n")

// messages handles the whole messages in b and returns what is left.
func (c *Conn) messages(b *Batch, data []byte) (rest []byte, ok bool) {
	lim := c.layer.cfg.Limits
	if !c.safe.Load() && c.layer.cfg.Budget > 0 {
		lim.Body = min(lim.Body, c.layer.cfg.Budget/4)
	}
	for len(data) > 0 {
		skip, size, err := sip.Frame(data, lim)
		if skip >= 4 { // RFC 5626 4.4.1: a double CRLF asks for one back
			c.resend(b, crlf)
		}
		data = data[skip:]
		if err != nil {
			c.unframed(b, data, lim)
			c.reader.err = errFraming
			return nil, false
		}
		if size == 0 {
			return data, true
		}
		c.message(b, data[:size])
		c.reader.ended = true
		data = data[size:]
		if c.dead.Load() {
			return nil, false
		}
	}
	return nil, true
}

// message parses and handles one message.
func (c *Conn) message(b *Batch, raw []byte) {
	defer c.layer.recovered(func() { c.Close("the server made a mistake") })
	m := newMessage()
	if err := m.Parse(raw, c.layer.cfg.Limits); err != nil {
		c.layer.malformed(c, m, raw, err)
		return
	}
	c.layer.receive(c, b, m)
}

// newMessage has room for the headers of an ordinary message and those added on
// its way.
func newMessage() *sip.Message { return &sip.Message{Headers: make([]sip.Header, 0, 24)} }

// unframed answers a message whose end cannot be found, if it can be answered.
func (c *Conn) unframed(b *Batch, data []byte, lim sip.Limits) {
	c.layer.stats.broken.Add(1)
	end := bytes.Index(data[:min(len(data), lim.Head+4)], []byte("\r\n\r\n"))
	if end < 0 {
		if end = bytes.LastIndexByte(data[:min(len(data), lim.Head)], '\n'); end < 0 {
			return
		}
	}
	m := salvage(data[:end], lim)
	status := 400
	if len(data) > lim.Head || declared(data[:end]) > lim.Body {
		status = 513
	}
	c.layer.refuse(c, m, status, "")
	b.flush()
}

// declared is the Content-Length of a head, 0 if there is none or it is bad.
func declared(head []byte) (n int) {
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if name = bytes.TrimSpace(name); bytes.EqualFold(name, []byte("Content-Length")) || bytes.EqualFold(name, []byte("l")) {
			n, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return n
}
