package peer

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
)

const (
	wireBuffer = 64 << 10
	writePart  = 256 << 10 // bytes written under one deadline
	keptBuffer = 1 << 20   // a larger queue buffer is given back
)

// traffic counts what goes to and comes from one server, over all connections.
type traffic struct {
	sent, received, dropped atomic.Uint64
	heard                   atomic.Int64 // Unix nanoseconds, 0 never
}

// wire is the connection below TLS. It counts, and while it is corked it gathers
// the records that TLS writes one by one, so that a batch is one write.
type wire struct {
	net.Conn
	n       *Net
	traffic atomic.Pointer[traffic]
	heard   atomic.Int64 // Unix nanoseconds

	mu     sync.Mutex // guards the fields below
	w      *bufio.Writer
	corked bool
}

func newWire(n *Net, c net.Conn) *wire {
	w := &wire{Conn: c, n: n, w: bufio.NewWriterSize(c, wireBuffer)}
	w.traffic.Store(&traffic{}) // of nobody until the other side has proved who it is
	return w
}

func (w *wire) Read(b []byte) (int, error) {
	k, err := w.Conn.Read(b)
	if k > 0 {
		now, t := w.n.cfg.Clock.Now().UnixNano(), w.traffic.Load()
		w.heard.Store(now)
		t.heard.Store(now)
		t.received.Add(uint64(k))
	}
	return k, err
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, err := w.w.Write(b)
	w.traffic.Load().sent.Add(uint64(k))
	if err == nil && !w.corked {
		err = w.w.Flush()
	}
	return k, err
}

// cork begins a batch (true) or sends it (false).
func (w *wire) cork(on bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.corked = on; on {
		return nil
	}
	return w.w.Flush()
}

// conn is one authenticated connection that carries frames. Its owner runs read;
// write runs on a goroutine of its own.
type conn struct {
	n    *Net
	tls  *tls.Conn
	wire *wire
	r    *bufio.Reader
	done chan struct{} // closed by end
	wake chan struct{}
	busy atomic.Bool // a handler runs on the reader's goroutine

	mu      sync.Mutex // guards the fields below
	pending []byte     // frames that wait
	writing int        // bytes being written
	why     error      // why it ended
}

func (n *Net) newConn(t *tls.Conn, w *wire) *conn {
	return &conn{n: n, tls: t, wire: w, r: bufio.NewReaderSize(t, wireBuffer), done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// end closes the connection for the reason that came first.
func (c *conn) end(why error) {
	c.mu.Lock()
	first := c.why == nil
	if first {
		c.why = why
		c.pending = nil
		close(c.done)
	}
	c.mu.Unlock()
	if first {
		c.wire.Close() // not tls.Close, which would wait for the other side to read
	}
}

func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// queue appends a frame of size bytes, which add encodes. If it is bounded and
// there is no room, or the connection has ended, nothing happens and queue says
// so. Small frames that keep the link alive and answers that were bounded before
// are not bounded here.
func (c *conn) queue(size int, bounded bool, add func(b []byte) []byte) bool {
	c.mu.Lock()
	if c.why != nil || bounded && len(c.pending)+c.writing+size > c.n.cfg.MaxQueue {
		c.mu.Unlock()
		return false
	}
	c.pending = add(c.pending)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return true
}

// write sends what is queued, all that has gathered at once, until the end.
func (c *conn) write() {
	var spare []byte
	for {
		select {
		case <-c.done:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		out := c.pending
		c.pending, c.writing = spare, len(out)
		c.mu.Unlock()
		if err := c.send(out); err != nil {
			c.end(err)
			return
		}
		c.mu.Lock()
		c.writing = 0
		c.mu.Unlock()
		if spare = nil; cap(out) <= keptBuffer {
			spare = out[:0]
		}
	}
}

func (c *conn) send(out []byte) error {
	for len(out) > 0 {
		part := out[:min(len(out), writePart)]
		out = out[len(part):]
		if err := c.tls.SetWriteDeadline(c.n.cfg.Clock.Now().Add(5 * c.n.cfg.Quiet)); err != nil {
			return err
		}
		if err := c.wire.cork(true); err != nil {
			return err
		}
		_, err := c.tls.Write(part)
		if flushed := c.wire.cork(false); err == nil {
			err = flushed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read hands frames to take until the connection ends; it returns why.
func (c *conn) read(take func(frame) error) error {
	for {
		f, err := readFrame(c.r, c.n.cfg.MaxFrame)
		if err == nil {
			err = take(f)
		}
		if err != nil {
			c.end(err)
			return c.reason()
		}
	}
}

// beat keeps the connection alive and ends it when nothing was heard for Quiet. A
// reader that a handler holds up hears nothing, which is no fault of the others.
func (c *conn) beat(now time.Time, stamp uint64) {
	if c.busy.Load() {
		c.wire.heard.Store(now.UnixNano())
	}
	if quiet := now.Sub(time.Unix(0, c.wire.heard.Load())); quiet > c.n.cfg.Quiet {
		c.end(fault.Newf(fault.Timeout, "peer.beat", "nothing was heard for %s", quiet.Round(time.Millisecond)))
		return
	}
	c.queue(0, false, func(b []byte) []byte { return appendStamp(b, frameBeat, stamp) })
}
