package siptrans

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// trusting answers everything with 200 and trusts everybody.
func trusting(ctx context.Context, tx *ServerTx) {
	tx.Conn().Trust()
	ok(ctx, tx)
}

// maskedFrame is a frame of a client whose mask changes nothing.
func maskedFrame(first byte, payload string) string {
	b := []byte{first, 0x80 | 126}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	return string(append(b, 0, 0, 0, 0)) + payload
}

// upgraded dials a WebSocket whose frames the test writes itself.
func upgraded(t *testing.T, addr string) *peer {
	t.Helper()
	p := dial(t, "tcp", addr)
	p.send("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n")
	if res, err := http.ReadResponse(p.br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("upgrade: %v", err)
	}
	return p
}

// recvFrame reads one frame of the server.
func (p *peer) recvFrame() {
	p.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(p.br, head[:2]); err != nil {
		p.t.Fatalf("recv: %v", err)
	}
	size := int64(head[1])
	if size == 126 {
		io.ReadFull(p.br, head[2:])
		size = int64(binary.BigEndian.Uint16(head[2:]))
	}
	if _, err := io.CopyN(io.Discard, p.br, size); err != nil {
		p.t.Fatalf("recv: %v", err)
	}
}

// TestBusyStreamStays: each write ends inside a message, so no read ends at the
// end of one. The connection stays as long as messages end, and goes when the
// rest of one does not come.
func TestBusyStreamStays(t *testing.T) {
	const first = 300 * time.Millisecond
	message := request("MESSAGE", "alice", "bob", "x", 1, "", "hello")
	part := message[:len(message)/2]
	for _, c := range []struct {
		name, network string
		whole         string
		cut           int
	}{
		{"tcp", "tcp", message, 50},
		{"tls", "tls", message, 50},
		{"ws inside a frame", "ws", maskedFrame(0x81, message), 50},
		{"ws between two frames", "ws", maskedFrame(0x01, part) + maskedFrame(0x80, message[len(part):]), len(maskedFrame(0x01, part))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := start(t, Config{First: first, Handler: handlerFunc(trusting)})
			addr := listen(t, l, c.network, serverTLS(t))
			var p *peer
			answer := func() { p.recv() }
			if c.network == "ws" {
				p, answer = upgraded(t, addr), func() { p.recvFrame() }
			} else {
				p = dial(t, c.network, addr)
			}
			p.send(c.whole[:c.cut])
			for begun := time.Now(); time.Since(begun) < 3*first; {
				p.send(c.whole[c.cut:] + c.whole[:c.cut])
				answer()
			}
			p.closed()
			if n := l.Stats().Rejected; n != 1 {
				t.Errorf("%d connections were refused, want the one that left a message unfinished", n)
			}
		})
	}
}

// inDialog is a request with a To tag that anyone could have made up.
func inDialog(method, from string, n int) string {
	return strings.Replace(request(method, from, "bob", fmt.Sprint(from, n), n, "", ""), "To: <sip:bob@example.test>", "To: <sip:bob@example.test>;tag=t", 1)
}

// holding makes a layer in which alice's requests wait for let.
func holding(t *testing.T) (l *Layer, let func()) {
	release := make(chan struct{})
	l = start(t, Config{Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
		if strings.Contains(tx.Req().Get("From"), "alice") {
			<-release
		}
		ok(ctx, tx)
	})})
	let = sync.OnceFunc(func() { close(release) })
	t.Cleanup(let) // before the layer ends
	return l, let
}

const room = laneLimit + 1 // one is handled

func TestLaneOfDatagramsIsBounded(t *testing.T) {
	l, _ := holding(t)
	u := dial(t, "udp", listen(t, l, "udp", nil))
	for n := 1; n <= room; n++ {
		u.send(inDialog("INFO", "alice", n))
		await(t, "the request waits", func() bool { return l.Stats().InWork == int64(n) })
	}
	for n := room + 1; n <= room+100; n++ {
		u.send(inDialog("ACK", "alice", -n)) // dropped
		u.send(inDialog("INFO", "alice", n))
		if res := u.recv(); res.Status != 503 {
			t.Fatalf("request %d: got %d", n, res.Status)
		}
	}
	u.send(inDialog("INFO", "carol", 1)) // has a lane of her own
	if res := u.recv(); res.Status != 200 {
		t.Errorf("got %d", res.Status)
	}
	await(t, "hers is done", func() bool { return l.Stats().InWork == room })
	if n := l.Stats().Open; n != room {
		t.Errorf("%d requests are open, want %d", n, room)
	}
}

func TestLaneOfStreamIsBounded(t *testing.T) {
	l, let := holding(t)
	p := dial(t, "tcp", listen(t, l, "tcp", nil))
	p.send(inDialog("INFO", "carol", 1))
	p.recv()
	all := ""
	for n := 1; n <= 4*laneLimit; n++ {
		all += inDialog("INFO", "alice", n)
	}
	p.send(all + inDialog("INFO", "carol", 2)) // not read until there is room
	await(t, "the lane is full", func() bool { return l.Stats().InWork >= room+1 })
	p.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := p.br.Peek(1); err == nil {
		t.Errorf("the stream is read on: %q", b)
	}
	if n := l.Stats().InWork; n != room+1 { // and the reader holds one
		t.Errorf("%d requests are in work, want %d", n, room+1)
	}
	p.nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	let()
	for n := 1; n <= 4*laneLimit; n++ {
		m := p.recv()
		if strings.Contains(m.Get("From"), "carol") {
			m = p.recv()
		}
		if got, _, _ := m.CSeq(); m.Status != 200 || got != uint32(n) {
			t.Fatalf("got %d to %d, want 200 to %d", m.Status, got, n)
		}
	}
}

func TestCeilingOfRequestsWithinDialogs(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			release := make(chan struct{})
			l := start(t, Config{InWork: 3, Handler: handlerFunc(func(ctx context.Context, tx *ServerTx) {
				if tx.Conn().Trust(); tx.Req().Method != "OPTIONS" {
					<-release
				}
				ok(ctx, tx)
			})})
			let := sync.OnceFunc(func() { close(release) })
			t.Cleanup(let)
			addr := listen(t, l, network, nil)
			known := func(who string) *peer {
				p := dial(t, network, addr)
				p.send(request("OPTIONS", who, "bob", "o"+who, 1, "", ""))
				p.recv()
				await(t, "it is done", func() bool { return l.Stats().InWork == 0 })
				return p
			}
			var peers []*peer
			for n := 1; n <= 7; n++ {
				peers = append(peers, known(fmt.Sprint("user", n)))
			}
			for n, p := range peers[:6] {
				n++
				p.send(inDialog("INFO", fmt.Sprint("user", n), n))
				await(t, "the request comes in", func() bool { return l.Stats().InWork == int64(n) })
			}
			p := peers[6]
			p.send(inDialog("ACK", "eve", 1))
			p.send(inDialog("INFO", "eve", 2))
			if res := p.recv(); res.Status != 503 || res.Get("Retry-After") == "" || l.Stats().InWork != 6 {
				t.Errorf("got %s with %d in work", res, l.Stats().InWork)
			}
			let()
			for _, p := range slices.Backward(peers[:6]) {
				if res := p.recv(); res.Status != 200 {
					t.Errorf("got %d", res.Status)
				}
			}
		})
	}
}
