package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"

	"trivet/fault"
	"trivet/uc"
)

// Stream sends what r gives, up to io.EOF, to a server's handler of that name and
// waits until the handler has returned, whose failure it returns. It has a
// connection of its own. When r or ctx fails, the receiver sees
// io.ErrUnexpectedEOF or another failure, never the end of a whole stream.
func (n *Net) Stream(ctx context.Context, to uc.ServerFQDN, name string, header []byte, r io.Reader) error {
	const op = "peer.Stream"
	if len(name) == 0 || len(name) > maxName || len(header) > maxHeader {
		return fault.Newf(fault.Limit, op, "a stream has a name of 1 to %d bytes and a header of at most %d", maxName, maxHeader).About(name)
	}
	t, w, err := n.dial(ctx, to, forStream)
	if err != nil {
		return fault.Wrap(op, err)
	}
	defer n.release(w)
	if l := n.link(to); l != nil {
		w.traffic.Store(l.traffic)
	}
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()

	answer := make(chan reply, 1) // the receiver may refuse before the end
	if !n.begin(func() { answer <- n.readAnswer(t) }) {
		return fault.New(fault.Gone, op, "the links are closed")
	}
	s := sender{n: n, t: t}
	s.write(appendHeader(nil, name, header))
	failed := s.copy(r, answer)
	if failed != nil && s.err == nil { // r failed: the connection is well
		w.Close()
		return fault.Wrap(op, failed)
	}
	got := <-answer
	switch {
	case got.err == nil && s.err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Timeout, op, "the stream was given up").About(string(to)).Because(ctx.Err())
	case got.err != nil:
		return fault.Wrap(op, got.err)
	}
	return fault.New(fault.Unavailable, op, "the connection of the stream was lost").About(string(to)).Because(s.err)
}

// readAnswer waits for what the receiver says in the end.
func (n *Net) readAnswer(t *tls.Conn) reply {
	f, err := readFrame(bufio.NewReader(t), n.cfg.MaxFrame)
	if err == nil {
		var body []byte
		if _, body, err = parseID(f.body); err == nil {
			switch f.kind {
			case frameAnswer:
				return reply{out: body}
			case frameFailure:
				return reply{err: decodeFault(body)}
			}
			err = short("answer to a stream")
		}
	}
	return reply{err: fault.New(fault.Unavailable, "peer.Stream", "the stream ended before the receiver said that it has it").Because(err)}
}

// sender writes a stream; after a failure it does nothing more.
type sender struct {
	n   *Net
	t   *tls.Conn
	err error
}

func (s *sender) write(b []byte) {
	if s.err == nil {
		s.err = s.t.SetWriteDeadline(s.n.cfg.Clock.Now().Add(s.n.cfg.Stall))
	}
	if s.err == nil {
		_, s.err = s.t.Write(b)
	}
}

// copy sends r in chunks and the end mark. It stops early when the receiver has
// answered, and returns a failure of r.
func (s *sender) copy(r io.Reader, answer chan reply) error {
	buf := make([]byte, 4+maxChunk)
	for s.err == nil && len(answer) == 0 {
		k, err := io.ReadFull(r, buf[4:])
		if k > 0 {
			binary.BigEndian.PutUint32(buf, uint32(k))
			s.write(buf[:4+k])
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && k > 0:
			s.write(binary.BigEndian.AppendUint32(nil, chunkEnd))
			return nil
		default:
			s.write(binary.BigEndian.AppendUint32(nil, chunkGivenUp))
			return err
		}
	}
	return nil
}

// receive serves a stream of another server and answers it.
func (n *Net) receive(from uc.ServerFQDN, t *tls.Conn, r *bufio.Reader) {
	err := n.admit(from)
	if err == nil {
		err = n.receiveInto(from, t, r)
		n.mu.Lock()
		if n.receiving[from]--; n.receiving[from] == 0 {
			delete(n.receiving, from)
		}
		n.mu.Unlock()
	}
	answer := appendReply(nil, frameAnswer, 0, nil)
	if err != nil {
		answer = appendReply(nil, frameFailure, 0, encodeFault(err))
	}
	if t.SetDeadline(n.cfg.Clock.Now().Add(handshakeTime)) != nil {
		return
	}
	if _, werr := t.Write(answer); werr != nil || t.CloseWrite() != nil {
		return
	}
	io.Copy(io.Discard, r) // until the sender has read the answer and closes
}

func (n *Net) admit(from uc.ServerFQDN) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.receiving[from] >= n.cfg.MaxStreams {
		return fault.Newf(fault.Overload, "peer.receive", "%d streams of this server are being received already", n.cfg.MaxStreams)
	}
	n.receiving[from]++
	return nil
}

func (n *Net) receiveInto(from uc.ServerFQDN, t *tls.Conn, r *bufio.Reader) (err error) {
	in := &receiver{n: n, t: t, r: r}
	in.patience()
	name, header, err := readHeader(r)
	if err != nil {
		return err
	}
	h, ok := n.streams.Load(name)
	if !ok {
		return fault.New(fault.Unsupported, "peer.receive", "the server does not know this stream; it may run an older release").About(name)
	}
	defer n.rescue(name, &err)
	ctx, cancel := context.WithCancel(n.ctx)
	defer cancel()
	return h.(StreamHandler)(ctx, from, header, in)
}

// receiver reads the chunks of a stream.
type receiver struct {
	n    *Net
	t    *tls.Conn
	r    *bufio.Reader
	left int // of the chunk
	err  error
}

func (s *receiver) patience() { s.err = s.t.SetReadDeadline(s.n.cfg.Clock.Now().Add(s.n.cfg.Stall)) }

// Read implements io.Reader.
func (s *receiver) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, s.err
	}
	if s.left == 0 && s.err == nil {
		if s.patience(); s.err == nil {
			s.left, s.err = readChunk(s.r)
		}
	}
	if s.err != nil {
		return 0, s.err
	}
	k, err := s.r.Read(b[:min(len(b), s.left)])
	if s.left -= k; err != nil {
		if s.err = err; errors.Is(err, io.EOF) {
			s.err = io.ErrUnexpectedEOF
		}
	}
	return k, s.err
}

// readChunk reads the length of the next chunk; io.EOF is the end mark.
func readChunk(r *bufio.Reader) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	switch n := binary.BigEndian.Uint32(head[:]); {
	case n == chunkEnd:
		return 0, io.EOF
	case n == chunkGivenUp:
		return 0, fault.New(fault.Unavailable, "peer.receive", "the sender gave the stream up").Because(io.ErrUnexpectedEOF)
	case n > maxChunk:
		return 0, fault.Newf(fault.Invalid, "peer.receive", "a chunk has %d bytes; %d are allowed", n, maxChunk)
	default:
		return int(n), nil
	}
}
