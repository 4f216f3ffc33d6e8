package ntlm

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"hash"
)

// SignatureSize is the length of a message signature in bytes.
const SignatureSize = 16

// SIPSequence is the sequence number of every SIP signature, in both directions.
const SIPSequence = 100

// Session has the keys of an established security association in the
// connectionless form: each signature stands alone. Sign and Verify may be called
// at the same time, but each by one goroutine at a time.
type Session struct{ out, in side }

// side signs for one direction. As every signature has the same number and RC4
// starts anew for each, the bytes that encrypt a checksum are always the same.
type side struct {
	sign, seal [16]byte
	mac        hash.Hash // HMAC-MD5 under sign
	sum        []byte    // scratch
	mask       [8]byte   // zero without KeyExchange
}

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
	return &Session{out: deriveSide(f, k, serverSign, serverSeal), in: deriveSide(f, k, clientSign, clientSeal)}
}

// NewClientSession derives the keys of the client's side.
func NewClientSession(f Flags, k Key) *Session {
	return &Session{out: deriveSide(f, k, clientSign, clientSeal), in: deriveSide(f, k, serverSign, serverSeal)}
}

func deriveSide(f Flags, k Key, sign, seal string) side {
	size := 5 // 40 bit
	switch {
	case f&Key128 != 0:
		size = 16
	case f&Key56 != 0:
		size = 7
	}
	s := side{
		sign: md5.Sum(append(append([]byte(nil), k[:]...), sign...)),
		seal: md5.Sum(append(append([]byte(nil), k[:size]...), seal...)),
	}
	s.mac = hmac.New(md5.New, s.sign[:])
	if f&KeyExchange != 0 {
		key := md5.Sum(append(append([]byte(nil), s.seal[:]...), sequence[:]...))
		stream := rc4Once(key[:], make([]byte, len(s.mask)))
		copy(s.mask[:], stream[:])
	}
	return s
}

// sequence is SIPSequence as it stands in text and signature.
var sequence = [4]byte{SIPSequence}

// Sign returns the signature of text with the sequence number of SIP.
func (s *Session) Sign(text []byte) [SignatureSize]byte { return s.out.signature(text) }

// Verify reports whether sig is the other side's signature of text. Its time
// does not depend on where the difference is.
func (s *Session) Verify(text, sig []byte) bool {
	want := s.in.signature(text)
	return subtle.ConstantTimeCompare(want[:], sig) == 1
}

// signature is MAC of [MS-NLMP] 3.4.4.2 with RC4 started anew per message, as
// 3.4.4 wants for datagrams.
func (s *side) signature(text []byte) (sig [SignatureSize]byte) {
	s.mac.Reset()
	s.mac.Write(sequence[:])
	s.mac.Write(text)
	s.sum = s.mac.Sum(s.sum[:0])
	sig[0] = 1
	subtle.XORBytes(sig[4:12], s.sum[:8], s.mask[:])
	copy(sig[12:], sequence[:])
	return sig
}
