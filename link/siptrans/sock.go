package siptrans

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sock is the byte side of a stream connection. While shaking, Read and Write wait
// as a net.Conn does; afterwards Read gives only what the reader has put into in,
// and Write never waits: what the kernel does not take is queued.
type sock struct {
	net.Conn
	raw   syscall.RawConn
	limit int
	stall time.Duration
	fail  func()      // closes the connection, from any goroutine
	more  func() bool // has more to be written, or calls rest
	task  func(func())
	total *atomic.Int64 // owed of all connections
	most  int64         // of total, 0 is no limit

	behind atomic.Bool  // draining
	owed   atomic.Int64 // bytes that wait here and behind it

	in []byte // belongs to the reader

	mu       sync.Mutex // guards the fields below
	shaking  bool
	draining bool   // a drainer runs; every write is queued
	backlog  []byte // what the kernel did not take
	gone     bool   // nothing is written any more
	try      []byte // input and output of attempt
	took     int
	err      error
	attempt  func(fd uintptr) bool // one write that does not wait
}

// unsent is how many bytes the kernel takes beyond those it has sent: what waits
// there cannot be overtaken.
const (
	unsent          = 256 << 10
	tcpNotSentLowAt = 25 // TCP_NOTSENT_LOWAT of Linux
)

// modest is what a connection may owe while all together owe too much.
const modest = 64 << 10

// errAgain is temporary, so that crypto/tls goes on after it.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "siptrans: no more bytes for now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

var (
	errQueue  = errors.New("the output queue is full")
	errCrowd  = errors.New("the output queues of all connections are full")
	errClosed = errors.New("the connection is closed")
)

func newSock(nc net.Conn, l *Layer) (*sock, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.New("siptrans: not a kernel socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, unsent) })
	s := &sock{Conn: nc, raw: raw, limit: l.cfg.Queue, stall: l.cfg.Stall, task: l.task, total: &l.owed, most: int64(l.cfg.OutputHold)}
	s.attempt = func(fd uintptr) bool {
		for {
			s.took, s.err = syscall.Write(int(fd), s.try)
			if s.err != syscall.EINTR {
				return true
			}
		}
	}
	return s, nil
}

// begin ends the handshake: from here on nothing waits.
func (s *sock) begin() {
	s.mu.Lock()
	s.shaking = false
	s.mu.Unlock()
}

// Read is for crypto/tls.
func (s *sock) Read(p []byte) (int, error) {
	if s.waits() {
		return s.Conn.Read(p)
	}
	if len(s.in) == 0 {
		return 0, errAgain
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *sock) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shaking
}

// Write takes all of p or fails.
func (s *sock) Write(p []byte) (int, error) {
	if s.waits() {
		return s.Conn.Write(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := p
	if s.gone {
		return 0, errClosed
	}
	if !s.draining {
		n, err := s.push(p)
		if err != nil {
			return n, err
		}
		if rest = p[n:]; len(rest) == 0 {
			return len(p), nil
		}
	}
	if err := s.over(len(rest)); err != nil {
		return 0, err
	}
	s.backlog = append(s.backlog, rest...)
	s.owe(len(rest))
	if !s.draining {
		s.draining = true
		s.behind.Store(true)
		s.task(s.drain)
	}
	return len(p), nil
}

// push makes one attempt. mu is held.
func (s *sock) push(p []byte) (int, error) {
	s.try = p
	err := s.raw.Write(s.attempt)
	s.try = nil
	switch {
	case err != nil:
		return 0, err
	case s.err == syscall.EAGAIN:
		return 0, nil
	case s.err != nil:
		return 0, s.err
	}
	return s.took, nil
}

// owe counts n more bytes that wait, or fewer.
func (s *sock) owe(n int) {
	s.owed.Add(int64(n))
	s.total.Add(int64(n))
}

// over is errQueue when n more bytes are too many for this connection, errCrowd
// when they are for all together and it owes its part.
func (s *sock) over(n int) error {
	had := s.owed.Load()
	owed := had + int64(n)
	switch {
	case s.limit > 0 && owed > int64(s.limit) && had > 0: // one message may be larger than the queue
		return errQueue
	case s.most > 0 && owed > modest && s.total.Load() > s.most:
		return errCrowd
	}
	return nil
}

// drain writes the backlog and what comes behind it, waiting, until there is none.
func (s *sock) drain() {
	for {
		s.mu.Lock()
		b := s.backlog
		s.backlog = nil
		s.mu.Unlock()
		if len(b) == 0 {
			if !s.more() {
				return
			}
			continue
		}
		if err := s.patiently(b); err != nil {
			s.fail()
			s.abandon()
			return // draining stays set: nothing is written any more
		}
	}
}

// rest ends draining and reports true, unless there is more to write.
func (s *sock) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.backlog) > 0 {
		return false
	}
	s.draining = false
	s.behind.Store(false)
	return true
}

// abandon gives up what waits, for ever.
func (s *sock) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog, s.gone = nil, true
	s.total.Add(-s.owed.Swap(0))
}

// patiently writes b as long as the peer takes some of it every stall.
func (s *sock) patiently(b []byte) error {
	for len(b) > 0 {
		s.Conn.SetWriteDeadline(time.Now().Add(s.stall))
		n, err := s.Conn.Write(b[:min(len(b), 64<<10)])
		s.owe(-n)
		if b = b[n:]; err != nil && n == 0 {
			return err
		}
	}
	return s.Conn.SetWriteDeadline(time.Time{})
}
