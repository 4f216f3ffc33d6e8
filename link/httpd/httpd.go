// Package httpd is the HTTPS server of a computer: one listener on which roles
// mount their services, with limits on time, header and body, health and metrics
// beside them, and a graceful stop. It also serves the local management socket.
//
// HTTP/1.1 only: NTLM and Negotiate authenticate a connection ([MS-NTHT] 1.3),
// and WebSocket begins with an upgrade (RFC 6455). Handlers run in goroutines of
// net/http, one request of a connection after the other; what belongs to the
// connection is kept in its Conn.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/metric"
)

// Config of a server.
type Config struct {
	Addr           string // "host:port"
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Log            *slog.Logger
	Metrics        *metric.Registry
	// Ready returns what is not ready, one sentence for each part by its name;
	// empty = ready. It is asked by GET /health/ready.
	Ready func(context.Context) map[string]string
	// Degraded is Ready for what is not well and does not keep the server from
	// serving; nil: nothing ever is.
	Degraded func(context.Context) map[string]string
	// PerSource is how many connections of one address may be open, 0: 1000.
	PerSource int
}

// Limits of every server. Handlers of uploads and of long polls move their own
// deadlines with http.ResponseController.
const (
	headerBytes = 32 << 10
	bodyBytes   = 4 << 20
	headerTime  = 10 * time.Second
	requestTime = 60 * time.Second
	idleTime    = 2 * time.Minute
	connections = 20000
	perSource   = 1000
)

// ciphers of TLS 1.2 (those of 1.3 are fixed): forward secret ones only, CBC for
// the Windows clients of the product's time. They are named because settings of
// the process that TLS-DSK needs would otherwise offer weaker ones here.
var ciphers = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// Server is an HTTPS server. Mount everything, then Start.
type Server struct {
	cfg      Config
	mux      *http.ServeMux
	server   *http.Server
	requests *metric.CounterVec
	seconds  *metric.HistogramVec
	refused  metric.Counter
}

// New makes a server with /health/live, /health/ready and /metrics mounted.
func New(cfg Config) *Server {
	if cfg.PerSource == 0 {
		cfg.PerSource = perSource
	}
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(),
		requests: cfg.Metrics.CounterVec("http_requests_total", "HTTP requests answered.", "method", "class"),
		refused:  cfg.Metrics.Counter("http_rejected_total", "HTTPS connections closed because their address had too many."),
		seconds:  cfg.Metrics.HistogramVec("http_request_seconds", "Time to answer an HTTP request.", "class"),
	}
	s.server = &http.Server{
		Handler: s.watch(s.mux), MaxHeaderBytes: headerBytes, ReadHeaderTimeout: headerTime,
		ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime,
		ConnContext: withConn, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	s.mountHealth()
	return s
}

// Mount serves h under a pattern of http.ServeMux. A pattern that is taken is a
// defect of the program and panics.
func (s *Server) Mount(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Start listens and serves in a goroutine of g, which also stops the server:
// no new connections, then up to ten seconds for requests under way. It returns
// the address, which tells the port when Config.Addr asked for any.
func (s *Server) Start(ctx context.Context, g *life.Group) (netip.AddrPort, error) {
	const op = "httpd.Start"
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return netip.AddrPort{}, fault.Newf(fault.Unavailable, op, "cannot listen for HTTPS on %s; choose another address with --https", s.cfg.Addr).Because(err)
	}
	addr, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		return addr, errors.Join(fault.Wrap(op, err), ln.Close())
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: ciphers, GetCertificate: s.cfg.GetCertificate, NextProtos: []string{"http/1.1"}}
	g.Go("https", func(context.Context) error {
		if err := s.server.Serve(tls.NewListener(bounded(ln, connections, s.cfg.PerSource, s.refused.Inc), conf)); !errors.Is(err, http.ErrServerClosed) {
			return fault.Wrap(op, err)
		}
		return nil
	})
	g.Add("https", 12*time.Second, func(ctx context.Context) error { return shutdown(ctx, s.server) })
	return addr, nil
}

func shutdown(ctx context.Context, s *http.Server) error {
	soft, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.Shutdown(soft); err != nil {
		return s.Close()
	}
	return nil
}

// watch counts and times requests, bounds their bodies and turns a panic into
// one failed request.
func (s *Server) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		defer func() {
			v := recover()
			if v != nil && v != http.ErrAbortHandler {
				s.cfg.Log.Error("panic in a web service", "method", r.Method, "path", r.URL.Path, "value", v)
				Problem(rec, fault.New(fault.Internal, "httpd.serve", ""))
			}
			class := classes[rec.status/100%len(classes)]
			s.requests.WithLabelValues(methodLabel(r.Method), class).Inc()
			s.seconds.WithLabelValues(class).Observe(time.Since(start).Seconds())
			if v == http.ErrAbortHandler {
				panic(v)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

var classes = [...]string{"2xx", "1xx", "2xx", "3xx", "4xx", "5xx"}

// methodLabel keeps the label's values few whatever clients send.
func methodLabel(m string) string {
	if strings.Contains(" GET HEAD POST PUT DELETE OPTIONS PATCH ", " "+m+" ") {
		return m
	}
	return "other"
}

// recorder remembers the status. Unwrap gives http.ResponseController the way
// to the connection (upgrades, deadlines).
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 || r.status/100 == 1 {
		r.status = status
		if h := r.Header(); status == http.StatusServiceUnavailable {
			h.Set("Retry-After", comeBack(h.Get("Retry-After")))
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// comeBack adds up to as much again, or 10 s, to the seconds after which a service
// wants to be asked again (5 if it says nothing), so that not all come back together.
func comeBack(said string) string {
	n, err := strconv.Atoi(said)
	if err != nil {
		n = 5
	}
	return strconv.Itoa(n + rand.IntN(max(min(n, 10), 5)+1))
}

// bounded is ln with at most n connections open, those of one address at most
// perSource: more in all wait in the kernel's queue, more of an address are closed.
func bounded(ln net.Listener, n, perSource int, refused func()) net.Listener {
	return &boundedListener{Listener: ln, slots: make(chan struct{}, n), closed: make(chan struct{}), most: perSource, refused: refused, of: map[netip.Addr]int{}}
}

type boundedListener struct {
	net.Listener
	slots   chan struct{}
	once    sync.Once
	closed  chan struct{}
	most    int // of one address
	refused func()

	mu sync.Mutex // guards of
	of map[netip.Addr]int
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			return nil, err
		}
		from := household(c.RemoteAddr())
		if l.enter(from) {
			return &boundedConn{Conn: c, free: func() { l.leave(from); <-l.slots }}, nil
		}
		l.refused()
		c.Close()
	}
}

// household is what one source is: an IPv4 address, or a /64.
func household(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := t.AddrPort().Addr().Unmap()
	if p, err := addr.Prefix(64); addr.Is6() && err == nil {
		return p.Addr()
	}
	return addr
}

func (l *boundedListener) enter(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[a] >= l.most {
		return false
	}
	l.of[a]++
	return true
}

func (l *boundedListener) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[a]--; l.of[a] <= 0 {
		delete(l.of, a)
	}
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	once sync.Once
	free func()
}

func (c *boundedConn) Close() error {
	c.once.Do(c.free)
	return c.Conn.Close()
}
