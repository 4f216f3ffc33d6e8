// Package sippeer is the SIP between the Front Ends of a pool: one SIP/TLS
// connection to each other server, opened with our server certificate as client
// certificate and kept; the way to a connection that another server holds, as a flow
// token in a Route (RFC 5626 5.3 as for edge proxies); and the recognition of a
// server by the certificate of the connection that it opened.
//
// A flow token names the run of the server and the number of the connection. It is no
// secret: it counts only on the connection of a server of the topology.
//
// Peers is safe for concurrent use. Conn and Way never wait.
package sippeer

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// Link is the part of siptrans.Layer that is needed.
type Link interface {
	Dial(ctx context.Context, network, addr string, conf *tls.Config) (*siptrans.Conn, error)
	Conn(id uint64) *siptrans.Conn
	Datagram(remote netip.AddrPort) *siptrans.Conn
	Request(c *siptrans.Conn, req *sip.Message, on func(res *sip.Message, err error)) *siptrans.ClientTx
}

// Config sets Peers up. Zero durations mean the defaults given here.
type Config struct {
	Link   Link
	Life   *life.Group
	Clock  clock.Clock // nil: the real one
	Log    *slog.Logger
	Server uc.ServerFQDN // this server
	Epoch  uint64        // of this run
	// Address is the host and port of the SIP/TLS listener of another server, "" for one
	// that the topology does not have. nil: there are no other servers.
	Address func(uc.ServerFQDN) string
	TLS     *tls.Config // with our certificate and the roots of the pool; the server name is put in

	Dialling  time.Duration // 5 s: how long opening a connection may take
	Backoff   time.Duration // 250 ms: before the second attempt, doubled for each further one up to MostPause
	MostPause time.Duration // 5 s
	KeepAlive time.Duration // 5 s: how often a connection is asked whether it lives
	Patience  time.Duration // 10 s: how long it may leave that without an answer
}

func orDefault(v *time.Duration, d time.Duration) {
	if *v == 0 {
		*v = d
	}
}

// Peers are the connections to the other servers.
type Peers struct {
	cfg Config

	mu    sync.Mutex // guards links
	links map[uc.ServerFQDN]*link
}

// New makes Peers. A connection is opened when it is first asked for, or by Keep.
func New(cfg Config) *Peers {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	orDefault(&cfg.Dialling, 5*time.Second)
	orDefault(&cfg.Backoff, 250*time.Millisecond)
	orDefault(&cfg.MostPause, 5*time.Second)
	orDefault(&cfg.KeepAlive, 5*time.Second)
	orDefault(&cfg.Patience, 10*time.Second)
	return &Peers{cfg: cfg, links: map[uc.ServerFQDN]*link{}}
}

// Keep opens the connections to servers before anybody needs them, and keeps them.
func (p *Peers) Keep(servers ...uc.ServerFQDN) {
	for _, server := range servers {
		p.link(server)
	}
}

// Conn is the connection to another server of the topology. While there is none it is
// fault.Unavailable at once, and somebody is at work to open one.
func (p *Peers) Conn(server uc.ServerFQDN) (*siptrans.Conn, error) {
	const op = "sippeer.Conn"
	l := p.link(server)
	if l == nil {
		return nil, fault.New(fault.NotFound, op, "the topology has no such server").About(string(server))
	}
	if c := l.conn.Load(); c != nil && !c.Closed() {
		return c, nil
	}
	return nil, fault.New(fault.Unavailable, op, "there is no connection to the server just now").About(string(server))
}

// link is the link to a server, nil for one that the topology does not have.
func (p *Peers) link(server uc.ServerFQDN) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[server]
	if l != nil || server == p.cfg.Server || p.address(server) == "" {
		return l
	}
	l = &link{peers: p, server: server}
	if p.cfg.Life.Go("SIP to "+string(server), l.keep) {
		p.links[server] = l
		return l
	}
	return nil // the server stops
}

func (p *Peers) address(server uc.ServerFQDN) string {
	if p.cfg.Address == nil {
		return ""
	}
	return p.cfg.Address(server)
}

// Way is how the connection of a flow is reached: the connection itself when this
// server holds it, else the one to the server that does with the Route value that
// leads on from there. The connection is nil when the flow is known to be dead or its
// server cannot be reached.
func (p *Peers) Way(f *groupstate.Flow) (c *siptrans.Conn, route string) {
	if f.Server == p.cfg.Server {
		return p.local(f), ""
	}
	c, err := p.Conn(f.Server)
	if err != nil {
		return nil, ""
	}
	return c, "<sip:" + token(f) + "@" + string(f.Server) + ";transport=tls;lr>"
}

// local is the live connection of a flow of ours. A UDP flow is its address, which a
// restart of ours does not change.
func (p *Peers) local(f *groupstate.Flow) *siptrans.Conn {
	if f.Epoch == p.cfg.Epoch {
		if c := p.cfg.Link.Conn(f.Conn); c != nil {
			return c
		}
	}
	if f.Transport == "udp" {
		return p.cfg.Link.Datagram(f.Remote)
	}
	return nil
}

// Flow is the connection that a flow token names, for a request that came from a server
// of ours. ok is false for what is no flow token; a dead flow is nil.
func (p *Peers) Flow(token string) (c *siptrans.Conn, ok bool) {
	f, ok := parse(token)
	if !ok {
		return nil, false
	}
	f.Server = p.cfg.Server
	return p.local(&f), true
}
