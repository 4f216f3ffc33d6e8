// Package peer is the link between the servers of a pool: datagrams, calls and
// streams over mutual TLS 1.3. It knows neither what a datagram means nor who
// leads; whoever registers a kind or a name gives it a meaning.
//
// # Connections
//
// Every server dials every other one: the connection from A to B carries the
// datagrams and the calls of A, and back the answers of B. So "A is connected to
// B" says that what A sends arrives and that answers come back, and both servers
// can know different things without a rule about who dials. A stream has a
// connection of its own, which ends with it, and does not delay frames.
//
// # Protocol
//
// TLS 1.3 with ALPN "trivet-peer/1"; another version is another name. Both sides
// show a certificate that the pool's authority issued for servers and that has
// the server's FQDN among its DNS names (no wildcards). Nothing is read of a peer
// before that is verified. Numbers are big-endian.
//
// The dialer begins with the opening:
//
//	"TRVP"  purpose (1)  from length (1) from  to length (1) to
//
// purpose is 1 for frames and 2 for a stream; from is the dialer, one of the
// names of its certificate, and to whom it means to reach.
//
// Frames follow, in both directions:
//
//	length (4)  type (1)  body (length-1)
//
//	type  direction  body
//	1     both       beat: stamp (8), of the sender's clock; 0 asks for no echo
//	2     back       echo: stamp (8) of the beat
//	3     forth      post: kind (1), payload
//	4     forth      call: id (8), patience in milliseconds (4; 0 none), name length (1), name, argument
//	5     forth      cancel: id (8)
//	6     back       answer: id (8), result
//	7     back       failure: id (8), a fault as JSON
//
// length is at most MaxFrame. Each side sends a beat every Beat, and ends a
// connection on which it has heard nothing for Quiet.
//
// A stream: name length (1), name, header length (4), header, then chunks of
// length (4) and data, at most 64 KiB each. Length 0 is the end mark, length
// 0xFFFFFFFF says that the sender gave up. The receiver answers with one frame of
// type 6 or 7 and id 0. A stream that makes no progress for Stall ends.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/uc"
)

// Config makes a Net. Zero limits mean the defaults that stand beside them.
type Config struct {
	Self uc.ServerFQDN
	// Servers are the servers of the pool, this one included, and where each is
	// dialled, host:port. It is asked often and from several goroutines; a server
	// that is no longer in it loses its links within a beat.
	Servers func() map[uc.ServerFQDN]string
	// Certificate is this server's, as client and as server.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Roots       *x509.CertPool // the pool's authority, nothing else
	Clock       clock.Clock
	Log         *slog.Logger
	Life        *life.Group // if given, closes the Net when it stops

	Beat       time.Duration // between heartbeats: 500 ms
	Quiet      time.Duration // without a word, then the link is down: 2 s
	Stall      time.Duration // without progress, then a stream ends: 30 s
	MaxFrame   int           // bytes of a frame: 16 MiB
	MaxQueue   int           // bytes that wait for one server: 32 MiB
	MaxCalls   int           // calls under way to one server: 4096
	MaxServing int           // calls of one server being served: 1024
	MaxStreams int           // streams of one server being received: 16
}

const (
	protocol      = "trivet-peer/1"
	minBackoff    = 50 * time.Millisecond
	maxBackoff    = time.Second
	handshakeTime = 5 * time.Second
	maxHandshakes = 64 // connections that are not authenticated yet
)

func (c *Config) defaults() {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	setInt := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	set(&c.Beat, 500*time.Millisecond)
	set(&c.Quiet, 2*time.Second)
	set(&c.Stall, 30*time.Second)
	setInt(&c.MaxFrame, 16<<20)
	setInt(&c.MaxQueue, 32<<20)
	setInt(&c.MaxCalls, 4096)
	setInt(&c.MaxServing, 1024)
	setInt(&c.MaxStreams, 16)
}

// Handler takes a datagram. It runs on the goroutine that reads the sender's
// connection, in the order of sending; what it does not do quickly holds up the
// sender. payload belongs to the handler.
type Handler func(from uc.ServerFQDN, payload []byte)

// CallHandler answers a call. in belongs to the handler. ctx ends when the caller
// gives up, is gone, or the Net is closed.
type CallHandler func(ctx context.Context, from uc.ServerFQDN, in []byte) ([]byte, error)

// StreamHandler takes a stream. r gives io.EOF at the sender's end mark and
// nowhere else, so a stream without it is never taken for a whole one.
type StreamHandler func(ctx context.Context, from uc.ServerFQDN, header []byte, r io.Reader) error

// Net is the links of one server. All methods may be called from any goroutine.
type Net struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	posts      [256]atomic.Pointer[Handler]
	calls      sync.Map // name → CallHandler
	streams    sync.Map // name → StreamHandler
	handshakes chan struct{}

	mu        sync.Mutex // guards the fields below
	links     map[uc.ServerFQDN]*link
	inbound   map[uc.ServerFQDN]*inbound
	receiving map[uc.ServerFQDN]int // streams
	open      map[net.Conn]struct{} // everything that Close has to close
	listening bool
	closed    bool
	changed   chan struct{}
}

// New makes a Net that neither listens nor dials before Listen.
func New(cfg Config) *Net {
	cfg.defaults()
	ctx, cancel := context.WithCancel(context.Background())
	n := &Net{
		cfg: cfg, ctx: ctx, cancel: cancel, handshakes: make(chan struct{}, maxHandshakes),
		links: map[uc.ServerFQDN]*link{}, inbound: map[uc.ServerFQDN]*inbound{}, receiving: map[uc.ServerFQDN]int{},
		open: map[net.Conn]struct{}{}, changed: make(chan struct{}),
	}
	if cfg.Life != nil {
		cfg.Life.Add("links to other servers", 5*time.Second, n.Close)
	}
	return n
}

// Handle registers who takes datagrams of a kind; those of others are dropped.
func (n *Net) Handle(kind byte, h Handler) { n.posts[kind].Store(&h) }

// Serve registers who answers calls of a name; others are answered
// fault.Unsupported.
func (n *Net) Serve(name string, h CallHandler) { n.calls.Store(name, h) }

// ServeStream registers who takes streams of a name.
func (n *Net) ServeStream(name string, h StreamHandler) { n.streams.Store(name, h) }

// Listen accepts the other servers on addr and begins to dial them, until ctx
// ends or Close. It returns the address, whose port is chosen if addr has 0.
func (n *Net) Listen(ctx context.Context, addr string) (net.Addr, error) {
	const op = "peer.Listen"
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fault.New(fault.Unavailable, op, "the address for the other servers of the pool cannot be listened on").About(addr).Because(err)
	}
	n.mu.Lock()
	if n.closed || n.listening {
		n.mu.Unlock()
		l.Close()
		return nil, fault.New(fault.Internal, op, "the links were closed, or listen already").About(addr)
	}
	n.listening = true
	n.wg.Add(2)
	n.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { n.Close(context.Background()) })
	context.AfterFunc(n.ctx, func() { stop(); l.Close() })
	go n.accept(l)
	go n.keep()
	return l.Addr(), nil
}

// Close ends every connection and waits, no longer than ctx, for the handlers.
func (n *Net) Close(ctx context.Context) error {
	n.mu.Lock()
	n.closed = true
	n.cancel()
	for c := range n.open {
		c.Close()
	}
	n.mu.Unlock()
	done := make(chan struct{})
	go func() { n.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "peer.Close", "a handler of a link to another server does not end").Because(ctx.Err())
	}
}

// begin starts f in a goroutine that Close waits for. After Close it does nothing
// and reports false.
func (n *Net) begin(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.wg.Go(f)
	return true
}

// hold makes Close close c; it reports false, and closes it, when that has been.
func (n *Net) hold(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		c.Close()
		return false
	}
	n.open[c] = struct{}{}
	return true
}

func (n *Net) release(c net.Conn) {
	c.Close()
	n.mu.Lock()
	delete(n.open, c)
	n.mu.Unlock()
}

// keep has a link to every other server of the pool, and ends those to and from
// servers that are of the pool no longer.
func (n *Net) keep() {
	defer n.wg.Done()
	t := n.cfg.Clock.NewTicker(n.cfg.Beat)
	defer t.Stop()
	for {
		n.reconcile(n.cfg.Servers())
		n.beatAll()
		select {
		case <-n.ctx.Done():
			return
		case <-t.C():
		}
	}
}

func (n *Net) reconcile(servers map[uc.ServerFQDN]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for name := range servers {
		if name != n.cfg.Self && n.links[name] == nil {
			l := newLink(n, name)
			n.links[name] = l
			n.wg.Go(l.run)
		}
	}
	for name, l := range n.links {
		if _, ok := servers[name]; !ok {
			l.cancel()
			delete(n.links, name)
			n.changes()
		}
	}
	for name, in := range n.inbound {
		if _, ok := servers[name]; !ok {
			in.conn.end(errors.New("the server is of the pool no longer"))
		}
	}
}

func (n *Net) link(to uc.ServerFQDN) *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[to]
}

// changes wakes whoever waits on Changed. n.mu is held.
func (n *Net) changes() {
	close(n.changed)
	n.changed = make(chan struct{})
}
