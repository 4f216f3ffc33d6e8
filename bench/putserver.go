package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// putServer takes Put over HTTP/2 (RFC 9113) without TLS, as gRPC frames it. It does
// what grpc-go does on etcd's side: one goroutine reads a connection, one writes
// whatever answers have gathered, and each request has a goroutine between them. With
// net/http, where each frame of an answer goes from one goroutine to another and back,
// taking requests and answering was 35 % of our servers' processor time; of etcd's it
// is 20 %.
type putServer struct {
	put func(ctx context.Context, body []byte) (answer []byte, err error) // both framed
}

// window is how much a client may send ahead, in bytes: on a connection, of all requests.
const window = 1 << 30

// serve accepts connections until ln is closed.
func (s putServer) serve(ctx context.Context, ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			ctx, end := context.WithCancel(ctx)
			defer end()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			defer c.Close()
			_ = s.converse(ctx, c) // whoever is gone needs no answer
		}()
	}
}

// converse reads a connection to its end.
func (s putServer) converse(ctx context.Context, c net.Conn) error {
	in := bufio.NewReaderSize(c, 64<<10)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(in, preface); err != nil || string(preface) != http2.ClientPreface {
		return errors.Join(errPut, err)
	}
	out := newAnswers()
	go func() {
		_ = out.run(ctx, c) // the reader sees the end of the connection too
		c.Close()
	}()
	if err := out.open(); err != nil {
		return err
	}
	frames := http2.NewFramer(nil, in)
	frames.SetReuseFrames()
	frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	r := requests{s, out, map[uint32][]byte{}, 0}
	for {
		f, err := frames.ReadFrame()
		if err == nil {
			err = r.take(ctx, f)
		}
		if err != nil {
			return err
		}
	}
}

// requests are those of one connection that have not come as a whole yet.
type requests struct {
	putServer
	out    *answers
	bodies map[uint32][]byte
	taken  uint32 // bytes for which the client has not been given new room
}

// take handles a frame of the client. Its own window is not kept account of: answers
// are small, and Go's client gives room for 1 GiB and renews it.
func (r *requests) take(ctx context.Context, f http2.Frame) error {
	id := f.Header().StreamID
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return r.out.write(func(w *http2.Framer) error { return w.WriteSettingsAck() })
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			data := f.Data
			return r.out.write(func(w *http2.Framer) error { return w.WritePing(true, data) })
		}
	case *http2.MetaHeadersFrame:
		if f.PseudoValue("path") != putPath || f.StreamEnded() {
			return errPut
		}
		r.bodies[id] = make([]byte, 0, 2*writtenBytes)
	case *http2.DataFrame:
		return r.data(ctx, id, f)
	case *http2.RSTStreamFrame:
		delete(r.bodies, id)
	case *http2.GoAwayFrame:
		return io.EOF
	}
	return nil
}

func (r *requests) data(ctx context.Context, id uint32, f *http2.DataFrame) error {
	if r.taken += f.Header().Length; r.taken > window/2 {
		n := r.taken
		r.taken = 0
		if err := r.out.write(func(w *http2.Framer) error { return w.WriteWindowUpdate(0, n) }); err != nil {
			return err
		}
	}
	body, ok := r.bodies[id]
	if !ok {
		return nil // it was taken back
	}
	if len(body)+len(f.Data()) > maxPut {
		return errPut
	}
	body = append(body, f.Data()...)
	if !f.StreamEnded() {
		r.bodies[id] = body
		return nil
	}
	delete(r.bodies, id)
	go func() {
		answer, err := r.put(ctx, body)
		_ = r.out.answer(id, answer, err) // to a connection that is gone
	}()
	return nil
}

// answers gathers frames for the client; run writes them.
type answers struct {
	wake chan struct{}

	mu      sync.Mutex // guards the fields below
	pending bytes.Buffer
	frames  *http2.Framer // into pending
	block   bytes.Buffer
	head    *hpack.Encoder // into block
}

func newAnswers() *answers {
	a := &answers{wake: make(chan struct{}, 1)}
	a.frames, a.head = http2.NewFramer(&a.pending, nil), hpack.NewEncoder(&a.block)
	return a
}

// run writes all that has gathered at once, until ctx ends.
func (a *answers) run(ctx context.Context, w io.Writer) error {
	var out bytes.Buffer
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		}
		a.mu.Lock()
		out, a.pending = a.pending, out
		a.mu.Unlock()
		if _, err := w.Write(out.Bytes()); err != nil {
			return err
		}
		out.Reset()
	}
}

func (a *answers) write(f func(*http2.Framer) error) error {
	a.mu.Lock()
	err := f(a.frames)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return err
}

// open is what the server says first.
func (a *answers) open() error {
	return a.write(func(w *http2.Framer) error {
		return errors.Join(w.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000}), w.WriteWindowUpdate(0, window))
	})
}

// answer is headers, the message and trailers, as grpc-go sends them.
func (a *answers) answer(id uint32, message []byte, failed error) error {
	status := []string{"grpc-status", "0"}
	if failed != nil {
		status = []string{"grpc-status", "14", "grpc-message", failed.Error()} // UNAVAILABLE
	}
	return a.write(func(w *http2.Framer) error {
		return errors.Join(
			a.headers(id, false, ":status", "200", "content-type", "application/grpc"),
			w.WriteData(id, false, message),
			a.headers(id, true, status...))
	})
}

func (a *answers) headers(id uint32, last bool, pairs ...string) error {
	a.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		if err := a.head.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
			return err
		}
	}
	return a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.block.Bytes(), EndHeaders: true, EndStream: last})
}
