package load

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is the byte side of a connection. While the TLS handshake lasts, Read and
// Write wait as usual; afterwards Read gives only what the reader has put into in,
// and Write never waits: what the kernel does not take is written by a goroutine
// that lives as long as there is such a backlog.
type socket struct {
	net.Conn
	raw syscall.RawConn
	in  []byte // belongs to the reader, as does fed
	fed counter

	mu       sync.Mutex // guards the fields below
	shaking  bool
	draining bool
	backlog  []byte
	try      []byte // input and output of attempt
	took     int
	err      error
	attempt  func(fd uintptr) bool
}

// maxBacklog bounds what a server that does not read may leave here.
const maxBacklog = 1 << 20

// stall is how long a server may take no byte.
const stall = 32 * time.Second

var (
	errAgain   net.Error = again{}
	errBacklog           = errors.New("the server does not read")
)

// again is temporary, so that crypto/tls goes on after it.
type again struct{}

func (again) Error() string   { return "load: no more bytes for now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

func newSocket(nc net.Conn) (*socket, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.New("load: not a kernel socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: nc, raw: raw, shaking: true}
	s.attempt = func(fd uintptr) bool {
		s.took, s.err = syscall.Write(int(fd), s.try)
		return s.err != syscall.EINTR
	}
	return s, nil
}

// begin ends the handshake: from here on nothing waits.
func (s *socket) begin() {
	s.mu.Lock()
	s.shaking = false
	s.mu.Unlock()
}

func (s *socket) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shaking
}

// Read is for crypto/tls.
func (s *socket) Read(p []byte) (int, error) {
	if s.waits() {
		n, err := s.Conn.Read(p)
		s.fed.add(p[:n])
		return n, err
	}
	if len(s.in) == 0 {
		return 0, errAgain
	}
	n := copy(p, s.in)
	s.fed.add(p[:n])
	s.in = s.in[n:]
	return n, nil
}

// Write takes all of p or fails.
func (s *socket) Write(p []byte) (int, error) {
	if s.waits() {
		return s.Conn.Write(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := p
	if !s.draining {
		n, err := s.push(p)
		if rest = p[n:]; err != nil || len(rest) == 0 {
			return n, err
		}
	}
	if len(s.backlog)+len(rest) > maxBacklog {
		return 0, errBacklog
	}
	s.backlog = append(s.backlog, rest...)
	if !s.draining {
		s.draining = true
		go s.drain()
	}
	return len(p), nil
}

// push makes one attempt. mu is held.
func (s *socket) push(p []byte) (int, error) {
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
func (s *socket) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.backlog) > 0 {
		b := s.backlog
		s.backlog = nil
		s.mu.Unlock()
		s.Conn.SetWriteDeadline(time.Now().Add(stall))
		_, err := s.Conn.Write(b)
		if err != nil {
			s.Conn.Close()
		}
		s.mu.Lock()
		if err != nil {
			return // draining stays set: what is written later goes nowhere
		}
	}
	s.Conn.SetWriteDeadline(time.Time{})
	s.draining = false
}

// link is a connection as the reader sees it: bytes in, whole messages out.
type link struct {
	*socket
	tls     *tls.Conn // nil without TLS
	log     *keyLog
	rest    *records // reads in place of tls
	settled bool     // signed in; belongs to the reader
	local   string   // address of our side
	part    []byte   // the beginning of a message
	err     error    // why reading ended
	hung    atomic.Bool
}

// hangUp ends the connection from any goroutine: the reader sees the end and
// closes the socket. Close would wait for the reader, which may be the caller.
func (l *link) hangUp() {
	l.hung.Store(true)
	if c, ok := l.Conn.(*net.TCPConn); ok {
		c.CloseWrite()
		c.CloseRead()
	}
}

// send writes a message.
func (l *link) send(b []byte) error {
	if l.tls != nil {
		_, err := l.tls.Write(b)
		return err
	}
	_, err := l.socket.Write(b)
	return err
}

const chunkSize = 32 << 10

// chunks are buffers lent to readers that have something to read.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// read gives every message to take until the connection ends, and says why it
// ended. All of it happens inside one raw read: the runtime wakes us when there is
// something, and only then is a buffer borrowed.
func (l *link) read(take func(message) error) error {
	err := l.raw.Read(func(fd uintptr) bool { return l.ready(int(fd), take) })
	if l.err != nil {
		return l.err
	}
	return err
}

// ready reads what there is and reports true when reading is over.
func (l *link) ready(fd int, take func(message) error) bool {
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	for {
		n, err := syscall.Read(fd, chunk[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			l.err = err
			return true
		case n == 0:
			l.err = io.EOF
			return true
		}
		if l.err = l.input(chunk[:n], take); l.err != nil {
			return true
		}
	}
}

// input takes bytes off the wire.
func (l *link) input(b []byte, take func(message) error) error {
	if l.tls == nil {
		return l.feed(b, take)
	}
	if l.rest != nil {
		return l.rest.input(b, func(plain []byte) error { return l.feed(plain, take) })
	}
	l.in = b
	defer func() { l.in = nil }() // an empty rest would keep the chunk
	plain := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(plain)
	for {
		n, err := l.tls.Read(plain[:])
		if n > 0 {
			if err := l.feed(plain[:n], take); err != nil {
				return err
			}
		}
		if err == error(errAgain) {
			l.takeOver()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// takeOver has the records to come opened here, once the endpoint is signed in.
func (l *link) takeOver() {
	if l.log == nil || !l.settled || !l.fed.whole() {
		return
	}
	l.rest = newRecords(l.tls.ConnectionState(), l.log.secret, l.fed.count)
	l.log = nil
}

// feed cuts plain text into messages.
func (l *link) feed(b []byte, take func(message) error) error {
	if len(l.part) > 0 {
		l.part = append(l.part, b...)
		b = l.part
	}
	for {
		m, rest, err := cut(b)
		if err != nil {
			return err
		}
		if m.head == nil {
			break
		}
		b = rest
		if err := take(m); err != nil {
			return err
		}
	}
	switch {
	case len(b) == 0:
		l.part = nil
	default:
		l.part = append([]byte(nil), b...)
	}
	return nil
}
