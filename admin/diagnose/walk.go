package diagnose

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// walk is a way to a server, as far as it has come.
type walk struct {
	Config
	typed bool // the server was named, not found

	host string
	port string
	from string // how host was found, "" = typed
	ips  []netip.Addr
	at   string // "ip:port" that took the connection

	tls     tls.ConnectionState
	offers  []offer
	date    time.Time // of the server's clock
	noticed time.Time // of ours when date was read
	base    string    // "https://host:port" of the web services
	known   bool      // the account exists and may sign in
}

const (
	sipPort         = "5061"
	defaultPatience = 5 * time.Second
)

func newWalk(cfg Config) *walk {
	if cfg.Lookup == nil {
		cfg.Lookup = net.DefaultResolver
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.DiscoverPort == 0 {
		cfg.DiscoverPort = 443
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Domain == "" {
		cfg.Domain = cfg.User.Domain()
	}
	for method := range ways {
		if strings.EqualFold(method, cfg.Method) {
			cfg.Method = method
		}
	}
	w := &walk{Config: cfg, typed: cfg.Server != ""}
	if w.typed {
		w.host, w.port = cfg.Server, sipPort
		if h, p, err := net.SplitHostPort(cfg.Server); err == nil {
			w.host, w.port = h, p
		}
		w.host = strings.Trim(w.host, "[]")
	}
	if w.Domain == "" {
		_, w.Domain, _ = strings.Cut(w.host, ".")
	}
	return w
}

// limited bounds a step in time.
func (w *walk) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, w.Patience)
}

// web is a client of web services that trusts what Config.Roots does and lives as
// long as one check.
func (w *walk) web() *http.Client {
	dialer := &net.Dialer{Resolver: w.Lookup}
	return &http.Client{
		Timeout:       w.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{RootCAs: w.Roots, MinVersion: tls.VersionTLS12, Time: w.Now},
		},
	}
}

// good, doubt, bad and skip are findings with the results of that sort.
func good(format string, args ...any) Finding {
	return Finding{Result: OK, Evidence: fmt.Sprintf(format, args...)}
}

func doubt(evidence, mend string) Finding {
	return Finding{Result: Warning, Evidence: evidence, Mend: mend}
}

func bad(evidence, mend string) Finding {
	return Finding{Result: Failed, Evidence: evidence, Mend: mend}
}

func skip(why string) Finding { return Finding{Result: Skipped, Evidence: why} }
