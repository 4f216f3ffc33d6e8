package sipauth

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

// peer is what sipauth knows of one connection, or of one remote address of a
// UDP socket.
type peer struct {
	a      *Authenticator
	addr   netip.Addr // the client's
	local  netip.Addr // ours, that it reached
	stream bool
	hangUp func(reason string)

	checks sync.Mutex // held through a check: handshakes go step by step

	gone   bool                    // guarded by a.mu, as is listed
	listed map[uc.UserURI]struct{} // on a.users

	mu      sync.Mutex // guards the rest; never held while something waits
	pending []*association
	live    map[string]*association // by opaque
	flows   map[uc.UserURI]time.Time
	closed  bool
}

func (a *Authenticator) newPeer(addr, local netip.Addr, stream bool, hangUp func(string)) *peer {
	return &peer{a: a, addr: addr, local: local, stream: stream, hangUp: hangUp,
		listed: map[uc.UserURI]struct{}{}, live: map[string]*association{}, flows: map[uc.UserURI]time.Time{}}
}

// find returns the association that opaque names, nil if there is none.
func (p *peer) find(opaque string) *association {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.live[opaque]; s != nil {
		return s
	}
	for _, s := range p.pending {
		if s.opaque == opaque {
			return s
		}
	}
	return nil
}

// begin adds an association under way; the oldest gives way to it.
func (p *peer) begin(s *association) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		s.hs.close()
		return
	}
	if len(p.pending) >= maxPending {
		p.pending[0].hs.close()
		p.pending = append(p.pending[:0], p.pending[1:]...)
	}
	p.pending = append(p.pending, s)
}

// forget ends an association, pending or live.
func (p *peer) forget(s *association) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(s)
}

func (p *peer) forgetLocked(s *association) {
	s.hs.close()
	for i, o := range p.pending {
		if o == s {
			p.pending = append(p.pending[:i], p.pending[i+1:]...)
			break
		}
	}
	if p.live[s.opaque] == s {
		delete(p.live, s.opaque)
	}
}

var errFull = fault.New(fault.Limit, opHandshake, "one connection carries at most 1024 users")

// establish makes s the association of its user and device on this connection.
func (p *peer) establish(s *association, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.live {
		if o.user == s.user && o.device == s.device || o.expired(now) {
			p.forgetLocked(o)
		}
	}
	p.forgetLocked(s)
	if p.closed || len(p.live) >= maxUsers {
		return errFull
	}
	s.goLive(now)
	p.live[s.opaque] = s
	return nil
}

// remember notes that user signed in with Digest.
func (p *peer) remember(user uc.UserURI, now time.Time, life time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.flows) >= maxUsers {
		for u, until := range p.flows {
			if now.After(until) {
				delete(p.flows, u)
			}
		}
	}
	if _, old := p.flows[user]; p.closed || !old && len(p.flows) >= maxUsers {
		return errFull
	}
	p.flows[user] = now.Add(life)
	return nil
}

func (p *peer) flowing(user uc.UserURI, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.flows[user]
	return ok && now.Before(until)
}

// renew is called when the client asks for a new handshake although it has an
// association: from now on it may hold either keys, and a message signed with
// the wrong ones would end the connection, an unsigned one is only dropped. The
// next message that is signed with the old keys ends the doubt.
func (p *peer) renew(user uc.UserURI, device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.live {
		if s.user == user && s.device == device {
			s.renewing = true
		}
	}
}

// drop ends what user has here and reports whether nobody else is left.
func (p *peer) drop(user uc.UserURI) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.flows, user)
	for _, s := range p.live {
		if s.user == user {
			p.forgetLocked(s)
		}
	}
	return len(p.live) == 0 && len(p.flows) == 0
}

// end is called when the connection is gone.
func (p *peer) end() {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.pending {
		s.hs.close()
	}
	p.pending, p.live, p.flows = nil, map[string]*association{}, map[uc.UserURI]time.Time{}
	p.mu.Unlock()
	p.a.leaveAll(p)
}

// Sign puts our signature on a message that is about to be sent, and takes any
// that came from elsewhere off it. Without an association it does nothing more.
// A 401 stays unsigned: it belongs to a client without keys.
func (p *peer) Sign(m *sip.Message) {
	m.Del("Authentication-Info")
	m.Del("Proxy-Authentication-Info")
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.pick(m)
	if s == nil || s.renewing || m.Status == 401 || s.expired(p.a.cfg.Clock.Now()) {
		return
	}
	calm(m)
	s.sent++
	seal := Seal{Scheme: s.scheme.String(), Rand: hex8(rand.Uint32()), Num: strconv.FormatUint(uint64(s.sent), 10), Realm: s.realm, Target: s.target, Version: s.version}
	x := p.a.scratch()
	x.text = AppendText(x.text[:0], seal, m)
	x.signature = s.mac.sign(x.signature[:0], x.text)
	x.line = s.appendInfo(x.line[:0], seal, x.signature)
	m.Add("Authentication-Info", string(x.line))
	p.a.spare.Put(x)
}

// appendInfo writes the value of Authentication-Info.
func (s *association) appendInfo(b []byte, seal Seal, signature []byte) []byte {
	for _, part := range [...]string{
		seal.Scheme, ` qop="auth", opaque="`, s.opaque, `", srand="`, seal.Rand, `", snum="`, seal.Num, `", rspauth="`,
	} {
		b = append(b, part...)
	}
	b = hex.AppendEncode(b, signature)
	for _, part := range [...]string{`", targetname="`, seal.Target, `", realm="`, seal.Realm, `", version=`} {
		b = append(b, part...)
	}
	return strconv.AppendInt(b, int64(seal.Version), 10)
}

// pick finds whose keys sign m: the only ones there are, or on a connection
// that carries several users those of the receiver, who is in To of our
// requests and in From of requests we answer.
func (p *peer) pick(m *sip.Message) *association {
	if len(p.live) == 1 {
		for _, s := range p.live {
			return s
		}
	}
	if len(p.live) == 0 {
		return nil
	}
	h := m.Get("From")
	if m.IsRequest() {
		h = m.Get("To")
	}
	user, err := uc.ParseUserURI(between(h))
	if err != nil {
		return nil
	}
	device := headerParam(h, "epid")
	var best *association
	for _, s := range p.live {
		if s.user != user {
			continue
		}
		if strings.EqualFold(s.device, device) {
			return s
		}
		if best == nil || s.began.After(best.began) {
			best = s
		}
	}
	return best
}

const hexDigits = "0123456789abcdef"

func hex8(n uint32) string {
	var b [8]byte
	for i := range b {
		b[i] = hexDigits[n>>(28-4*i)&15]
	}
	return string(b[:])
}
