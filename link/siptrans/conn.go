package siptrans

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"trivet/fault"
	"trivet/wire/sip"
)

// Signer signs messages for the peer of a connection ([MS-SIPAE] 3.3).
type Signer interface {
	// Sign adds its header to m, which is then sent as it is. It is called under
	// the connection's write lock, after the last rewrite, in the order of sending.
	Sign(m *sip.Message)
}

// Conn is one stream connection, or one remote address of a UDP socket. Its
// methods may be called from any goroutine.
type Conn struct {
	layer         *Layer
	id            uint64
	transport     uint8 // index in Transports
	remote, local netip.AddrPort
	via           string // "SIP/2.0/TLS host:port;branch=z9hG4bK", what our Vias begin with

	sock *sock     // nil for UDP
	tls  *tls.Conn // nil without TLS
	udp  *udpSocket
	ws   bool
	out  bool // we dialled it
	dead atomic.Bool
	safe atomic.Bool // Trust was called
	met  atomic.Bool // a request has passed the gate
	peer atomic.Pointer[string]

	reader reader // belongs to the reading goroutine
	crowd  crowd  // guarded by the shard of lanes

	omu     sync.Mutex // write lock: guards the fields below, held while signing
	signer  Signer
	pending *[]byte        // messages serialised and not yet written
	writing bool           // a goroutine writes; it takes what is added meanwhile
	held    bool           // a batch will flush
	later   []*sip.Message // notifications that wait until the rest is written

	tmu     sync.Mutex // guards the transactions
	clients map[uint32]*ClientTx
	servers map[txKey]*ServerTx
	ended   bool

	vmu     sync.Mutex // guards the fields below
	values  []pair
	onClose []func()
	reason  string
}

type pair struct{ key, value any }

func (l *Layer) newConn(transport uint8, nc net.Conn) *Conn {
	c := &Conn{layer: l, id: l.lastConn.Add(1), transport: transport}
	if nc != nil {
		c.remote, c.local = addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	}
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// ID is the number of the connection, never used twice in a process.
func (c *Conn) ID() uint64 { return c.id }

// Transport is one of Transports.
func (c *Conn) Transport() string { return Transports[c.transport] }

// Stream reports whether the transport itself repeats lost data.
func (c *Conn) Stream() bool { return c.udp == nil }

// Remote is the address of the peer.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local is our address.
func (c *Conn) Local() netip.AddrPort { return c.local }

// SentBy is the host:port of our Vias on this connection.
func (c *Conn) SentBy() string {
	_, s, _ := strings.Cut(c.via, " ")
	s, _, _ = strings.Cut(s, ";")
	return s
}

// Dialled reports whether we opened the connection.
func (c *Conn) Dialled() bool { return c.out }

// Closed reports whether the connection is gone.
func (c *Conn) Closed() bool { return c.dead.Load() }

// TLS describes the TLS session, with the peer's certificates; nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.tls == nil {
		return nil
	}
	s := c.tls.ConnectionState()
	return &s
}

// Trust lifts the limits for connections that have not signed in.
func (c *Conn) Trust() {
	if !c.safe.Swap(true) && c.udp == nil && !c.out {
		c.layer.sources.known(c.remote.Addr())
	}
}

// Trusted reports whether Trust was called.
func (c *Conn) Trusted() bool { return c.safe.Load() }

// SetPeer says that the other end is the server of our topology with the name given,
// which is trusted from then on.
func (c *Conn) SetPeer(server string) {
	c.peer.Store(&server)
	c.Trust()
}

// Peer is the server of our topology at the other end, "" for anybody else.
func (c *Conn) Peer() string {
	if p := c.peer.Load(); p != nil {
		return *p
	}
	return ""
}

// Value returns what SetValue stored under key, nil if nothing.
func (c *Conn) Value(key any) any {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	for i := range c.values {
		if c.values[i].key == key {
			return c.values[i].value
		}
	}
	return nil
}

// SetValue keeps v under key for the life of the connection; nil removes it.
func (c *Conn) SetValue(key, v any) {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	for i := range c.values {
		if c.values[i].key == key {
			c.values[i].value = v
			return
		}
	}
	c.values = append(c.values, pair{key, v})
}

// SetSigner has every message from now on signed by s; nil ends it.
func (c *Conn) SetSigner(s Signer) {
	c.omu.Lock()
	c.signer = s
	c.omu.Unlock()
}

// OnClose calls f once the connection is gone, at once if it is; f must not block.
func (c *Conn) OnClose(f func()) {
	c.vmu.Lock()
	gone := c.dead.Load()
	if !gone {
		c.onClose = append(c.onClose, f)
	}
	c.vmu.Unlock()
	if gone {
		f()
	}
}

// Reason says why the connection was closed, "" while it is open.
func (c *Conn) Reason() string {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	return c.reason
}

// Close ends the connection; its transactions fail with fault.Unavailable. What
// was sent before is still handed to the kernel. Only the first reason counts.
func (c *Conn) Close(reason string) { c.close(reason) }

// closeSlow closes c because its peer does not read.
func (c *Conn) closeSlow(why slowness) {
	waiting := c.sock.owed.Load()
	if c.close("slow reader, " + strconv.FormatInt(waiting, 10) + " bytes waiting: " + slowTexts[why]) {
		c.layer.stats.slow[why].Add(1)
		c.layer.cfg.Log.Info("connection closed", "id", c.id, "transport", c.Transport(), "remote", c.remote, "reason", c.Reason())
	}
}

// stalled ends c when its drainer has given up. What others have added to later
// while c ended is gone when it returns.
func (c *Conn) stalled() {
	c.closeSlow(stalled)
	c.omu.Lock()
	c.later = nil
	c.omu.Unlock()
}

// close reports whether it was the one to end the connection.
func (c *Conn) close(reason string) bool {
	if c.sock != nil && !c.dead.Load() {
		c.flush()
	}
	c.vmu.Lock()
	if c.dead.Swap(true) {
		c.vmu.Unlock()
		return false
	}
	c.reason = reason
	calls := c.onClose
	c.onClose = nil
	c.vmu.Unlock()

	c.omu.Lock()
	c.later = nil
	c.omu.Unlock()
	c.layer.forget(c)
	c.layer.cfg.Log.Debug("connection closed", "id", c.id, "transport", c.Transport(), "remote", c.remote, "reason", reason)
	if c.sock != nil { // closing waits for the reader, which may be the caller
		c.layer.task(func() {
			if c.tls != nil {
				c.tls.CloseWrite()
			}
			c.sock.Close()
		})
	}
	c.failTransactions()
	for _, f := range calls {
		f()
	}
	return true
}

// forget takes c out of the tables.
func (l *Layer) forget(c *Conn) {
	l.conns.del(c.id)
	l.stats.conns[c.transport].Add(-1)
	switch {
	case c.udp != nil:
		c.udp.forget(c)
	case !c.out:
		l.leave(c)
	}
}

// leave takes an accepted connection out of the count.
func (l *Layer) leave(c *Conn) {
	c.Trust()
	l.sources.leave()
}

var errGone = fault.New(fault.Unavailable, "siptrans.Send", "the connection is closed")
