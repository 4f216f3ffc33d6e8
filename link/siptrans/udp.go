package siptrans

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"trivet/fault"
)

// maxDatagram is what fits UDP over IPv4.
const maxDatagram = 65507

// udpIdle is how long a remote address is remembered after its last datagram, and
// udpHeld when it is trusted and something hangs on it (Conn.SetValue,
// Conn.OnClose): a client behind a NAT registers for an hour at most.
const (
	udpIdle = 64 * time.Second
	udpHeld = 2 * time.Hour
)

// udpSocket is one UDP listener; each remote address is a Conn.
type udpSocket struct {
	layer *Layer
	pc    *net.UDPConn
	local netip.AddrPort
	via   string

	mu    sync.Mutex // guards peers
	peers map[netip.AddrPort]*udpPeer
}

type udpPeer struct {
	conn *Conn
	seen time.Duration
	tick alarm
}

func (l *Layer) listenUDP(ctx context.Context, addr string) (netip.AddrPort, error) {
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return netip.AddrPort{}, fault.Wrap("siptrans.Listen", err)
	}
	u := &udpSocket{layer: l, pc: pc.(*net.UDPConn), peers: map[netip.AddrPort]*udpPeer{}}
	u.pc.SetReadBuffer(4 << 20)
	u.local = u.pc.LocalAddr().(*net.UDPAddr).AddrPort()
	u.local = netip.AddrPortFrom(u.local.Addr().Unmap(), u.local.Port())
	u.via = l.viaPrefix(0, u.local)
	l.mu.Lock()
	l.sockets = append(l.sockets, u)
	l.mu.Unlock()
	l.task(u.read)
	return u.local, nil
}

func (l *Layer) stopUDP() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.sockets {
		u.pc.Close()
	}
}

func (u *udpSocket) read() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := u.pc.ReadFromUDPAddrPort(buf)
		if err != nil {
			if u.layer.ctx.Err() != nil {
				return
			}
			continue // an ICMP error of an earlier write
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if c := u.peer(from); c != nil {
			u.datagram(c, buf[:n])
		}
	}
}

// datagram handles one message, or a keep-alive (RFC 5626 4.4.1 has CRLF on
// streams; clients send it on UDP too, where nobody expects an answer).
func (u *udpSocket) datagram(c *Conn, b []byte) {
	if len(b) < 16 {
		return
	}
	defer u.layer.recovered(func() {})
	m := newMessage()
	if err := m.Parse(b, u.layer.cfg.Limits); err != nil {
		u.layer.malformed(c, m, b, err)
		return
	}
	u.layer.receive(c, nil, m)
}

// Datagram returns the Conn of a remote UDP address, making one if the address was
// forgotten or is known from a former run: over UDP an address is all there is to
// a flow. nil without a UDP listener of that address family, or when there are too
// many peers.
func (l *Layer) Datagram(remote netip.AddrPort) *Conn {
	l.mu.Lock()
	sockets := l.sockets
	l.mu.Unlock()
	for _, u := range sockets {
		if remote.IsValid() && u.local.Addr().Is4() == remote.Addr().Is4() {
			return u.peer(remote)
		}
	}
	return nil
}

// peer finds or makes the Conn of a remote address; nil when there are too many.
func (u *udpSocket) peer(a netip.AddrPort) *Conn {
	l := u.layer
	u.mu.Lock()
	p := u.peers[a]
	if p == nil && l.cfg.UDPPeers > 0 && len(u.peers) >= l.cfg.UDPPeers {
		old := u.stranger()
		u.mu.Unlock()
		l.reject(overPeers)
		if old == nil {
			return nil
		}
		old.Close("another address needs the place")
		return u.peer(a)
	}
	if p != nil {
		p.seen = l.now()
		u.mu.Unlock()
		return p.conn
	}
	c := l.newConn(0, nil)
	c.udp, c.remote, c.local, c.via = u, a, u.local, u.via
	p = &udpPeer{conn: c, seen: l.now()}
	p.tick.ring = p.ring
	u.peers[a] = p
	u.mu.Unlock()
	l.install(c)
	l.wheel(c.id).set(&p.tick, p.seen+udpIdle)
	return c
}

// stranger picks one of a few peers that have not signed in, the longest silent:
// forged addresses push each other out, not our users. mu is held.
func (u *udpSocket) stranger() *Conn {
	var old *udpPeer
	looked := 0
	for _, p := range u.peers {
		if !p.conn.safe.Load() && (old == nil || p.seen < old.seen) {
			old = p
		}
		if looked++; looked == 16 {
			break
		}
	}
	if old == nil {
		return nil
	}
	return old.conn
}

// ring looks whether the peer has been silent long enough to be forgotten.
func (p *udpPeer) ring(now time.Duration) {
	c := p.conn
	if c.dead.Load() {
		return
	}
	c.vmu.Lock()
	idle := udpIdle
	if c.safe.Load() && len(c.values)+len(c.onClose) > 0 {
		idle = udpHeld
	}
	c.vmu.Unlock()
	c.tmu.Lock()
	busy := len(c.clients)+len(c.servers) > 0
	c.tmu.Unlock()
	c.udp.mu.Lock()
	due := p.seen + idle
	c.udp.mu.Unlock()
	if busy || now < due {
		c.layer.wheel(c.id).set(&p.tick, now+udpIdle)
		return
	}
	c.Close("nothing was heard for a while")
}

func (u *udpSocket) forget(c *Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.peers[c.remote]; p != nil && p.conn == c {
		delete(u.peers, c.remote)
	}
}

func (u *udpSocket) write(b []byte, to netip.AddrPort) error {
	if _, err := u.pc.WriteToUDPAddrPort(b, to); err != nil {
		return fault.New(fault.Unavailable, "siptrans.Send", "the datagram could not be sent").Because(err)
	}
	return nil
}
