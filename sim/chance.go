package sim

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	mathrand "math/rand/v2"
	"time"
)

// chance is all chance of a run.
type chance struct{ *mathrand.Rand }

func newChance(seed uint64) chance {
	return chance{mathrand.New(mathrand.NewPCG(seed, 0x747269766574))}
}

// percent is true in so many of a hundred cases.
func (c chance) percent(n int) bool { return c.IntN(100) < n }

// between is a time from a up to b.
func (c chance) between(a, b time.Duration) time.Duration {
	return a + time.Duration(c.Int64N(int64(b-a)+1))
}

// pick is one of a list that is not empty.
func pick[T any](c chance, list []T) T { return list[c.IntN(len(list))] }

// Read implements io.Reader, for crypto/rand.
func (c chance) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], c.Uint64())
		copy(b[i:], word[:])
	}
	return len(b), nil
}

// replaceRandom has the process draw its chance from here, until the function returned is
// called.
func replaceRandom(r io.Reader) (restore func()) {
	was := rand.Reader
	rand.Reader = r
	return func() { rand.Reader = was }
}
