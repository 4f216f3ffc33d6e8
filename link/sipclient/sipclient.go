// Package sipclient is a small SIP user agent over one TCP or TLS connection:
// it signs in with Digest (RFC 8760) or NTLM ([MS-SIPAE]), sends requests and
// answers those that come. The synthetic transactions and tests use it; it knows
// nothing of the server it talks to but the protocol.
//
// Methods may be called from any goroutine. One goroutine reads: requests of the
// server are given to Config.Handle one after the other, in the order of the
// connection; while it runs nothing else is read, so it may not wait for this
// client.
package sipclient

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

// Scheme is a way to sign in.
type Scheme string

// The schemes. Auto takes Digest when it is offered, else NTLM.
const (
	Auto   Scheme = "Auto"
	Digest Scheme = "Digest"
	NTLM   Scheme = "NTLM"
)

// Config of a client.
type Config struct {
	Addr     string      // "host:port" of the server
	From     net.Addr    // where to connect from, a *net.TCPAddr; nil = the system chooses
	TLS      *tls.Config // nil = TCP without TLS
	User     uc.UserURI
	Login    string // "" = the address without "sip:"
	Password string
	Scheme   Scheme // "" = Auto
	Now      func() time.Time
	// Handle answers a request of the server; nil = no answer (ACK, BENOTIFY, or
	// answered by Respond later). A nil Handle refuses everything with 501.
	Handle func(req *sip.Message) *sip.Message
}

// Client is a connection of a user agent.
type Client struct {
	cfg    Config
	conn   net.Conn
	via    string // "SIP/2.0/TLS 127.0.0.1:40718"
	tag    string
	callID string // of the registration
	epid   string
	done   chan struct{} // closed when the reader ended

	mu      sync.Mutex // guards the fields below
	cseq    uint32
	pending map[string]chan *sip.Message // by branch
	auth    authenticator                // nil before the first challenge
	err     error                        // why the reader ended

	wmu sync.Mutex // keeps messages whole on the wire
}

const product = "Trivet synthetic client"

// Dial connects. The connection lives until Close; ctx bounds the dialling.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	const op = "sipclient.Dial"
	if cfg.Login == "" {
		cfg.Login = cfg.User.Bare()
	}
	if cfg.Scheme == "" {
		cfg.Scheme = Auto
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	dialer := &net.Dialer{LocalAddr: cfg.From}
	conn, err := dialer.DialContext(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, op, "no connection to %s: %v", cfg.Addr, cause(err)).Because(err)
	}
	transport := "TCP"
	if cfg.TLS != nil {
		transport = "TLS"
		secured := tls.Client(conn, cfg.TLS)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fault.Newf(fault.Unavailable, op, "no TLS with %s: %v", cfg.Addr, err).Because(err)
		}
		conn = secured
	}
	c := &Client{
		cfg: cfg, conn: conn, via: "SIP/2.0/" + transport + " " + conn.LocalAddr().String(),
		tag: token(5), callID: token(16), epid: token(6), done: make(chan struct{}), pending: map[string]chan *sip.Message{},
	}
	go c.read()
	return c, nil
}

// cause is the innermost part of a network error.
func cause(err error) error {
	var o *net.OpError
	if errors.As(err, &o) && o.Err != nil {
		return o.Err
	}
	return err
}

// token makes n random bytes in hexadecimal.
func token(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

// Close ends the connection and waits for the reader.
func (c *Client) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

// Done is closed when the connection has ended, by either side.
func (c *Client) Done() <-chan struct{} { return c.done }

// Contact is where the server reaches this client.
func (c *Client) Contact() string {
	transport := "tcp"
	if c.cfg.TLS != nil {
		transport = "tls"
	}
	return "<sip:" + c.cfg.User.User() + "@" + c.conn.LocalAddr().String() + ";transport=" + transport + ">"
}

// Request makes a request of this user to target, without Via and CSeq, which Do
// adds. The Call-ID is new.
func (c *Client) Request(method string, target uc.UserURI) *sip.Message {
	m := sip.NewRequest(method, string(target))
	m.Add("Max-Forwards", "70")
	from := "<" + string(c.cfg.User) + ">;tag=" + c.tag
	if c.cfg.Scheme == NTLM { // an epid says that this is a client of the product's sort
		from += ";epid=" + c.epid
	}
	m.Add("From", from)
	m.Add("To", "<"+string(target)+">")
	m.Add("Call-ID", token(16))
	m.Add("User-Agent", product)
	return m
}

// rounds is how often a request may be challenged.
const rounds = 4

// Do sends a request and returns its final response. Challenges are answered
// when there is a password. The error is fault.Timeout when ctx ends first,
// fault.Unavailable when the connection does, fault.Unauthenticated for a
// signature of the server that is wrong.
func (c *Client) Do(ctx context.Context, m *sip.Message) (*sip.Message, error) {
	for round := 0; ; round++ {
		res, err := c.once(ctx, m)
		if err != nil || round == rounds || c.cfg.Password == "" || res.Status != 401 && res.Status != 407 {
			return res, err
		}
		next, err := c.answerable(res)
		if err != nil {
			return nil, err
		}
		if !next {
			return res, nil
		}
	}
}

// once sends m as a transaction of its own.
func (c *Client) once(ctx context.Context, m *sip.Message) (*sip.Message, error) {
	const op = "sipclient.Do"
	branch := "z9hG4bK" + token(8)
	answers := make(chan *sip.Message, 8)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return nil, c.err
	}
	c.cseq++
	m.Set("CSeq", strconv.FormatUint(uint64(c.cseq), 10)+" "+m.Method)
	m.Set("Via", c.via+";branch="+branch)
	if err := c.authorize(m); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	c.pending[branch] = answers
	c.mu.Unlock()
	defer c.forget(branch)
	if err := c.write(ctx, m); err != nil {
		return nil, err
	}
	for {
		select {
		case res := <-answers:
			if res.Status >= 200 {
				return res, nil
			}
		case <-c.done:
			return nil, c.failure()
		case <-ctx.Done():
			return nil, fault.Newf(fault.Timeout, op, "no answer to %s in time", m.Method).Because(ctx.Err())
		}
	}
}

func (c *Client) forget(branch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, branch)
}

func (c *Client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) write(ctx context.Context, m *sip.Message) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	deadline, _ := ctx.Deadline() // zero = none
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return lost(err)
	}
	if _, err := c.conn.Write(m.Append(nil)); err != nil {
		return lost(err)
	}
	return nil
}

func lost(err error) error {
	return fault.New(fault.Unavailable, "sipclient.write", "the server closed the connection").Because(err)
}

// read takes messages off the connection until it ends.
func (c *Client) read() {
	defer close(c.done)
	r := bufio.NewReaderSize(c.conn, 16<<10)
	var buf []byte
	for {
		m, rest, err := next(r, buf)
		if err == nil {
			buf = rest
			err = c.take(m)
		}
		if err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			c.conn.Close()
			return
		}
	}
}

// next reads one message; buf is what was read before and not used.
func next(r *bufio.Reader, buf []byte) (*sip.Message, []byte, error) {
	chunk := make([]byte, 16<<10)
	for {
		skip, size, err := sip.Frame(buf, sip.DefaultLimits)
		if err != nil {
			return nil, nil, fault.Wrap("sipclient.read", err)
		}
		buf = buf[skip:]
		if size > 0 && len(buf) >= size {
			m, err := sip.Parse(buf[:size])
			return m, buf[size:], err
		}
		n, err := r.Read(chunk)
		if err != nil {
			return nil, nil, lost(err)
		}
		buf = append(buf, chunk[:n]...)
	}
}

// take gives a response to its transaction and a request to the handler.
func (c *Client) take(m *sip.Message) error {
	if err := c.verify(m); err != nil {
		return err
	}
	if m.IsRequest() {
		return c.answer(m)
	}
	via, err := m.Via()
	if err != nil {
		return fault.Wrap("sipclient.take", err)
	}
	c.mu.Lock()
	answers := c.pending[via.Branch()]
	c.mu.Unlock()
	if answers != nil {
		select {
		case answers <- m:
		default: // eight unread provisional responses: the final one is repeated by nobody over TCP, but so many mean a broken server
		}
	}
	return nil
}

func (c *Client) answer(req *sip.Message) error {
	var res *sip.Message
	switch {
	case c.cfg.Handle != nil:
		res = c.cfg.Handle(req)
	case req.Method != "ACK" && req.Method != "BENOTIFY":
		res = sip.NewResponse(req, 501, "")
	}
	if res == nil {
		return nil
	}
	return c.Respond(res)
}

// Respond sends a response to a request that Handle left open.
func (c *Client) Respond(res *sip.Message) error {
	if to := res.Get("To"); !strings.Contains(to, ";tag=") {
		res.Set("To", to+";tag="+c.tag)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.write(ctx, res)
}
