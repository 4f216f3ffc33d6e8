package ntlm

import (
	"crypto/md5"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/binary"
)

// SignatureSize is the length of a message signature in bytes.
const SignatureSize = 16

// SIPSequence is the sequence number of every SIP signature, in both directions.
const SIPSequence = 100

// Session has the keys of an established security association in the
// connectionless form: each signature stands alone.
type Session struct {
	out, in sideKeys
	wrap    bool // encrypt the checksum: only with KeyExchange
}

type sideKeys struct{ sign, seal [16]byte }

// Magic constants of [MS-NLMP] 3.4.5.2 and 3.4.5.3, each with its final zero.
const (
	clientSign = "session key to client-to-server signing key magic constant\x00"
	serverSign = "session key to server-to-client signing key magic constant\x00"
	clientSeal = "session key to client-to-server sealing key magic constant\x00"
	serverSeal = "session key to server-to-client sealing key magic constant\x00"
)

// NewServerSession derives the keys of the server's side from the flags of the
// AUTHENTICATE and the session key.
func NewServerSession(f Flags, k Key) *Session {
	return &Session{out: deriveSide(f, k, serverSign, serverSeal), in: deriveSide(f, k, clientSign, clientSeal), wrap: f&KeyExchange != 0}
}

// NewClientSession derives the keys of the client's side.
func NewClientSession(f Flags, k Key) *Session {
	return &Session{out: deriveSide(f, k, clientSign, clientSeal), in: deriveSide(f, k, serverSign, serverSeal), wrap: f&KeyExchange != 0}
}

func deriveSide(f Flags, k Key, sign, seal string) sideKeys {
	size := 5 // 40 bit
	switch {
	case f&Key128 != 0:
		size = 16
	case f&Key56 != 0:
		size = 7
	}
	return sideKeys{
		sign: md5.Sum(append(append([]byte(nil), k[:]...), sign...)),
		seal: md5.Sum(append(append([]byte(nil), k[:size]...), seal...)),
	}
}

// Sign returns the signature of text with the sequence number of SIP.
func (s *Session) Sign(text []byte) [SignatureSize]byte {
	return s.signature(&s.out, SIPSequence, text)
}

// Verify reports whether sig is the other side's signature of text. Its time
// does not depend on where the difference is.
func (s *Session) Verify(text, sig []byte) bool {
	want := s.signature(&s.in, SIPSequence, text)
	return subtle.ConstantTimeCompare(want[:], sig) == 1
}

// signature is MAC of [MS-NLMP] 3.4.4.2 with RC4 started anew per message, as
// 3.4.4 wants for datagrams.
func (s *Session) signature(k *sideKeys, seq uint32, text []byte) (sig [SignatureSize]byte) {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], seq)
	sum := mac(k.sign[:], n[:], text)[:8]
	if s.wrap {
		key := md5.Sum(append(append(make([]byte, 0, 20), k.seal[:]...), n[:]...))
		c, err := rc4.NewCipher(key[:])
		if err != nil {
			panic("ntlm: " + err.Error()) // only for keys of a wrong size
		}
		c.XORKeyStream(sum, sum)
	}
	sig[0] = 1
	copy(sig[4:12], sum)
	copy(sig[12:], n[:])
	return sig
}
