package box

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/uc"
)

const (
	relayChunk = 32 << 10
	relayDepth = 256 // chunks on their way in a slow line
)

// valve is one direction between two servers.
type valve struct {
	mu      sync.Mutex // guards the fields below
	held    bool
	by      time.Duration
	changed chan struct{} // closed at each turn
}

func (v *valve) turn(held bool, by time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.held, v.by = held, by
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *valve) shut()                 { v.turn(true, 0) }
func (v *valve) open()                 { v.turn(false, 0) }
func (v *valve) delay(d time.Duration) { v.turn(false, d) }

func (v *valve) state() (held bool, by time.Duration, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.held, v.by, v.changed
}

// pass waits while the valve is shut. It reports false when ctx has ended.
func (v *valve) pass(ctx context.Context) bool {
	for {
		held, _, changed := v.state()
		if !held {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// network is the lines between all servers.
type network struct {
	group *life.Group

	mu     sync.Mutex // guards valves
	valves map[[2]uc.ServerFQDN]*valve
}

func newNetwork(g *life.Group) *network {
	return &network{group: g, valves: map[[2]uc.ServerFQDN]*valve{}}
}

func (n *network) valve(from, to uc.ServerFQDN) *valve {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]uc.ServerFQDN{from, to}
	v := n.valves[key]
	if v == nil {
		v = &valve{changed: make(chan struct{})}
		n.valves[key] = v
	}
	return v
}

func (n *network) healAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range n.valves {
		v.open()
	}
}

// connect starts the relays of both links for each ordered pair.
func (n *network) connect(p Plan) error {
	for _, from := range p.Servers {
		for _, to := range p.Servers {
			if from.FQDN == to.FQDN {
				continue
			}
			for base, port := range map[int]string{relayPeer: portPeer, relaySIP: portSIP} {
				r := &relay{n: n, to: net.JoinHostPort(to.Addr.String(), port), as: from.Addr, forth: n.valve(from.FQDN, to.FQDN), back: n.valve(to.FQDN, from.FQDN)}
				if err := r.listen(p.relay(from, to, base)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// relay passes the connections of one server to one port of another.
type relay struct {
	n           *network
	to          string
	as          netip.Addr // where connections come from
	forth, back *valve
}

func (r *relay) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fault.New(fault.Unavailable, "box.relay", "the address of a relay is taken; use another number").About(addr).Because(err)
	}
	stop := context.AfterFunc(r.n.group.Context(), func() { l.Close() })
	r.n.group.Go("relay "+addr, func(ctx context.Context) error {
		defer stop()
		for {
			c, err := l.Accept()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			r.n.group.Go("relayed "+addr, func(ctx context.Context) error { r.carry(ctx, c); return nil })
		}
	})
	return nil
}

// carry serves one connection until either side ends it. What cannot be dialled
// is refused, as by a server that is not there.
func (r *relay) carry(ctx context.Context, a net.Conn) {
	defer a.Close()
	if !r.forth.pass(ctx) || !r.back.pass(ctx) { // a connection needs both ways to come about
		return
	}
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.as, 0))}
	b, err := d.DialContext(ctx, "tcp", r.to)
	if err != nil {
		return
	}
	defer b.Close()
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	ended := make(chan struct{}, 2)
	for _, way := range []struct {
		from, to net.Conn
		v        *valve
	}{{a, b, r.forth}, {b, a, r.back}} {
		if !r.n.group.Go("one way "+r.to, func(ctx context.Context) error {
			defer func() { ended <- struct{}{} }()
			pump(ctx, r.n.group, way.from, way.to, way.v)
			return nil
		}) {
			ended <- struct{}{}
		}
	}
	<-ended
	<-ended
}

// chunk is a piece of what one side sent, and when it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// pump moves one direction. Reader and writer are apart, so that a slow line
// delays and does not throttle. The end of from is passed on like data.
func pump(ctx context.Context, g *life.Group, from, to net.Conn, v *valve) {
	line := make(chan chunk, relayDepth)
	gone := make(chan struct{}) // the writer has ended
	if !g.Go("reader of a relay", func(context.Context) error {
		defer close(line)
		for {
			buf := make([]byte, relayChunk)
			k, err := from.Read(buf)
			_, by, _ := v.state()
			if k > 0 {
				select {
				case line <- chunk{buf[:k], time.Now().Add(by)}:
				case <-gone:
					return nil
				}
			}
			if err != nil {
				return nil
			}
		}
	}) {
		return
	}
	defer close(gone)
	if !deliver(ctx, line, to, v) {
		from.Close() // nobody takes what it sends
		return
	}
	if t, ok := to.(*net.TCPConn); ok {
		t.CloseWrite()
	}
}

// deliver writes what comes when it is due and the valve lets it. It reports
// whether everything was written.
func deliver(ctx context.Context, line <-chan chunk, to io.Writer, v *valve) bool {
	for c := range line {
		if wait := time.Until(c.due); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return false
			}
		}
		if !v.pass(ctx) {
			return false
		}
		if _, err := to.Write(c.data); err != nil {
			return false
		}
	}
	return v.pass(ctx) // the end waits too
}
