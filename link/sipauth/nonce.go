package sipauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// nonces makes Digest nonces that need no memory until they were used with the
// right password: time (8 bytes, milliseconds), 8 random bytes, and the first 16
// of HMAC-SHA-256 over both and the address it is for: over UDP nobody can use up
// the allowance of an address whose answers he does not see. For used nonces the
// counts are remembered.
type nonces struct {
	key []byte

	mu    sync.Mutex
	used  map[[16]byte]*window // by time and random bytes
	floor int64                // nonces from before are stale, ms
}

const (
	nonceLife = 5 * time.Minute
	nonceSize = 32
	maxNonces = 1 << 16
)

func newNonces(key []byte) *nonces {
	return &nonces{key: key, used: map[[16]byte]*window{}}
}

func (n *nonces) make(addr netip.Addr, now time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, nonceSize), uint64(now.UnixMilli()))
	b = append(b, randomBytes(8)...)
	return base64.RawURLEncoding.EncodeToString(append(b, n.mac(b, addr)...))
}

func (n *nonces) mac(b []byte, addr netip.Addr) []byte {
	ip := addr.As16()
	m := hmac.New(sha256.New, n.key)
	m.Write(b)
	m.Write(ip[:])
	return m.Sum(nil)[:16]
}

// parse returns the bytes of a nonce that was made for addr.
func (n *nonces) parse(nonce string, addr netip.Addr) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	return b, err == nil && len(b) == nonceSize && hmac.Equal(b[16:], n.mac(b[:16], addr))
}

// take uses the count of a nonce that parse returned and reports whether it is
// fresh, that is neither too old nor used with this count. Call it after the
// password was found right: only then memory is spent.
func (n *nonces) take(b []byte, count uint32, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	made := int64(binary.BigEndian.Uint64(b))
	if made < n.floor || made < now.Add(-nonceLife).UnixMilli() || made > now.Add(nonceLife).UnixMilli() {
		return false
	}
	id := [16]byte(b[:16])
	w := n.used[id]
	if w == nil {
		if len(n.used) >= maxNonces && !n.sweep(now) {
			return false
		}
		w = new(window)
		n.used[id] = w
	}
	if !w.take(count) {
		return false
	}
	return true
}

// sweep forgets nonces that are too old anyway. When that frees nothing it
// forgets all and declares every nonce made so far stale: clients ask again.
func (n *nonces) sweep(now time.Time) bool {
	old := now.Add(-nonceLife).UnixMilli()
	for id := range n.used {
		if int64(binary.BigEndian.Uint64(id[:])) < old {
			delete(n.used, id)
		}
	}
	if len(n.used) < maxNonces*3/4 {
		return true
	}
	clear(n.used)
	n.floor = now.UnixMilli() + 1
	return false
}
