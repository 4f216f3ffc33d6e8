package load

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

// A tls.Conn keeps a buffer as large as the largest record it has read, up to
// 33 KB, as long as it lives: with many thousand endpoints that is most of this
// program's memory. So handshake, session tickets and everything sent are left to
// crypto/tls, and once an endpoint is signed in, what comes is opened here, in
// borrowed buffers: TLS 1.3 application records (RFC 8446 5.2) under the server's
// traffic secret, which crypto/tls tells by Config.KeyLogWriter. With TLS 1.2 the
// tls.Conn goes on reading.

// keyLog catches the secret of the server's records during a handshake.
type keyLog struct{ secret []byte }

func (k *keyLog) Write(line []byte) (int, error) {
	f := bytes.Fields(line)
	if len(f) == 3 && string(f[0]) == "SERVER_TRAFFIC_SECRET_0" {
		k.secret, _ = hex.DecodeString(string(f[2]))
	}
	return len(line), nil
}

// counter counts the sealed records that a tls.Conn is given.
type counter struct {
	header [5]byte
	have   int // bytes of the header
	left   int // bytes of the record
	count  uint64
}

func (c *counter) add(b []byte) {
	for len(b) > 0 {
		if c.have < len(c.header) {
			n := copy(c.header[c.have:], b)
			c.have += n
			b = b[n:]
			if c.have == len(c.header) {
				c.left = int(binary.BigEndian.Uint16(c.header[3:]))
			}
			continue
		}
		n := min(c.left, len(b))
		c.left -= n
		if b = b[n:]; c.left == 0 {
			c.have = 0
			if c.header[0] == application {
				c.count++
			}
		}
	}
}

// whole reports whether the last record has come to its end.
func (c *counter) whole() bool { return c.have == 0 }

// suite is how the records of a TLS 1.3 cipher suite are sealed.
type suite struct {
	size int // of the key
	hash func() hash.Hash
}

var suites = map[uint16]suite{
	tls.TLS_AES_128_GCM_SHA256: {16, sha256.New}, tls.TLS_AES_256_GCM_SHA384: {32, sha512.New384},
}

// records opens the server's records.
type records struct {
	suite  suite
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
	sure   bool   // seq is that of the next record
	part   []byte // the beginning of a record
}

// newRecords goes on where a tls.Conn stopped that was given so many records, nil
// when it cannot. How many of them were the handshake's, under other keys, shows
// at the first record.
func newRecords(state tls.ConnectionState, secret []byte, given uint64) *records {
	s, ok := suites[state.CipherSuite]
	if !ok || state.Version != tls.VersionTLS13 || len(secret) == 0 {
		return nil
	}
	r := &records{suite: s, seq: given - min(given, inHandshake)}
	if r.key(secret) != nil {
		return nil
	}
	return r
}

// key takes a secret into use, RFC 8446 7.3.
func (r *records) key(secret []byte) error {
	key, err := r.expand(secret, "key", r.suite.size)
	if err != nil {
		return err
	}
	if r.iv, err = r.expand(secret, "iv", 12); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	r.secret = secret
	r.aead, err = cipher.NewGCM(block)
	return err
}

// expand is HKDF-Expand-Label, RFC 8446 7.1.
func (r *records) expand(secret []byte, label string, n int) ([]byte, error) {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len("tls13 ")+len(label))), "tls13 "+label...)
	return hkdf.Expand(r.suite.hash, secret, string(append(info, 0)), n)
}

var errRecord = errors.New("a TLS record of the server does not open")

// Types of content, and the one message that matters here.
const (
	alert       = 21
	handshake   = 22
	application = 23
	keyUpdate   = 24
	maxRecord   = 16<<10 + 256
)

// input opens what is whole in b, in place, and gives it to feed.
func (r *records) input(b []byte, feed func([]byte) error) error {
	if len(r.part) > 0 {
		r.part = append(r.part, b...)
		b = r.part
	}
	for len(b) >= 5 {
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n > maxRecord {
			return errRecord
		}
		if len(b) < 5+n {
			break
		}
		if err := r.record(b[:5+n], feed); err != nil {
			return err
		}
		b = b[5+n:]
	}
	if len(b) == 0 {
		r.part = nil
	} else {
		r.part = append([]byte(nil), b...)
	}
	return nil
}

func (r *records) nonce() (n [12]byte) {
	copy(n[:], r.iv)
	for i := range 8 {
		n[4+i] ^= byte(r.seq >> (56 - 8*i))
	}
	return n
}

// inHandshake is how many sealed records a handshake may have.
const inHandshake = 12

// find finds the number of the first record.
func (r *records) find(b []byte) bool {
	for last := r.seq + inHandshake; r.seq <= last; r.seq++ {
		nonce := r.nonce()
		if _, err := r.aead.Open(nil, nonce[:], b[5:], b[:5]); err == nil {
			r.sure = true
			return true
		}
	}
	return false
}

func (r *records) record(b []byte, feed func([]byte) error) error {
	if b[0] != application {
		return errRecord
	}
	if !r.sure && !r.find(b) {
		return errRecord
	}
	nonce := r.nonce()
	r.seq++
	plain, err := r.aead.Open(b[5:5], nonce[:], b[5:], b[:5])
	if err != nil {
		return errRecord
	}
	plain = bytes.TrimRight(plain, "\x00")
	if len(plain) == 0 {
		return errRecord
	}
	kind, plain := plain[len(plain)-1], plain[:len(plain)-1]
	switch {
	case kind == application:
		return feed(plain)
	case kind == alert:
		return io.EOF
	case kind == handshake && len(plain) > 0 && plain[0] == keyUpdate:
		next, err := r.expand(r.secret, "traffic upd", len(r.secret))
		if err != nil {
			return err
		}
		r.seq = 0
		return r.key(next)
	}
	return nil // a session ticket more
}
