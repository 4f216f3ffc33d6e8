// Package siptrans is the transport and transaction layer of SIP: UDP, TCP, TLS
// (RFC 3261 18), WebSocket (RFC 7118) and the transactions of RFC 3261 17 stepped
// by rule/siptxn.
//
// Every stream connection, and every remote address of a UDP socket, is a Conn
// with an id that is never used twice in a process. Transactions belong to their
// connection, because Lync clients send requests without a branch and two clients
// may use the same Call-ID, tags and branches.
//
// Order: one goroutine reads a connection and handles its messages in the order in
// which they came; Handler.Serve runs on it. Once a stream has carried a second
// From user, and on UDP always, requests go to queues of their own per (connection,
// From URI), still in order. A queue holds 64; the reader of a stream waits a
// moment for room, then what does not fit is answered 503, as it is over UDP at
// once. Responses are handled by the reader, so callbacks never block.
//
// Overload: who has signed in (Conn.Trust) goes before who has not. Requests of
// strangers have a budget of their own, and while the processors are busy the first
// request of each waits its turn in order of arrival. Requests within dialogs go
// before messages and calls, those before everything else. Each 503 says when to
// come back, differently to each.
//
// Output: whoever sends writes to the socket itself, without waiting. What does
// not fit is queued and drained by a goroutine that lives as long as there is a
// queue; notifications wait behind everything else then. A connection whose queue
// passes its limit is closed with a reason, so a slow reader never blocks another
// and is never buffered without bound. What the
// messages of one read cause is written once per connection at the end of the
// read; see ServerTx.Uncork.
//
// Idle cost: a connection at rest owns its reader's stack and no buffer.
package siptrans

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"trivet/rule/siptxn"
	"trivet/wire/sip"
)

// Handler receives the requests.
type Handler interface {
	// Serve handles a request, or an ACK that belongs to a 2xx. It answers with
	// tx.Respond, at once or later from any goroutine. While it runs, output is
	// held back: call tx.Uncork before anything that may wait.
	Serve(ctx context.Context, tx *ServerTx)
}

// Config sets a Layer up. Zero values mean the defaults given here; a negative
// number switches the limit off.
type Config struct {
	Handler Handler
	Log     *slog.Logger // nil: no log
	SentBy  string       // host in the Vias we add; "" is the local address of the socket

	Limits        sip.Limits    // 64 KiB headers, 1 MiB body, 300 header lines
	Timers        siptxn.Timers // of RFC 3261
	MessageAnswer time.Duration // 60 s: how long a MESSAGE may wait for its answer; Lync clients are slow
	Queue         int           // 1 MiB: output a connection may owe before it is closed
	Stall         time.Duration // 30 s: how long a peer may take no byte while output is queued
	Handshake     time.Duration // 10 s: for the TLS handshake, and again for the WebSocket upgrade
	First         time.Duration // 32 s: from accepting a connection to Conn.Trust, afterwards for the rest of each message begun
	Budget        int           // 256 KiB: bytes a connection may send before Conn.Trust, a quarter of it in one body

	Connections int        // 0 is no limit: stream connections accepted and open, all listeners together
	PerSource   int        // 0 is no limit: those of one address without Conn.Trust
	AcceptRate  rate.Limit // 0 is no limit: connections accepted per second, all listeners together
	AcceptBurst int        // 100
	UDPPeers    int        // 65536: remote addresses remembered per UDP socket

	// Requests in handlers or waiting for one, before new ones are answered 503:
	// messages and calls at half as many more, requests within dialogs at twice as many.
	InWork       int           // 20000
	StrangerWork int           // 2000: those that came without Conn.Trust, a quarter of them from one address
	StrangerHold int           // 128 MiB: what half-received messages of strangers may take, a quarter of it those of one address
	OutputHold   int           // 256 MiB: output of all connections that waits; beyond it those that owe much are closed
	Lag          time.Duration // 1 s: waiting time for a processor before new requests are refused
	RetryAfter   time.Duration // 10 s: middle of the Retry-After of refusals, jittered by half
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (c *Config) defaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.Limits.Head, sip.DefaultLimits.Head)
	orDefault(&c.Limits.Body, sip.DefaultLimits.Body)
	orDefault(&c.Limits.Headers, sip.DefaultLimits.Headers)
	if c.Timers.T1 == 0 {
		c.Timers = siptxn.Standard()
	}
	orDefault(&c.MessageAnswer, 60*time.Second)
	orDefault(&c.Queue, 1<<20)
	orDefault(&c.Stall, 30*time.Second)
	orDefault(&c.Handshake, 10*time.Second)
	orDefault(&c.First, 32*time.Second)
	orDefault(&c.Budget, 256<<10)
	orDefault(&c.AcceptBurst, 100)
	orDefault(&c.UDPPeers, 65536)
	orDefault(&c.InWork, 20000)
	orDefault(&c.StrangerWork, 2000)
	orDefault(&c.StrangerHold, 128<<20)
	orDefault(&c.OutputHold, 256<<20)
	orDefault(&c.Lag, time.Second)
	orDefault(&c.RetryAfter, 10*time.Second)
}

// Layer owns listeners, connections and transactions. Its methods may be called
// from any goroutine.
type Layer struct {
	cfg      Config
	timers   siptxn.Timers // Config.Timers
	patience siptxn.Timers // the same with F = MessageAnswer
	ctx      context.Context
	cancel   context.CancelFunc
	epoch    time.Time
	wheels   [wheelShards]wheel
	conns    connTable
	sources  sourceTable
	accepts  *rate.Limiter
	lanes    lanes
	seeds    seeds
	stats    counters
	gate     gate
	owed     atomic.Int64 // bytes of output that wait, all connections
	lastConn atomic.Uint64
	lastTx   atomic.Uint32
	closing  atomic.Bool
	tasks    sync.WaitGroup // every goroutine of the layer

	mu        sync.Mutex // guards the fields below
	listeners []closer
	sockets   []*udpSocket
}

type closer interface{ Close() error }

// New starts a layer; Close ends it.
func New(cfg Config) *Layer {
	cfg.defaults()
	l := &Layer{cfg: cfg, timers: cfg.Timers, patience: cfg.Timers, epoch: time.Now()}
	l.patience.F = max(cfg.MessageAnswer, cfg.Timers.F)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.conns.init()
	l.lanes.init()
	l.seeds = newSeeds()
	if cfg.AcceptRate > 0 {
		l.accepts = rate.NewLimiter(cfg.AcceptRate, cfg.AcceptBurst)
	}
	l.startWheels()
	return l
}

// now is the instant that transaction machines see.
func (l *Layer) now() time.Duration { return time.Since(l.epoch) }

// task runs f in a goroutine that Close waits for.
func (l *Layer) task(f func()) {
	l.tasks.Add(1)
	go func() {
		defer l.tasks.Done()
		f()
	}()
}

// Close stops accepting, answers new requests 503, waits until the requests in
// work are answered or ctx ends, then closes every connection and waits for the
// layer's goroutines.
func (l *Layer) Close(ctx context.Context) error {
	if !l.closing.CompareAndSwap(false, true) {
		return nil
	}
	l.mu.Lock()
	for _, ln := range l.listeners {
		ln.Close()
	}
	l.mu.Unlock()
	l.gate.close()
	err := l.drain(ctx)
	for _, c := range l.conns.all() {
		c.Close("the server is stopping")
	}
	l.cancel()
	l.stopUDP()
	l.tasks.Wait()
	return err
}

// drain waits until no request is in work and no client transaction waits.
func (l *Layer) drain(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for l.stats.open.Load() > 0 || l.stats.pending.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Conn returns the connection with the id, nil when it is gone.
func (l *Layer) Conn(id uint64) *Conn { return l.conns.get(id) }
