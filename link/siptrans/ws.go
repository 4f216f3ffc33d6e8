package siptrans

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"

	"trivet/wire/sip"
)

// WebSocket opcodes, RFC 6455 5.2.
const (
	wsContinue = 0
	wsText     = 1
	wsBinary   = 2
	wsClose    = 8
	wsPing     = 9
	wsPong     = 10
)

// wsReader is what is left over between frames: the pieces of a message.
type wsReader struct {
	message []byte
	open    bool // a fragmented message has begun
}

var (
	errUpgrade  = errors.New("siptrans: not a WebSocket upgrade for the sip sub-protocol")
	errWSFrame  = errors.New("a WebSocket frame breaks the protocol")
	errWSClosed = errors.New("the peer closed the WebSocket")
)

// stream is where the handshake reads and writes, waiting.
func (c *Conn) stream() io.ReadWriter {
	if c.tls != nil {
		return c.tls
	}
	return c.sock
}

// upgrade answers the opening handshake, RFC 6455 4.2 and RFC 7118 4. What the
// client sent behind it stays in reader.part.
func (c *Conn) upgrade() error {
	s := c.stream()
	br := bufio.NewReaderSize(io.LimitReader(s, 16<<10), 4<<10)
	req, err := http.ReadRequest(br)
	if err != nil {
		return err
	}
	key := req.Header.Get("Sec-WebSocket-Key")
	if req.Method != "GET" || !listed(req.Header, "Upgrade", "websocket") || !listed(req.Header, "Connection", "upgrade") ||
		req.Header.Get("Sec-WebSocket-Version") != "13" || key == "" || !listed(req.Header, "Sec-WebSocket-Protocol", "sip") {
		io.WriteString(s, "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return errUpgrade
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = io.WriteString(s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\nSec-WebSocket-Protocol: sip\r\n\r\n")
	if n := br.Buffered(); err == nil && n > 0 {
		p, _ := br.Peek(n)
		c.reader.part = append([]byte(nil), p...)
	}
	c.ws = true
	return err
}

// listed reports whether a header has the token in its comma separated lists.
func listed(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// appendFrameHead writes the head of an unmasked final frame.
func appendFrameHead(b []byte, opcode byte, n int) []byte {
	b = append(b, 0x80|opcode)
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
}

// appendFrame writes m as one frame.
func appendFrame(b []byte, m *sip.Message) []byte {
	p := borrowOutput()
	defer returnOutput(p)
	*p = m.Append(*p)
	return append(appendFrameHead(b, wsText, len(*p)), *p...)
}

// feedFrames takes bytes of a WebSocket stream.
func (c *Conn) feedFrames(b *Batch, data []byte) bool {
	r := &c.reader
	whole := data
	if len(r.part) > 0 {
		r.part = append(r.part, data...)
		whole = r.part
	}
	rest := whole
	for {
		f, n, err := cutFrame(rest, c.layer.cfg.Limits.Head+c.layer.cfg.Limits.Body)
		if err == nil && n == 0 {
			r.keep(whole, rest)
			return true
		}
		if err == nil {
			err = c.frame(b, f)
		}
		if err != nil {
			r.err = err
			return false
		}
		rest = rest[n:]
		r.ended = r.ended || !r.frames.open // a piece, or a ping between two, ends no message
	}
}

type wsFrame struct {
	opcode  byte
	final   bool
	payload []byte // unmasked in place
}

// cutFrame reads one client frame; n is 0 when more bytes are needed.
func cutFrame(b []byte, limit int) (f wsFrame, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	f.opcode, f.final = b[0]&15, b[0]&0x80 != 0
	size, at := uint64(b[1]&0x7f), 2
	switch size {
	case 126:
		if len(b) < 4 {
			return f, 0, nil
		}
		size, at = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return f, 0, nil
		}
		size, at = binary.BigEndian.Uint64(b[2:]), 10
	}
	if b[0]&0x70 != 0 || b[1]&0x80 == 0 || size > uint64(limit) || f.opcode >= wsClose && (size > 125 || !f.final) {
		return f, 0, errWSFrame
	}
	n = at + 4 + int(size)
	if len(b) < n {
		return f, 0, nil
	}
	mask := b[at : at+4]
	f.payload = b[at+4 : n]
	for i := range f.payload {
		f.payload[i] ^= mask[i&3]
	}
	return f, n, nil
}

// frame handles one frame.
func (c *Conn) frame(b *Batch, f wsFrame) error {
	w := &c.reader.frames
	switch f.opcode {
	case wsText, wsBinary:
		if w.open {
			return errWSFrame
		}
		if f.final {
			return c.wsMessage(b, f.payload)
		}
		w.open, w.message = true, append([]byte(nil), f.payload...)
		return nil
	case wsContinue:
		if !w.open || len(w.message)+len(f.payload) > c.layer.cfg.Limits.Head+c.layer.cfg.Limits.Body {
			return errWSFrame
		}
		w.message = append(w.message, f.payload...)
		if !f.final {
			return nil
		}
		m := w.message
		*w = wsReader{}
		return c.wsMessage(b, m)
	case wsPing, wsClose:
		c.control(b, f)
		if f.opcode == wsClose {
			b.flush()
			return errWSClosed
		}
		return nil
	case wsPong:
		return nil
	}
	return errWSFrame
}

// control answers a ping or a close with the same payload.
func (c *Conn) control(b *Batch, f wsFrame) {
	opcode := byte(wsPong)
	if f.opcode == wsClose {
		opcode = wsClose
	}
	c.omu.Lock()
	if c.dead.Load() {
		c.omu.Unlock()
		return
	}
	p := c.output()
	*p = append(appendFrameHead(*p, opcode, len(f.payload)), f.payload...)
	c.settle(b)
}

// wsMessage handles the SIP message of one WebSocket message, RFC 7118 5.
func (c *Conn) wsMessage(b *Batch, raw []byte) error {
	if len(raw) <= 4 { // RFC 7118 6 allows CRLF keep-alives beside pings
		c.resend(b, crlf)
		return nil
	}
	c.message(b, raw)
	return nil
}
