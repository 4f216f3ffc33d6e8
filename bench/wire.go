package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
)

// client is one registered user on one connection. It knows just enough SIP to
// be cheap: the generator shares the machine with the server it loads.
type client struct {
	n    int
	user string
	conn net.Conn
	in   *bufio.Reader

	transport string // TCP or TLS
	local     string
	seq       int
	challenge string // the last WWW-Authenticate
	nc        int    // how often it was answered
	out       []byte // scratch of the writer
	replies   chan int
	received  *atomic.Int64 // MESSAGEs taken by all receivers
}

// target says where and how to connect.
type target struct {
	addr   string
	tls    *tls.Config // nil: TCP
	domain string
	user   func(n int) string
	secret string // Digest password; servers that do not challenge never see it
	atOnce int    // sign-ins at a time
}

func dial(t target, n int, received *atomic.Int64) (*client, error) {
	var d net.Dialer
	// Source addresses 127.0.1.x–127.0.4.x: more than 28,000 connections need several.
	d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/10000), byte(1+n%200))}
	conn, err := d.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	c := &client{n: n, user: t.user(n), transport: "TCP", local: conn.LocalAddr().String(), replies: make(chan int, 64), received: received}
	c.conn = conn
	if t.tls != nil {
		c.transport = "TLS"
		tc := tls.Client(conn, t.tls)
		if err := tc.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		c.conn = tc
	}
	c.in = bufio.NewReaderSize(c.conn, 2048)
	return c, nil
}

func (c *client) uri(domain string) string { return "sip:" + c.user + "@" + domain }

// register binds the connection. It answers a Digest challenge, and uses what it
// was challenged with again as long as the server takes it.
func (c *client) register(t target) error {
	for try := 0; try < 2; try++ {
		c.seq++
		auth := c.credentials(t)
		msg := fmt.Sprintf("REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKr%d-%d\r\nMax-Forwards: 70\r\n"+
			"From: <%s>;tag=r%d\r\nTo: <%s>\r\nCall-ID: reg-%d@%s\r\nCSeq: %d REGISTER\r\n"+
			"Contact: <sip:%s@%s;transport=%s>\r\nExpires: 3600\r\n%sContent-Length: 0\r\n\r\n",
			t.domain, c.transport, c.local, c.n, c.seq, c.uri(t.domain), c.n, c.uri(t.domain), c.n, c.local, c.seq,
			c.user, c.local, strings.ToLower(c.transport), auth)
		if _, err := io.WriteString(c.conn, msg); err != nil {
			return err
		}
		m, err := c.read()
		if err != nil {
			return err
		}
		switch status := m.status(); {
		case status == 200:
			return nil
		case status == 401 && try == 0:
			if err = c.challenged(m); err != nil {
				return err
			}
		default:
			return fmt.Errorf("REGISTER of %s: %d\n%s", c.user, status, m.raw)
		}
	}
	return fmt.Errorf("REGISTER of %s: refused twice", c.user)
}

// challenged keeps the MD5 challenge, which every peer offers.
func (c *client) challenged(m message) error {
	for line := range strings.SplitSeq(string(m.raw), "\r\n") {
		name, v, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "WWW-Authenticate") && strings.Contains(v, "Digest") && !strings.Contains(v, "SHA-256") {
			c.challenge, c.nc = v, 0
			return nil
		}
	}
	return fmt.Errorf("no Digest MD5 challenge in\n%s", m.raw)
}

// credentials is the Authorization header for the next REGISTER; "" before the
// first challenge.
func (c *client) credentials(t target) string {
	if c.challenge == "" {
		return ""
	}
	c.nc++
	realm, nonce := field(c.challenge, "realm"), field(c.challenge, "nonce")
	uri, cnonce, nc := "sip:"+t.domain, "c"+strconv.Itoa(c.n), fmt.Sprintf("%08x", c.nc)
	ha1 := hash(c.user + ":" + realm + ":" + t.secret)
	ha2 := hash("REGISTER:" + uri)
	opaque, qop, response := "", "", hash(ha1+":"+nonce+":"+ha2)
	if o := field(c.challenge, "opaque"); o != "" {
		opaque = fmt.Sprintf(`, opaque="%s"`, o)
	}
	if strings.Contains(c.challenge, "qop=") {
		response = hash(ha1 + ":" + nonce + ":" + nc + ":" + cnonce + ":auth:" + ha2)
		qop = fmt.Sprintf(`, qop=auth, nc=%s, cnonce="%s"`, nc, cnonce)
	}
	return fmt.Sprintf("Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", algorithm=MD5%s%s\r\n",
		c.user, realm, nonce, uri, response, qop, opaque)
}

func hash(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }

func field(s, name string) string {
	_, v, ok := strings.Cut(s, name+`="`)
	if !ok {
		return ""
	}
	v, _, _ = strings.Cut(v, `"`)
	return v
}

// message is one SIP message as read from the wire.
type message struct{ raw []byte }

func (m message) status() int {
	if !bytes.HasPrefix(m.raw, []byte("SIP/2.0 ")) || len(m.raw) < 11 {
		return 0
	}
	n, _ := strconv.Atoi(string(m.raw[8:11]))
	return n
}

// header returns the first value of a header, "" when there is none.
func (m message) header(name string) string {
	for line := range strings.SplitSeq(string(m.raw), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

var (
	crlf     = []byte("\r\n")
	lengthLC = []byte("content-length")
)

// read takes one message off the connection. Its bytes are valid until the next
// read of this client.
func (c *client) read() (message, error) {
	c.out = c.out[:0]
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return message{}, err
		}
		if len(line) <= 2 {
			if len(c.out) == 0 {
				continue // keep-alive
			}
			c.out = append(c.out, line...)
			break
		}
		if len(line) > 16 && line[0]|0x20 == 'c' && bytes.EqualFold(line[:14], lengthLC) {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(line[15:])))
		}
		c.out = append(c.out, line...)
	}
	at := len(c.out)
	c.out = append(c.out, make([]byte, length)...)
	_, err := io.ReadFull(c.in, c.out[at:])
	return message{c.out}, err
}

// answered are the headers that a response copies.
var answered = [...]string{"via:", "from:", "to:", "call-id:", "cseq:"}

// serve answers every request with 200 and passes final responses to replies.
func (c *client) serve() error {
	var res []byte
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		if status := m.status(); status != 0 {
			if status >= 200 {
				c.replies <- status
			}
			continue
		}
		res = append(res[:0], "SIP/2.0 200 OK\r\n"...)
		head, _, _ := bytes.Cut(m.raw, []byte("\r\n\r\n"))
		for _, line := range bytes.Split(head, crlf)[1:] {
			for i, name := range answered {
				if len(line) > len(name) && line[0]|0x20 == name[0] && strings.EqualFold(string(line[:len(name)]), name) {
					res = append(res, line...)
					if i == 2 && !bytes.Contains(line, []byte("tag=")) {
						res = append(res, ";tag=b"...)
					}
					res = append(res, crlf...)
				}
			}
		}
		res = append(res, "Content-Length: 0\r\n\r\n"...)
		c.received.Add(1)
		if _, err := c.conn.Write(res); err != nil {
			return err
		}
	}
}

// benchText is what everybody says to everybody: 100 bytes.
const benchText = "The quick brown fox jumps over the lazy dog, the lazy dog sleeps on. 0123456789012345678901234567890"

// send writes one MESSAGE of 100 bytes of text to peer.
func (c *client) send(buf []byte, peer, domain string) ([]byte, error) {
	c.seq++
	buf = append(buf[:0], "MESSAGE sip:"...)
	buf = append(buf, peer...)
	buf = append(append(append(buf, '@'), domain...), " SIP/2.0\r\nVia: SIP/2.0/"...)
	buf = append(append(append(buf, c.transport...), ' '), c.local...)
	buf = append(buf, ";branch=z9hG4bKm"...)
	buf = strconv.AppendInt(append(strconv.AppendInt(buf, int64(c.n), 36), '-'), int64(c.seq), 36)
	buf = append(append(append(append(buf, "\r\nMax-Forwards: 70\r\nFrom: <sip:"...), c.user...), '@'), domain...)
	buf = append(append(append(append(buf, ">;tag=f\r\nTo: <sip:"...), peer...), '@'), domain...)
	buf = append(buf, ">\r\nCall-ID: m"...)
	buf = strconv.AppendInt(append(strconv.AppendInt(buf, int64(c.n), 36), '-'), int64(c.seq), 36)
	buf = append(append(buf, '@'), c.local...)
	buf = append(buf, "\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"...)
	buf = append(buf, benchText...)
	_, err := c.conn.Write(buf)
	return buf, err
}
