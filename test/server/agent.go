package server

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"trivet/test/sipagent"
	"trivet/wire/sip"
)

// patience is how long an answer may take on a busy machine.
const patience = 20 * time.Second

// Agent is a SIP client that says what it is told, true or not. It answers
// challenges with Digest when it has a password. Its methods may be called from
// several goroutines.
type Agent struct {
	t         testing.TB
	Network   string
	User      string // address in From, "sip:…"
	Login     string // of the credentials
	Password  string // "" leaves challenges unanswered
	Tag, Call string
	Epid      string // "" for a standard SIP client
	Mute      bool   // NOTIFY is not answered by itself

	write func([]byte) error
	close func()
	local string
	gone  chan struct{} // closed when the connection has ended

	mu       sync.Mutex // guards the fields below
	cseq     int
	waiting  map[string]chan *sip.Message // by branch
	inbox    []*sip.Message               // requests, and responses nobody waits for
	arrived  chan struct{}                // one element when inbox has grown
	closedBy error
}

func word() string { return strings.ToLower(rand.Text()[:12]) }

// From is a source address for connections.
type From struct{ netip.Addr }

func (f From) tcp() net.Addr {
	if !f.IsValid() {
		return nil
	}
	return &net.TCPAddr{IP: f.AsSlice()}
}

func (f From) udp() net.Addr {
	if !f.IsValid() {
		return nil
	}
	return &net.UDPAddr{IP: f.AsSlice()}
}

func newAgent(t testing.TB, network string) *Agent {
	return &Agent{t: t, Network: network, Tag: word(), Call: word(), gone: make(chan struct{}), waiting: map[string]chan *sip.Message{}, arrived: make(chan struct{}, 1)}
}

// sources counts the addresses that were used.
var sources atomic.Uint32

// freshSource is a loopback address that has sent nothing yet.
func freshSource() netip.Addr {
	n := sources.Add(1)
	return netip.AddrFrom4([4]byte{127, 200 + byte(n>>16), byte(n >> 8), byte(n)})
}

// Dial connects over one of udp, tcp, tls, ws, wss.
func (s *Server) Dial(t testing.TB, network string) *Agent {
	t.Helper()
	a, err := s.dial(t, network, From{})
	if err != nil {
		t.Fatalf("%s: %v", network, err)
	}
	return a
}

// DialFrom is Dial from a loopback address of its own, which no brake knows.
func (s *Server) DialFrom(t testing.TB, network string, from netip.Addr) *Agent {
	t.Helper()
	a, err := s.dial(t, network, From{from})
	if err != nil {
		t.Fatalf("%s: %v", network, err)
	}
	return a
}

func (s *Server) dial(t testing.TB, network string, from From) (*Agent, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := newAgent(t, network)
	var nc net.Conn
	var err error
	switch network {
	case "udp":
		nc, err = (&net.Dialer{LocalAddr: from.udp()}).DialContext(ctx, "udp", s.UDP.String())
	case "tcp":
		nc, err = (&net.Dialer{LocalAddr: from.tcp()}).DialContext(ctx, "tcp", s.TCP.String())
	case "tls":
		d := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: from.tcp()}, Config: s.Trust()}
		nc, err = d.DialContext(ctx, "tcp", s.TLS.String())
	case "ws":
		return a, s.dialWeb(ctx, a, "ws://"+s.WS.String(), from)
	case "wss":
		return a, s.dialWeb(ctx, a, "wss://"+s.WSS.String(), from)
	}
	if err != nil {
		return nil, err
	}
	a.start(nc)
	return a, nil
}

// start takes a connection into use.
func (a *Agent) start(nc net.Conn) {
	a.local = nc.LocalAddr().String()
	a.write = func(b []byte) error { _, err := nc.Write(b); return err }
	a.close = func() { nc.Close() }
	read := a.readStream
	if a.Network == "udp" {
		read = a.readDatagrams
	}
	go func() {
		a.end(read(nc))
	}()
	a.t.Cleanup(a.Close)
}

func (s *Server) dialWeb(ctx context.Context, a *Agent, url string, from From) error {
	tr := &http.Transport{TLSClientConfig: s.Trust(), DialContext: (&net.Dialer{LocalAddr: from.tcp()}).DialContext}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		return err
	}
	ws.SetReadLimit(1 << 20)
	life, end := context.WithCancel(context.Background())
	a.local = "127.0.0.1:9"
	a.write = func(b []byte) error { return ws.Write(life, websocket.MessageText, b) }
	a.close = func() { end(); ws.CloseNow(); tr.CloseIdleConnections() }
	go func() {
		for {
			_, b, err := ws.Read(life)
			if err != nil {
				a.end(err)
				return
			}
			if m, err := sip.Parse(b); err == nil {
				a.take(m)
			}
		}
	}()
	a.t.Cleanup(a.Close)
	return nil
}

func (a *Agent) readDatagrams(nc net.Conn) error {
	b := make([]byte, 64<<10)
	for {
		n, err := nc.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			continue
		}
		if m, err := sip.Parse(b[:n]); err == nil {
			a.take(m)
		}
	}
}

func (a *Agent) readStream(nc net.Conn) error {
	for in := (sipagent.Stream{From: nc}); ; {
		m, err := in.Next()
		if err != nil {
			return err
		}
		a.take(m)
	}
}

func (a *Agent) end(err error) {
	a.mu.Lock()
	a.closedBy = err
	a.mu.Unlock()
	close(a.gone)
}

func (a *Agent) take(m *sip.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !m.IsRequest() {
		if via, err := m.Via(); err == nil {
			if ch := a.waiting[via.Branch()]; ch != nil {
				select {
				case ch <- m:
				default:
				}
				return
			}
		}
	}
	if m.Method == "NOTIFY" && !a.Mute {
		a.write(sip.NewResponse(m, 200, "").Append(nil))
	}
	a.inbox = append(a.inbox, m)
	select {
	case a.arrived <- struct{}{}:
	default:
	}
}

// Close ends the connection and waits for its reader.
func (a *Agent) Close() {
	a.close()
	<-a.gone
}

// Gone waits until the server has ended the connection.
func (a *Agent) Gone(d time.Duration) bool {
	select {
	case <-a.gone:
		return true
	case <-time.After(d):
		return false
	}
}

// Raw sends bytes as they are.
func (a *Agent) Raw(b []byte) error { return a.write(b) }

// Request makes a request of a.User to uri, without Via and CSeq. Extra are
// header lines, and a body behind an empty one.
func (a *Agent) Request(method, uri, to string, extra ...string) *sip.Message {
	m := sip.NewRequest(method, uri)
	m.Add("Max-Forwards", "70")
	from := "<" + a.User + ">;tag=" + a.Tag
	if a.Epid != "" {
		from += ";epid=" + a.Epid
	}
	m.Add("From", from)
	m.Add("To", to)
	m.Add("Call-ID", a.Call)
	for i, line := range extra {
		if line == "" {
			m.Body = []byte(strings.Join(extra[i+1:], "\r\n"))
			break
		}
		name, value, _ := strings.Cut(line, ": ")
		m.Set(name, value)
	}
	return m
}

// Do sends a request and returns its final response.
func (a *Agent) Do(m *sip.Message) *sip.Message {
	a.t.Helper()
	res, err := a.Try(m, patience)
	if err != nil {
		a.t.Fatalf("%s over %s: %v", m.Method, a.Network, err)
	}
	return res
}

// Try is Do with a limit that reports what fails.
func (a *Agent) Try(m *sip.Message, limit time.Duration) (*sip.Message, error) {
	var last *sip.Message
	for range 3 {
		res, err := a.once(m, limit)
		if err != nil || !challenged(res) || a.Password == "" || !a.answer(m, res) {
			return res, err
		}
		last = res
	}
	return last, nil
}

// Start sends a request of a transaction whose responses the caller takes.
func (a *Agent) Start(m *sip.Message) (branch string, answers <-chan *sip.Message, err error) {
	a.mu.Lock()
	branch = "z9hG4bK" + word()
	ch := make(chan *sip.Message, 16)
	a.waiting[branch] = ch
	a.cseq++
	m.Set("CSeq", fmt.Sprint(a.cseq, " ", m.Method))
	m.Del("Via")
	m.Prepend("Via", "SIP/2.0/"+strings.ToUpper(a.Network)+" "+a.local+";rport;branch="+branch)
	a.mu.Unlock()
	return branch, ch, a.write(m.Append(nil))
}

func (a *Agent) once(m *sip.Message, limit time.Duration) (*sip.Message, error) {
	branch, ch, err := a.Start(m)
	if err != nil {
		return nil, err
	}
	defer func() {
		a.mu.Lock()
		delete(a.waiting, branch)
		a.mu.Unlock()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case res := <-ch:
			if res.Status >= 200 {
				return res, nil
			}
		case <-a.gone:
			return nil, errors.Join(errors.New("the server closed the connection"), a.closedBy)
		case <-timer.C:
			return nil, errors.New("no answer")
		}
	}
}

// Await returns the first message in the inbox that match likes.
func (a *Agent) Await(what string, match func(*sip.Message) bool) *sip.Message {
	a.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if m := a.pick(match); m != nil {
			return m
		}
		select {
		case <-a.arrived:
		case <-a.gone:
			if m := a.pick(match); m != nil {
				return m
			}
			a.t.Fatalf("%s: the connection has ended before: %v", what, a.closedBy)
		case <-timer.C:
			a.t.Fatalf("%s: nothing came", what)
		}
	}
}

func (a *Agent) pick(match func(*sip.Message) bool) *sip.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range a.inbox {
		if match(m) {
			a.inbox = append(a.inbox[:i:i], a.inbox[i+1:]...)
			return m
		}
	}
	return nil
}

// Inbox returns what came and was not taken.
func (a *Agent) Inbox() []*sip.Message {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*sip.Message(nil), a.inbox...)
}

// AwaitMethod takes a request off the inbox.
func (a *Agent) AwaitMethod(method string) *sip.Message {
	a.t.Helper()
	return a.Await(method, func(m *sip.Message) bool { return m.IsRequest() && m.Method == method })
}

// Reply answers a request of the server.
func (a *Agent) Reply(req *sip.Message, status int, extra ...string) {
	a.t.Helper()
	res := sip.NewResponse(req, status, "")
	if to := res.Get("To"); !strings.Contains(to, ";tag=") {
		res.Set("To", to+";tag="+a.Tag)
	}
	for _, line := range extra {
		name, value, _ := strings.Cut(line, ": ")
		res.Add(name, value)
	}
	if err := a.write(res.Append(nil)); err != nil {
		a.t.Error(err)
	}
}

// answer puts Digest credentials for the challenge on m; false when there is none
// for it.
func (a *Agent) answer(m, challenge *sip.Message) bool {
	ask, give := "WWW-Authenticate", "Authorization"
	if challenge.Status == 407 {
		ask, give = "Proxy-Authenticate", "Proxy-Authorization"
	}
	for v := range challenge.All(ask) {
		if strings.HasPrefix(v, "Digest ") {
			m.Set(give, Digest(v, m.Method, m.RequestURI, a.Login, a.Password))
			return true
		}
	}
	return false
}

func challenged(res *sip.Message) bool { return res.Status == 401 || res.Status == 407 }

// Digest answers one challenge, RFC 8760.
func Digest(challenge, method, uri, login, password string) string {
	param := func(name string) string {
		for p := range sip.Split(challenge[len("Digest "):]) {
			if n, v, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(n), name) {
				return strings.Trim(v, `" `)
			}
		}
		return ""
	}
	make := md5.New
	if strings.EqualFold(param("algorithm"), "SHA-256") {
		make = sha256.New
	}
	sum := func(parts ...string) string { return digestSum(make(), parts) }
	cnonce := word()
	response := sum(sum(login, param("realm"), password), param("nonce"), "00000001", cnonce, "auth", sum(method, uri))
	out := fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q, response=%q, algorithm=%s, qop=auth, nc=00000001, cnonce=%q`,
		login, param("realm"), param("nonce"), uri, response, param("algorithm"), cnonce)
	if o := param("opaque"); o != "" {
		out += fmt.Sprintf(`, opaque=%q`, o)
	}
	return out
}

func digestSum(h hash.Hash, parts []string) string {
	io.WriteString(h, strings.Join(parts, ":"))
	return hex.EncodeToString(h.Sum(nil))
}

// Contact is where the server may reach the agent.
func (a *Agent) Contact() string {
	user, _, _ := strings.Cut(strings.TrimPrefix(a.User, "sip:"), "@")
	return "<sip:" + user + "@" + a.local + ";transport=" + strings.TrimSuffix(a.Network, "s") + ">"
}

// Register signs the agent in and returns the answer.
func (a *Agent) Register(extra ...string) *sip.Message {
	a.t.Helper()
	_, domain, _ := strings.Cut(a.User, "@")
	m := a.Request("REGISTER", "sip:"+domain, "<"+a.User+">", append([]string{"Contact: " + a.Contact(), "Expires: 600"}, extra...)...)
	return a.Do(m)
}
