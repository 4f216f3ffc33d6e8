package load

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strconv"
	"testing"
	"time"

	"trivet/test/peer/loopback"
)

// talkTLS is a server that sends messages of many sizes, each for one byte of the
// client.
func talkTLS(t *testing.T, sizes []int) net.Addr {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", loopback.Addr(t).String()+":0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
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
			go func() {
				defer c.Close()
				one := make([]byte, 1)
				for i, n := range sizes {
					if _, err := c.Read(one); err != nil {
						return
					}
					if _, err := c.Write(append([]byte("SIP/2.0 200 OK\r\nContent-Length: "+strconv.Itoa(n)+"\r\n\r\n"), bytes.Repeat([]byte{byte('a' + i%26)}, n)...)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr()
}

// What a server sends is the same whoever opens its records, also when a session is
// resumed and tickets come early; TLS 1.2 stays with crypto/tls.
func TestRecordsAreOpened(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 100, 16384, 40000, 200000, 5, 70000, 3}
	addr := talkTLS(t, sizes)
	for _, c := range []struct {
		version uint16
		ours    bool
	}{{tls.VersionTLS13, true}, {tls.VersionTLS12, false}} {
		conf := &tls.Config{InsecureSkipVerify: true, MaxVersion: c.version, ClientSessionCache: tls.NewLRUClientSessionCache(4), ServerName: "x"}
		r, err := New(Config{Model: Lync2013(), People: twoPeople, Server: addr.String(), TLS: conf, Scheme: NTLM, Speed: 1})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			l, err := r.dial(context.Background(), 0)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			l.SetDeadline(time.Now().Add(20 * time.Second))
			if err := l.send([]byte("x")); err != nil {
				t.Fatal(err)
			}
			err = l.read(func(m message) error {
				if len(m.body) != sizes[n] || len(bytes.Trim(m.body, string(rune('a'+n%26)))) > 0 {
					t.Errorf("message %d has %d bytes %.20q", n, len(m.body), m.body)
				}
				n++
				l.settled = n > 1
				return l.send([]byte("x"))
			})
			l.Close()
			if n != len(sizes) || (l.rest != nil) != c.ours {
				t.Errorf("TLS %x, round %d: %d messages, read here: %v, %v", c.version, round, n, l.rest != nil, err)
			}
		}
		if n := r.count.resumed.Load(); n != 2 {
			t.Errorf("TLS %x: %d sessions were resumed, want 2", c.version, n)
		}
	}
}
