package sip

import (
	"bytes"
)

// Frame measures the first message in the bytes of a stream, RFC 3261 18.3.
// skip is the number of CR and LF before it (keep-alives, RFC 5626 4.4.1), size
// the length of the message behind them, 0 when more bytes are needed. An error
// means that framing is lost and the connection must be closed.
func Frame(b []byte, lim Limits) (skip, size int, err error) {
	for skip < len(b) && (b[skip] == '\r' || b[skip] == '\n') {
		skip++
	}
	b = b[skip:]
	head, body := splitHead(b)
	if head > lim.Head {
		return skip, 0, bad("Frame", "the headers are longer than %d bytes", lim.Head)
	}
	if body < 0 {
		return skip, 0, nil
	}
	n, err := frameLength(b[:head])
	if err != nil {
		return skip, 0, err
	}
	if n > lim.Body {
		return skip, 0, bad("Frame", "the body is longer than %d bytes", lim.Body)
	}
	if body+n > len(b) {
		return skip, 0, nil
	}
	return skip, body + n, nil
}

var (
	longLength    = []byte("content-length")
	compactLength = []byte("l")
)

// frameLength finds Content-Length; a message without one has no body on a
// stream. Two that differ, or a bad one, lose the framing.
func frameLength(head []byte) (int, error) {
	length, seen := 0, false
	for len(head) > 0 {
		var line []byte
		if i := bytes.IndexByte(head, '\n'); i >= 0 {
			line, head = head[:i], head[i+1:]
		} else {
			line, head = head, nil
		}
		if c := line; len(c) == 0 || c[0]|0x20 != 'c' && c[0]|0x20 != 'l' {
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name := bytes.TrimRight(line[:colon], " \t")
		if !bytes.EqualFold(name, longLength) && !bytes.EqualFold(name, compactLength) {
			continue
		}
		n, ok := number(string(bytes.TrimSpace(line[colon+1:])), 1<<31-1)
		if !ok || seen && n != length {
			return 0, bad("Frame", "Content-Length is not one number of bytes")
		}
		length, seen = n, true
	}
	return length, nil
}
