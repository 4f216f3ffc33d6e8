package sipauth

import (
	"io"
	"net"
	"sync"
	"time"
)

// flight is a net.Conn whose other end is a sequence of tokens: bytes go in,
// the bytes of the answering flight come out when the reader wants more.
type flight struct {
	mu      sync.Mutex
	changed *sync.Cond
	in, out []byte
	waiting bool // the reader has read all and waits
	ended   bool // no more reading or writing
	total   int  // bytes taken in
}

func newFlight() *flight {
	f := &flight{}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// maxFlight bounds what one TLS-DSK handshake may send us, in bytes.
const maxFlight = 64 << 10

// exchange hands token to the reader and returns what was written until it
// wanted more or ended.
func (f *flight) exchange(token []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.total += len(token); f.total > maxFlight {
		f.ended = true
	}
	f.in = append(f.in, token...)
	f.changed.Broadcast()
	for !f.ended && !(f.waiting && len(f.in) == 0) {
		f.changed.Wait()
	}
	out := f.out
	f.out = nil
	return out
}

func (f *flight) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.in) == 0 && !f.ended {
		f.waiting = true
		f.changed.Broadcast()
		f.changed.Wait()
	}
	f.waiting = false
	if f.ended {
		return 0, io.EOF
	}
	n := copy(p, f.in)
	f.in = f.in[n:]
	return n, nil
}

func (f *flight) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || len(f.out)+len(p) > maxFlight {
		return 0, io.ErrClosedPipe
	}
	f.out = append(f.out, p...)
	return len(p), nil
}

// Close wakes everybody and ends the flight.
func (f *flight) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.changed.Broadcast()
	return nil
}

func (f *flight) LocalAddr() net.Addr              { return inSIP{} }
func (f *flight) RemoteAddr() net.Addr             { return inSIP{} }
func (f *flight) SetDeadline(time.Time) error      { return nil }
func (f *flight) SetReadDeadline(time.Time) error  { return nil }
func (f *flight) SetWriteDeadline(time.Time) error { return nil }

type inSIP struct{}

func (inSIP) Network() string { return "sip" }
func (inSIP) String() string  { return "sip" }

const (
	recordHead   = 5
	maxRecord    = 1 << 14
	recHandshake = 22
	recCipher    = 20
)

// mergeRecords puts the plaintext handshake records of a flight into as few
// records as possible: clients exist that refuse a record that holds only
// ServerHelloDone. From ChangeCipherSpec on records are encrypted and stay.
func mergeRecords(in []byte) []byte {
	var out, body, head []byte
	flush := func() {
		for len(body) > 0 {
			n := min(len(body), maxRecord)
			out = append(append(out, recHandshake, head[1], head[2], byte(n>>8), byte(n)), body[:n]...)
			body = body[n:]
		}
	}
	for len(in) >= recordHead && in[0] != recCipher {
		n := recordHead + int(in[3])<<8 + int(in[4])
		if n > len(in) {
			break
		}
		if in[0] == recHandshake {
			head = in[:recordHead]
			body = append(body, in[recordHead:n]...)
		} else {
			flush()
			out = append(out, in[:n]...)
		}
		in = in[n:]
	}
	flush()
	return append(out, in...)
}
