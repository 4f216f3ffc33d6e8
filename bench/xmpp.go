package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// xmppClient is one signed-in XMPP user (RFC 6120, RFC 6121). It searches the
// stream for the few elements that it needs: the generator shares the machine with
// the server it loads.
type xmppClient struct {
	user string
	conn net.Conn
	in   []byte // read and not yet taken
	buf  []byte
}

const xmppPatience = 20 * time.Second

// dialXMPP connects, starts TLS, signs in with PLAIN, binds a resource and becomes
// available.
func dialXMPP(t target, n int) (*xmppClient, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/10000), byte(1+n%200))}}
	conn, err := d.Dial("tcp", t.addr)
	if err != nil {
		return nil, err
	}
	c := &xmppClient{user: t.user(n), conn: conn, buf: make([]byte, 4096)}
	conn.SetDeadline(time.Now().Add(xmppPatience))
	if err := c.signIn(t); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", c.user, err)
	}
	c.conn.SetDeadline(time.Time{})
	return c, nil
}

func (c *xmppClient) Close() error { return c.conn.Close() }

func (c *xmppClient) signIn(t target) error {
	open := fmt.Sprintf("<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", t.domain)
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + c.user + "\x00" + t.secret))
	for _, step := range []struct {
		send, want string
		tls        bool
	}{
		{open, "</stream:features>", false},
		{"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed", true},
		{open, "</stream:features>", false},
		{"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + secret + "</auth>", "<success", false},
		{open, "</stream:features>", false},
		{"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>", "</iq>", false},
		{"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", "id='r'", false},
		{"<presence/>", "<presence ", false}, // our own, reflected
	} {
		if _, err := io.WriteString(c.conn, step.send); err != nil {
			return err
		}
		if err := c.await(step.want); err != nil {
			return err
		}
		if step.tls {
			c.in, c.conn = nil, tls.Client(c.conn, t.tls)
		}
	}
	return nil
}

// await reads until want has come, written with either kind of quotes.
func (c *xmppClient) await(want string) error {
	for {
		text := strings.ReplaceAll(string(c.in), `"`, `'`)
		if i := strings.Index(text, want); i >= 0 {
			c.in = c.in[i+len(want):]
			return nil
		}
		if i := strings.Index(text, "<failure"); i >= 0 || strings.Contains(text, "<stream:error") {
			return fmt.Errorf("refused: %s", text)
		}
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return fmt.Errorf("waiting for %s after %q: %w", want, c.in, err)
		}
		c.in = append(c.in, c.buf[:n]...)
	}
}

// closing is how a message ends; what is counted.
var closing = []byte("</message>")

// take reads the next message.
func (c *xmppClient) take() error {
	for {
		if i := bytes.Index(c.in, closing); i >= 0 {
			c.in = append(c.in[:0], c.in[i+len(closing):]...)
			return nil
		}
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return err
		}
		c.in = append(c.in, c.buf[:n]...)
	}
}

// send writes one chat message of 100 bytes of text to peer's device.
func (c *xmppClient) send(buf []byte, peer, domain string) ([]byte, error) {
	buf = append(append(append(append(buf[:0], "<message type='chat' to='"...), peer...), '@'), domain...)
	buf = append(append(append(buf, "/bench'><body>"...), benchText...), "</body></message>"...)
	_, err := c.conn.Write(buf)
	return buf, err
}
