package sipproxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"trivet/link/siptrans"
	"trivet/wire/sip"
)

// A flow token names the two connections of a dialog: both ids and a MAC, which
// nobody else can make.
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
	token := p.token(from.ID(), to.ID())
	near, far := routeURI(token, from), routeURI(token, to)
	m.Prepend("Record-Route", near)
	if far != near {
		m.Prepend("Record-Route", far)
	}
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
		switch c.ID() {
		case a:
			to = p.cfg.Layer.Conn(b)
		case b:
			to = p.cfg.Layer.Conn(a)
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
