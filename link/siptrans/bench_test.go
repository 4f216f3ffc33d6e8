package siptrans

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"trivet/wire/sip"
)

// benchRequests has requests of so many users answered over one connection, 50
// at a time.
func benchRequests(b *testing.B, users int) {
	l := start(b, Config{Handler: handlerFunc(trusting)})
	nc, err := net.Dial("tcp", listen(b, l, "tcp", nil))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	const burst = 50
	var all []byte
	for n := range burst {
		all = append(all, request("MESSAGE", fmt.Sprint("user", n%users), "bob", fmt.Sprint(n), n+1, "", "hello")...)
	}
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for n := 0; n < b.N; n += burst {
		nc.Write(all)
		for answers := 0; answers < burst; {
			k, err := nc.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			answers += bytes.Count(buf[:k], []byte("SIP/2.0 200 ")) // one cut in two is counted with the burst's last
			if bytes.HasSuffix(buf[:k], []byte(" 50 MESSAGE\r\nContent-Length: 0\r\n\r\n")) {
				break
			}
		}
	}
}

func BenchmarkRequests(b *testing.B)       { benchRequests(b, 1) }
func BenchmarkRequestsShared(b *testing.B) { benchRequests(b, 25) }

// BenchmarkSend sends notifications to a peer that reads.
func BenchmarkSend(b *testing.B) {
	conns := make(chan *Conn, 1)
	l := start(b, Config{Queue: -1, OutputHold: -1, Handler: handlerFunc(func(_ context.Context, tx *ServerTx) { conns <- tx.Conn() })})
	nc, err := net.Dial("tcp", listen(b, l, "tcp", nil))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, request("MESSAGE", "alice", "bob", "x", 1, "", ""))
	c := <-conns
	go io.Copy(io.Discard, nc)
	m := sip.NewRequest("BENOTIFY", "sip:alice@example.test")
	m.Body = bytes.Repeat([]byte("x"), 1000)
	b.ReportAllocs()
	for b.Loop() {
		for l.Send(c, m) != nil {
			b.Fatal(c.Reason())
		}
	}
}

// BenchmarkGateTick is what the gate costs twenty times a second.
func BenchmarkGateTick(b *testing.B) {
	var g gate
	b.ReportAllocs()
	for b.Loop() {
		g.tick()
	}
}
