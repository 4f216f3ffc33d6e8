package sipagent

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// patience is how long a connection may last before its reads fail.
const patience = 60 * time.Second

// Agent is one end of a connection. Its methods end the test when the connection
// fails, but for Next.
type Agent struct {
	net.Conn
	Seq int // CSeq of the latest request of Ask

	t  testing.TB
	in Stream
}

// Dial connects over tcp or udp, until the test ends.
func (h *Host) Dial(t testing.TB, network string) *Agent {
	t.Helper()
	nc, err := net.Dial(network, h.Addr[network])
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &Agent{Conn: nc, t: t, in: Stream{From: nc}}
}

// Send sends a message.
func (a *Agent) Send(m *sip.Message) {
	a.t.Helper()
	if _, err := io.WriteString(a, m.String()); err != nil {
		a.t.Fatal(err)
	}
}

// Reply answers a request.
func (a *Agent) Reply(req *sip.Message, status int) {
	a.t.Helper()
	a.Send(sip.NewResponse(req, status, ""))
}

// Ask sends a request of a start line without the version, header lines and a
// body. Via, Max-Forwards, CSeq and Content-Length are added.
func (a *Agent) Ask(start, body string, headers ...string) {
	a.t.Helper()
	a.Seq++
	method, _, _ := strings.Cut(start, " ")
	seq := strconv.Itoa(a.Seq)
	head := append([]string{start + " SIP/2.0", "Via: SIP/2.0/TCP 127.0.0.1:40718;branch=z9hG4bK" + seq + a.LocalAddr().String(), "Max-Forwards: 70",
		"CSeq: " + seq + " " + method, "Content-Length: " + strconv.Itoa(len(body))}, headers...)
	if _, err := io.WriteString(a, strings.Join(head, "\r\n")+"\r\n\r\n"+body); err != nil {
		a.t.Fatal(err)
	}
}

// Recv returns the next message.
func (a *Agent) Recv() *sip.Message {
	a.t.Helper()
	m, err := a.Next()
	if err != nil {
		a.t.Fatal(err)
	}
	return m
}

// Next is Recv for connections that are expected to end.
func (a *Agent) Next() (*sip.Message, error) {
	if a.LocalAddr().Network() != "udp" {
		return a.in.Next()
	}
	b := make([]byte, 64<<10)
	n, err := a.Read(b)
	if err != nil {
		return nil, err
	}
	return sip.Parse(b[:n])
}

// Stream cuts what is read From a connection into messages.
type Stream struct {
	From io.Reader
	held []byte // read, and not part of a message yet
}

// Next returns the next message.
func (s *Stream) Next() (*sip.Message, error) {
	for chunk := make([]byte, 4<<10); ; {
		skip, size, err := sip.Frame(s.held, sip.DefaultLimits)
		if err != nil {
			return nil, err
		}
		if s.held = s.held[skip:]; size > 0 && len(s.held) >= size {
			m, err := sip.Parse(s.held[:size])
			s.held = s.held[size:]
			return m, err
		}
		n, err := s.From.Read(chunk)
		if err != nil {
			return nil, err
		}
		s.held = append(s.held, chunk[:n]...)
	}
}

// Status ends the test unless the status of m is want. It returns m.
func Status(t testing.TB, m *sip.Message, want int) *sip.Message {
	t.Helper()
	if m.Status != want {
		t.Fatalf("got %d, want %d:\n%s", m.Status, want, m)
	}
	return m
}

// Await waits for a condition that nothing announces.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
		<-time.After(100 * time.Microsecond)
	}
}
