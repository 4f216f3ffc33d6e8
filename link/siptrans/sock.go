package siptrans

import (
	"errors"
	"net"
	"sync"
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
	fail  func(reason string) // closes the connection, from any goroutine
	task  func(func())

	in []byte // belongs to the reader

	mu       sync.Mutex // guards the fields below
	shaking  bool
	draining bool   // a drainer runs; every write is queued
	backlog  []byte // what the kernel did not take
	flight   int    // bytes the drainer has taken from backlog and not yet written
	try      []byte // input and output of attempt
	took     int
	err      error
	attempt  func(fd uintptr) bool // one write that does not wait
}

// errAgain is temporary, so that crypto/tls goes on after it.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "siptrans: no more bytes for now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

var (
	errQueue  = errors.New("the output queue is full")
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
	s := &sock{Conn: nc, raw: raw, limit: l.cfg.Queue, stall: l.cfg.Stall, task: l.task}
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
	if !s.draining {
		n, err := s.push(p)
		if err != nil {
			return n, err
		}
		if rest = p[n:]; len(rest) == 0 {
			return len(p), nil
		}
	}
	if s.limit > 0 && s.flight+len(s.backlog)+len(rest) > s.limit {
		return 0, errQueue
	}
	s.backlog = append(s.backlog, rest...)
	if !s.draining {
		s.draining = true
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

// drain writes the backlog, waiting, until there is none.
func (s *sock) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.backlog) > 0 {
		b := s.backlog
		s.backlog, s.flight = nil, len(b)
		s.mu.Unlock()
		err := s.patiently(b)
		if err != nil {
			s.fail("the peer does not read")
		}
		s.mu.Lock()
		if s.flight = 0; err != nil {
			s.backlog = nil
			return // draining stays set: later writes are queued up to the limit and forgotten
		}
	}
	s.draining = false
}

// patiently writes b as long as the peer takes some of it every stall.
func (s *sock) patiently(b []byte) error {
	for len(b) > 0 {
		s.Conn.SetWriteDeadline(time.Now().Add(s.stall))
		n, err := s.Conn.Write(b[:min(len(b), 64<<10)])
		if b = b[n:]; err != nil && n == 0 {
			return err
		}
	}
	return s.Conn.SetWriteDeadline(time.Time{})
}
