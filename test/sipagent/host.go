// Package sipagent is what tests of SIP services have in common: a Host on
// loopback with the real transport and route table, which believes what a From
// says, and Agents on sockets of their own that send what the test writes, true
// or not, and read what comes, message by message.
//
// An Agent belongs to one goroutine.
package sipagent

import (
	"context"
	"testing"
	"time"

	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/sip"
)

// Believing is a sipmux.Authenticator that takes everybody for whom the From
// names.
type Believing struct{}

// Authenticate implements sipmux.Authenticator.
func (Believing) Authenticate(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	from, err := r.From()
	if err != nil {
		return nil, err
	}
	r.User, err = uc.ParseUserURI(from.URI)
	return nil, err
}

// Host is a server under test. Layer is there from the start, for the services
// that need it; Mux and Addr after Serve.
type Host struct {
	Layer *siptrans.Layer
	Mux   *sipmux.Mux
	Addr  map[string]string // by network
}

// NewHost makes a host; cfg is the transport's but for the handler.
func NewHost(cfg siptrans.Config) *Host {
	h := &Host{Addr: map[string]string{}}
	cfg.Handler = late{h}
	h.Layer = siptrans.New(cfg)
	return h
}

// late is the Mux of a host that has none yet.
type late struct{ *Host }

func (l late) Serve(ctx context.Context, tx *siptrans.ServerTx) { l.Mux.Serve(ctx, tx) }

// Serve listens on free ports, of TCP when no networks are named, and answers
// requests by cfg until the test ends. Everybody is believed when cfg names no
// authenticator.
func (h *Host) Serve(t testing.TB, cfg sipmux.Config, networks ...string) {
	t.Helper()
	h.ServeFor(t, 0, cfg, networks...)
}

// ServeFor is Serve for tests that leave requests without an answer: at the end
// of the test those have grace before they are cut off. With no grace the end
// waits for them, and a request that stays makes the test fail.
func (h *Host) ServeFor(t testing.TB, grace time.Duration, cfg sipmux.Config, networks ...string) {
	t.Helper()
	if cfg.Auth == nil {
		cfg.Auth = Believing{}
	}
	var err error
	if h.Mux, err = sipmux.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		limit := grace
		if limit == 0 {
			limit = 10 * time.Second
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := h.Layer.Close(ctx); err != nil && grace == 0 {
			t.Error(err)
		}
	})
	if len(networks) == 0 {
		networks = []string{"tcp"}
	}
	for _, network := range networks {
		at, err := h.Layer.Listen(context.Background(), siptrans.Listener{Network: network, Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		h.Addr[network] = at.String()
	}
}
