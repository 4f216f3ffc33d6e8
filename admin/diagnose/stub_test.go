package diagnose_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// names is a name server's table: a host's address, or "host:port" for the name of
// an SRV record. "broken" fails every question.
type names map[string]string

// serve answers on a socket of its own until the test ends.
func (n names) serve(t *testing.T) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			k, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if reply := n.answer(b[:k]); reply != nil {
				c.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

// answer is the reply to a question of RFC 1035 4.1.
func (n names) answer(q []byte) []byte {
	const a, aaaa, srv = 1, 28, 33
	name, end := "", 12
	for end < len(q) && q[end] != 0 {
		l := int(q[end])
		if end+1+l >= len(q) {
			return nil
		}
		name += "." + strings.ToLower(string(q[end+1:end+1+l]))
		end += 1 + l
	}
	if end+5 > len(q) {
		return nil
	}
	value, known := n[strings.TrimPrefix(name, ".")]
	kind := binary.BigEndian.Uint16(q[end+1:])
	reply := append([]byte{q[0], q[1], 0x84, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end+5]...)
	var data []byte
	if _, broken := n["broken"]; broken {
		reply[3] |= 2 // SERVFAIL
	} else if !known {
		reply[3] |= 3 // NXDOMAIN
	} else if ip, err := netip.ParseAddr(value); err == nil && kind == a {
		data = ip.AsSlice()
	} else if host, port, err := net.SplitHostPort(value); err == nil && kind == srv {
		p, _ := net.LookupPort("tcp", port)
		data = binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, uint16(p))
		for label := range strings.SplitSeq(host, ".") {
			data = append(append(data, byte(len(label))), label...)
		}
		data = append(data, 0)
	}
	if data != nil {
		reply[7] = 1
		reply = append(reply, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 60, byte(len(data)>>8), byte(len(data)))
		reply = append(reply, data...)
	}
	return reply
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) (*authority, *x509.CertPool) {
	t.Helper()
	a := &authority{}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().AddDate(-5, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = tmpl, newKey(t)
	a.cert = parse(t, a.sign(t, tmpl, a.key))
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return a, pool
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) sign(t *testing.T, tmpl *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// server issues a certificate for 127.0.0.1 and localhost.
func (a *authority) server(t *testing.T, from, to time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	der := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parse(t, der)}
}

// listen serves connections until the test ends and returns the address.
func listen(t *testing.T, conf *tls.Config, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if conf != nil {
				c = tls.Server(c, conf)
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	return ln.Addr().String()
}

// sipAnswer answers one SIP request with a status and headers.
func sipAnswer(status int, headers ...string) func(net.Conn) {
	return func(c net.Conn) {
		var got []byte
		b := make([]byte, 8192)
		for !strings.Contains(string(got), "\r\n\r\n") {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			got = append(got, b[:n]...)
		}
		req, err := sip.Parse(got)
		if err != nil {
			return
		}
		res := sip.NewResponse(req, status, "")
		for i := 0; i+1 < len(headers); i += 2 {
			res.Add(headers[i], headers[i+1])
		}
		c.Write(res.Append(nil))
		c.Read(b) // until the client closes
	}
}
