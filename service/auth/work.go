package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"trivet/fault"
	"trivet/kit/turn"
)

// work does the costly hashing: as many at once as there are cores, a bounded
// number waiting, the rest turned away.
type work struct {
	cores *turn.Queue
	decoy string // hash of nothing anybody knows
}

// cost of a hash, RFC 9106 4 (second recommendation, one lane).
type cost struct {
	memory, time uint32
	threads      uint8
}

var present = cost{64 << 10, 3, 1}

const (
	saltSize = 16
	hashSize = 32
)

func newWork() *work {
	salt, sum := make([]byte, saltSize), make([]byte, hashSize)
	rand.Read(salt)
	rand.Read(sum)
	return &work{cores: turn.New(runtime.GOMAXPROCS(0), "auth.work", "too many sign-ins at once; try again soon"), decoy: present.format(salt, sum)}
}

func (c cost) format(salt, sum []byte) string {
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, e.EncodeToString(salt), e.EncodeToString(sum))
}

// parsePHC reads a hash in PHC form with costs that this machine can bear.
func parsePHC(s string) (c cost, salt, sum []byte, err error) {
	bad := fault.New(fault.Internal, "auth.parsePHC", "a stored password hash has an unknown form")
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, bad
	}
	if n, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.threads); n != 3 || err != nil {
		return c, nil, nil, bad
	}
	if c.memory < 8<<10 || c.memory > 256<<10 || c.time < 1 || c.time > 16 || c.threads < 1 || c.threads > 16 {
		return c, nil, nil, bad
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(part[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(part[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(sum) < 16 || len(sum) > 64 {
		return c, nil, nil, bad
	}
	return c, salt, sum, nil
}

// hash makes the PHC string of a new password.
func (w *work) hash(ctx context.Context, password string) (string, error) {
	if err := w.cores.Enter(ctx); err != nil {
		return "", err
	}
	defer w.cores.Leave()
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return present.format(salt, argon2.IDKey([]byte(password), salt, present.time, present.memory, present.threads, hashSize)), nil
}

// check compares a password with a PHC string; an empty one never fits and costs
// the same.
func (w *work) check(ctx context.Context, phc, password string) (bool, error) {
	known := phc != ""
	if !known {
		phc = w.decoy
	}
	c, salt, want, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	if err := w.cores.Enter(ctx); err != nil {
		return false, err
	}
	defer w.cores.Leave()
	got := argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}
