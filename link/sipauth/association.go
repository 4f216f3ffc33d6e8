package sipauth

import (
	"context"
	"time"

	"trivet/uc"
)

// handshake is the exchange of tokens that leads to keys. A handshake belongs to
// one connection; Step is called by one goroutine at a time.
type handshake interface {
	// step takes the client's token and returns the one to send back (nil:
	// none) and the keys once they are agreed. Errors say what is wrong with
	// the token; the client is told nothing but "again".
	step(ctx context.Context, token []byte) (reply []byte, k *keys, err error)
	// close ends what the handshake holds. It may be called at any time.
	close()
}

// keys are what a handshake ends in: who it is and how to sign.
type keys struct {
	user uc.UserURI
	mac  mac
	ends time.Time // zero: no end of their own
}

// mac signs what we send and checks what the client sends. Signatures are raw
// bytes; on the wire they are hex. sign and verify may be called at the same time,
// each by one goroutine at a time.
type mac interface {
	sign(b, text []byte) []byte // appends the signature of text to b
	verify(text, sig []byte) bool
}

// association is one security association and the way to it.
type association struct {
	scheme  scheme
	opaque  string
	realm   string
	target  string // as the client wrote it last
	version int
	device  string // epid
	began   time.Time
	hs      handshake

	*keys         // nil until agreed
	live     bool // a signature was verified and the gate was open
	renewing bool // the client may hold newer keys: do not sign with these
	ends     time.Time
	received window // cnum
	sent     uint32 // snum
	from     string // the URI in From that was found to be the user's last
}

// expired reports whether the association has come to its end. A handshake must
// be over within maxAnswer.
func (s *association) expired(now time.Time) bool {
	if !s.live {
		return now.Sub(s.began) > maxAnswer
	}
	return !now.Before(s.ends)
}

// goLive starts the life of an association whose first signature was right.
func (s *association) goLive(now time.Time) {
	s.live = true
	s.ends = now.Add(maxLife)
	if !s.keys.ends.IsZero() && s.keys.ends.Before(s.ends) {
		s.ends = s.keys.ends
	}
}
