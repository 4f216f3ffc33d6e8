package sipauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"trivet/uc"
	"trivet/wire/ntlm"
)

// Account is what sign-in needs to know of a user. Secrets that the user does
// not have are empty.
type Account struct {
	User      uc.UserURI
	HasNTHash bool
	NTHash    ntlm.Hash
	HA1SHA256 string // lower case hex of SHA-256(login:realm:password) for the login asked with
	HA1MD5    string // lower case hex of MD5(login:realm:password)
}

// Accounts finds users. The By… methods answer fault.NotFound for nobody and
// other kinds only when they could not look. They do not judge whether the user
// may sign in; Gate does, for every method. Answering for nobody should take as
// long as for somebody.
type Accounts interface {
	// ByLogin takes what a person types: "alice@example.test", "EXAMPLE\alice", "alice".
	ByLogin(ctx context.Context, login string) (Account, error)
	// ByPrincipal takes a Kerberos client principal, "alice@EXAMPLE.TEST".
	ByPrincipal(ctx context.Context, principal string) (Account, error)
	// ByCertificate takes the SHA-256 of the SubjectPublicKeyInfo of a
	// certificate that was issued to the user and is not revoked.
	ByCertificate(ctx context.Context, key [32]byte) (Account, error)
	// Gate returns an error when the user may not sign in now.
	Gate(ctx context.Context, user uc.UserURI) error
}

// decoy makes the secrets of users that do not exist, so that refusing them
// costs the same work. The secrets change with every start.
type decoy struct{ key []byte }

func newDecoy() decoy { return decoy{randomBytes(32)} }

func (d decoy) sum(login string) []byte {
	m := hmac.New(sha256.New, d.key)
	m.Write([]byte(login))
	return m.Sum(nil)
}

// fill gives an account the secrets it lacks. known tells whether the account
// had the ones of the method asked for.
func (d decoy) fill(login string, acc Account) Account {
	s := d.sum(login)
	if !acc.HasNTHash {
		copy(acc.NTHash[:], s)
	}
	if acc.HA1SHA256 == "" {
		acc.HA1SHA256 = hex.EncodeToString(s)
	}
	if acc.HA1MD5 == "" {
		acc.HA1MD5 = hex.EncodeToString(s[:16])
	}
	return acc
}
