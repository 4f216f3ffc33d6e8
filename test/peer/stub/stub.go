// Package stub is a throw-away SIP server against which the foreign clients of
// test/peer prove themselves without Trivet: a registrar that believes everybody
// or asks for Digest (MD5), an empty Lync contact list, and a relay between its
// users, over TCP and UDP on one port. It keeps no transactions and no dialogs.
package stub

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"trivet/wire/sip"
)

// Server is a running stub.
type Server struct {
	Addr     string // host:port of both transports
	Password string // of everybody; "" lets all in without asking. Set before the first client comes

	mu      sync.Mutex      // guards the fields below, and writing to the links
	links   map[string]link // by user@domain
	methods []string        // of all requests, as they came
	groups  int             // number of the last contact group
}

// link is a way back to a client.
type link interface{ Write([]byte) (int, error) }

// datagrams is the way back to a client on UDP.
type datagrams struct {
	net.PacketConn
	to net.Addr
}

func (d datagrams) Write(b []byte) (int, error) { return d.WriteTo(b, d.to) }

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{links: map[string]link{}, groups: 1}
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = stream.Addr().String()
	packets, err := net.ListenPacket("udp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s.accept(t, stream)
	done := make(chan struct{})
	go func() { defer close(done); s.datagrams(packets) }()
	t.Cleanup(func() { packets.Close(); <-done })
	return s
}

// accept serves the connections of a listener until the test ends.
func (s *Server) accept(t testing.TB, l net.Listener) {
	var running sync.WaitGroup
	var open sync.Map
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			running.Go(func() { s.stream(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		running.Wait()
	})
}

// Methods returns the methods of all requests so far.
func (s *Server) Methods() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.methods, " ")
}

func (s *Server) datagrams(c net.PacketConn) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		s.came(datagrams{c, from}, bytes.Clone(b[:n]))
	}
}

func (s *Server) stream(c net.Conn) {
	defer c.Close()
	var held []byte
	r, b := bufio.NewReader(c), make([]byte, 65536)
	for {
		n, err := r.Read(b)
		held = append(held, b[:n]...)
		for {
			skip, size, bad := sip.Frame(held, sip.Limits{Head: 1 << 16, Body: 1 << 20})
			if bad != nil {
				return
			}
			held = held[skip:]
			if size == 0 || size > len(held) {
				break
			}
			s.came(c, bytes.Clone(held[:size]))
			held = held[size:]
		}
		if err != nil {
			return
		}
	}
}

// came handles one message.
func (s *Server) came(from link, b []byte) {
	m, err := sip.Parse(b)
	if err != nil {
		return // keep-alive, or nothing for us
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.IsRequest() {
		m.PopVia()
		s.pass(user(m, "From"), m)
		return
	}
	s.methods = append(s.methods, m.Method)
	switch m.Method {
	case "REGISTER":
		s.register(from, m)
	case "SUBSCRIBE":
		answer(from, subscribed(m))
	case "SERVICE":
		answer(from, s.served(m))
	case "PUBLISH":
		answer(from, sip.NewResponse(m, 200, "OK"))
	default:
		to := user(m, "To")
		m.Prepend("Via", "SIP/2.0/TCP "+s.Addr+";branch=z9hG4bKstub"+via(m))
		if !s.pass(to, m) && m.Method != "ACK" {
			m.PopVia()
			answer(from, sip.NewResponse(m, 480, "Temporarily Unavailable"))
		}
	}
}

// via keeps our branch as unique as the one below it.
func via(m *sip.Message) string {
	v, _ := m.Via()
	return v.Branch() + m.CallID()
}

// user returns the user@domain of a header.
func user(m *sip.Message, header string) string {
	a, _ := sip.ParseAddr(m.Get(header))
	u, _ := sip.ParseURI(a.URI)
	return u.User + "@" + u.Host
}

func answer(to io.Writer, m *sip.Message) { _, _ = to.Write(m.Append(nil)) } // a client that has gone needs none

func (s *Server) pass(who string, m *sip.Message) bool {
	to, ok := s.links[who]
	if ok {
		answer(to, m)
	}
	return ok
}

func (s *Server) register(from link, m *sip.Message) {
	if s.Password != "" && !s.knows(m) {
		no := sip.NewResponse(m, 401, "Unauthorized")
		no.Add("WWW-Authenticate", `Digest realm="stub", nonce="1234", algorithm=MD5`)
		answer(from, no)
		return
	}
	who, expires := user(m, "To"), "600"
	if n, ok := m.Expires(); ok && n == 0 {
		delete(s.links, who)
		expires = "0"
	} else {
		s.links[who] = from
	}
	yes := sip.NewResponse(m, 200, "OK")
	for _, h := range [][2]string{
		{"Contact", m.Get("Contact")}, {"Expires", expires},
		{"Supported", "msrtc-event-categories"}, {"Supported", "adhoclist"},
		{"Allow-Events", "vnd-microsoft-roaming-contacts,presence"},
	} {
		yes.Add(h[0], h[1])
	}
	answer(from, yes)
}

// knows verifies a Digest without qop, RFC 2617 3.2.2.1 in the form of RFC 2069.
func (s *Server) knows(m *sip.Message) bool {
	given := m.Get("Authorization")
	field := func(name string) string {
		_, rest, _ := strings.Cut(given, name+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	hash := func(parts ...string) string {
		sum := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum[:])
	}
	want := hash(hash(field("username"), "stub", s.Password), "1234", hash("REGISTER", field("uri")))
	return field("response") == want
}

// served agrees to everything; a new group also gets its number.
func (s *Server) served(m *sip.Message) *sip.Message {
	yes := sip.NewResponse(m, 200, "OK")
	if bytes.Contains(m.Body, []byte("addGroup>")) {
		s.groups++
		yes.Add("Content-Type", "application/SOAP+xml")
		yes.Body = fmt.Appendf(nil, "<Envelope><Body><addGroup><groupID>%d</groupID></addGroup></Body></Envelope>", s.groups)
	}
	return yes
}

const contacts = `<contactList deltaNum="1" ucsmode="none"><group id="1" name="~" externalURI=""/></contactList>`

func subscribed(m *sip.Message) *sip.Message {
	yes := sip.NewResponse(m, 200, "OK")
	if to := m.Get("To"); !strings.Contains(to, ";tag=") {
		yes.Set("To", to+";tag=stub")
	}
	yes.Add("Event", m.Get("Event"))
	yes.Add("Expires", "600")
	yes.Add("Contact", "<sip:"+user(m, "To")+">")
	if m.Event() == "vnd-microsoft-roaming-contacts" {
		yes.Add("ms-piggyback-cseq", "1")
		yes.Add("Content-Type", fmt.Sprintf("application/%s+xml", m.Event()))
		yes.Body = []byte(contacts)
	}
	return yes
}
