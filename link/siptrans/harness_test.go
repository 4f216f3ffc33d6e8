package siptrans

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handlerFunc is a Handler.
type handlerFunc func(ctx context.Context, tx *ServerTx)

func (f handlerFunc) Serve(ctx context.Context, tx *ServerTx) { f(ctx, tx) }

// ok answers everything with 200.
func ok(_ context.Context, tx *ServerTx) { tx.Respond(sip.NewResponse(tx.Req(), 200, "")) }

// start makes a layer that ends with the test.
func start(t testing.TB, cfg Config) *Layer {
	t.Helper()
	l := New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		l.Close(ctx)
	})
	return l
}

func listen(t testing.TB, l *Layer, network string, conf *tls.Config) string {
	t.Helper()
	a, err := l.Listen(context.Background(), Listener{Network: network, Addr: "127.0.0.1:0", TLS: conf})
	if err != nil {
		t.Fatalf("Listen(%s): %v", network, err)
	}
	return a.String()
}

// cert makes a certificate for the name.
func cert(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serverTLS(t testing.TB) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert(t, "fe.example.test")}}
}

// peer is a client on a plain socket.
type peer struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func dial(t testing.TB, network, addr string) *peer {
	t.Helper()
	var nc net.Conn
	var err error
	if network == "tls" {
		nc, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	} else {
		nc, err = net.Dial(network, addr)
	}
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{t, nc, bufio.NewReaderSize(nc, 64<<10)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, s); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// recv reads the next message.
func (p *peer) recv() *sip.Message {
	p.t.Helper()
	m, err := p.next()
	if err != nil {
		p.t.Fatalf("recv: %v", err)
	}
	return m
}

func (p *peer) next() (*sip.Message, error) {
	if _, udp := p.nc.(*net.UDPConn); udp {
		b := make([]byte, 64<<10)
		n, err := p.nc.Read(b)
		if err != nil {
			return nil, err
		}
		return sip.Parse(b[:n])
	}
	var head strings.Builder
	tp := textproto.NewReader(p.br)
	length := 0
	for {
		line, err := tp.ReadLine()
		if err != nil {
			return nil, err
		}
		if line == "" {
			if head.Len() == 0 {
				continue
			}
			break
		}
		if k, v, _ := strings.Cut(line, ":"); strings.EqualFold(k, "Content-Length") {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		head.WriteString(line + "\r\n")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(p.br, body); err != nil {
		return nil, err
	}
	return sip.Parse([]byte(head.String() + "\r\n" + string(body)))
}

// closed waits for the end of the connection.
func (p *peer) closed() {
	p.t.Helper()
	if _, err := io.Copy(io.Discard, p.br); err != nil && strings.Contains(err.Error(), "timeout") {
		p.t.Fatalf("the connection stays open")
	}
}

// request writes a request; extra are header lines, each with CRLF.
func request(method, from, to, branch string, cseq int, extra, body string) string {
	via := "Via: SIP/2.0/TCP 127.0.0.1"
	if branch != "" {
		via += ";branch=z9hG4bK" + branch
	}
	return fmt.Sprintf("%s sip:%s@example.test SIP/2.0\r\n%s\r\nMax-Forwards: 70\r\nFrom: <sip:%s@example.test>;tag=f1\r\nTo: <sip:%s@example.test>\r\n"+
		"Call-ID: call1\r\nCSeq: %d %s\r\n%sContent-Length: %d\r\n\r\n%s", method, to, via, from, to, cseq, method, extra, len(body), body)
}

// await polls a condition.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
		<-tick.C
	}
}

func insecureClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}
