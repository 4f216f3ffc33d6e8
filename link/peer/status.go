package peer

import (
	"slices"
	"strings"
	"time"

	"trivet/uc"
)

// Peer is another server as seen over its links.
type Peer struct {
	FQDN      uc.ServerFQDN
	Up        bool          // what we send arrives, and answers come
	Since     time.Time     // up or down since
	LastHeard time.Time     // anything, on any connection; zero never
	RTT       time.Duration // of the last beat that came back
	Sent      uint64        // bytes, with TLS
	Received  uint64
	Dropped   uint64 // datagrams
}

// Up reports whether the server is connected; this server is.
func (n *Net) Up(server uc.ServerFQDN) bool {
	if server == n.cfg.Self {
		return true
	}
	l := n.link(server)
	return l != nil && l.conn.Load() != nil
}

// Peers lists the other servers of the pool by name.
func (n *Net) Peers() []Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Peer, 0, len(n.links))
	for name, l := range n.links {
		l.mu.Lock()
		p := Peer{FQDN: name, Up: l.conn.Load() != nil, Since: l.since, RTT: time.Duration(l.rtt.Load()),
			Sent: l.traffic.sent.Load(), Received: l.traffic.received.Load(), Dropped: l.traffic.dropped.Load()}
		l.mu.Unlock()
		if at := l.traffic.heard.Load(); at != 0 {
			p.LastHeard = time.Unix(0, at)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Peer) int { return strings.Compare(string(a.FQDN), string(b.FQDN)) })
	return list
}

// Changed returns a channel that is closed when a server comes or goes. Take it
// before looking at Up or Peers, so that nothing is missed in between.
func (n *Net) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func (n *Net) wakeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changes()
}

// beatAll keeps all connections alive and ends the silent ones.
func (n *Net) beatAll() {
	now := n.cfg.Clock.Now()
	n.mu.Lock()
	var ours, theirs []*conn
	for _, l := range n.links {
		l.mu.Lock()
		if l.dialled != nil {
			ours = append(ours, l.dialled)
		}
		l.mu.Unlock()
	}
	for _, in := range n.inbound {
		theirs = append(theirs, in.conn)
	}
	n.mu.Unlock()
	for _, c := range ours {
		c.beat(now, uint64(now.UnixNano()))
	}
	for _, c := range theirs {
		c.beat(now, 0)
	}
}
