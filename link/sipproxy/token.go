package sipproxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/maphash"
	"strings"

	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/sip"
)

// A flow token names the two ends of a dialog, each by its connection or, when it is
// behind another server, by that server, and has a MAC, which nobody else can make.
const (
	macSize   = 12
	tokenSize = 16 + macSize
)

var tokenCode = base64.RawURLEncoding

func (p *Proxy) token(a, b uint64) string {
	var raw [tokenSize]byte
	binary.BigEndian.PutUint64(raw[:], a)
	binary.BigEndian.PutUint64(raw[8:], b)
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write(raw[:16])
	copy(raw[16:], mac.Sum(nil))
	return tokenCode.EncodeToString(raw[:])
}

// open undoes token; ok is false for anything that we did not make.
func (p *Proxy) open(s string) (a, b uint64, ok bool) {
	if len(s) != tokenCode.EncodedLen(tokenSize) {
		return 0, 0, false
	}
	raw, err := tokenCode.DecodeString(s)
	if err != nil {
		return 0, 0, false
	}
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write(raw[:16])
	if !hmac.Equal(mac.Sum(nil)[:macSize], raw[16:]) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:]), true
}

// record puts our Record-Route in front: one line, or one per side when the two
// are reached differently (RFC 5658).
func (p *Proxy) record(m *sip.Message, from, to *siptrans.Conn) {
	token := p.token(p.end(from), p.end(to))
	near, far := routeURI(token, from), routeURI(token, to)
	m.Prepend("Record-Route", near)
	if far != near {
		m.Prepend("Record-Route", far)
	}
}

// serverBit tells the numbers of servers from those of connections, which never come
// that far.
const serverBit = 1 << 63

// end is the number of what is at the other end of a connection: of the server there,
// else of the connection.
func (p *Proxy) end(c *siptrans.Conn) uint64 {
	peer := c.Peer()
	if peer == "" {
		return c.ID()
	}
	n := maphash.String(p.seed, peer) | serverBit
	if _, known := p.servers.Load(n); !known {
		p.servers.Store(n, uc.ServerFQDN(peer))
	}
	return n
}

// conn is the connection to an end, nil if there is none just now.
func (p *Proxy) conn(end uint64) *siptrans.Conn {
	if end&serverBit == 0 {
		return p.cfg.Layer.Conn(end)
	}
	server, known := p.servers.Load(end)
	if !known || p.cfg.Peers == nil {
		return nil
	}
	c, err := p.cfg.Peers.Conn(server.(uc.ServerFQDN))
	if err != nil {
		return nil
	}
	return c
}

func routeURI(token string, c *siptrans.Conn) string {
	transport := strings.TrimSuffix(c.Transport(), "s") // RFC 7118 5: wss is ws with sips or TLS below
	if c.Transport() == "tls" {
		transport = "tls"
	}
	return "<sip:" + token + "@" + c.SentBy() + ";transport=" + transport + ";lr>"
}

// routes takes our own Route values off the request, RFC 3261 16.4, and returns
// the connection that their token points to from c: nil when there is no token of
// ours or the connection is gone; ours says that there was one.
func (p *Proxy) routes(m *sip.Message, c *siptrans.Conn) (to *siptrans.Conn, ours bool) {
	for {
		top := firstRoute(m)
		a, b, ok := p.open(userOf(top))
		if !ok {
			return to, ours
		}
		m.PopRoute()
		ours = true
		switch p.end(c) {
		case a:
			to = p.conn(b)
		case b:
			to = p.conn(a)
		}
	}
}

func firstRoute(m *sip.Message) string {
	for item := range sip.Split(m.Get("Route")) {
		return item
	}
	return ""
}

// userOf is the user part of a name-addr with a SIP URI.
func userOf(s string) string {
	_, s, _ = strings.Cut(s, ":")
	user, _, ok := strings.Cut(s, "@")
	if !ok {
		return ""
	}
	return user
}
