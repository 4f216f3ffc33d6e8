package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/wire/ntlm"
)

// vault seals small secrets with AES-256-GCM. What a secret is and whose is bound
// to it, so that a blob moved to another row or column does not open.
type vault struct{ aead cipher.AEAD }

const sealed1 = 1 // first byte of a blob: version

func newVault(key []byte) (*vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fault.Wrap("auth.newVault", err)
	}
	aead, err := cipher.NewGCM(block)
	return &vault{aead}, fault.Wrap("auth.newVault", err)
}

// seal returns version, nonce, ciphertext.
func (v *vault) seal(what, whose string, plain []byte) []byte {
	b := make([]byte, 1+v.aead.NonceSize(), 1+v.aead.NonceSize()+len(plain)+v.aead.Overhead())
	b[0] = sealed1
	rand.Read(b[1:])
	return v.aead.Seal(b, b[1:], plain, bound(what, whose))
}

func bound(what, whose string) []byte { return []byte("trivet " + what + "\x00" + whose) }

func (v *vault) open(what, whose string, blob []byte) ([]byte, error) {
	const op = "auth.unseal"
	n := 1 + v.aead.NonceSize()
	if len(blob) < n+v.aead.Overhead() || blob[0] != sealed1 {
		return nil, fault.New(fault.Internal, op, "a sealed secret has an unknown form").About(whose)
	}
	plain, err := v.aead.Open(nil, blob[1:n], blob[n:], bound(what, whose))
	if err != nil {
		return nil, fault.New(fault.Internal, op, "a sealed secret does not open: the key file is not the one it was sealed with").About(whose)
	}
	return plain, nil
}

// The three sealed columns of users.Secrets.
const (
	ntSecret     = "nt"
	sha256Secret = "ha1-sha-256"
	md5Secret    = "ha1-md5"
)

// MakeSecrets computes the credential set of a password, ready for the database:
// Argon2id (RFC 9106), the NT hash ([MS-NLMP] 3.3.2), and the HA1s of Digest (RFC
// 7616, SHA-256 and MD5) for each name the user may sign in by. A new name of the
// user gets its HA1 with the next password. fault.Invalid for a password that may
// not be set, fault.Overload when too many wait.
func (s *Service) MakeSecrets(ctx context.Context, u *directory.User, password string) (users.Secrets, error) {
	const op = "auth.MakeSecrets"
	var c users.Secrets
	if u.GUID == "" {
		return c, fault.New(fault.Internal, op, "credentials are sealed for a user with a GUID")
	}
	if err := directory.CheckPassword(u, password); err != nil {
		return c, fault.Wrap(op, err)
	}
	phc, err := s.work.hash(ctx, password)
	if err != nil {
		return c, fault.Wrap(op, err)
	}
	c = s.SIPSecrets(u, password)
	c.Argon2id = phc
	return c, nil
}

// SIPSecrets computes what NTLM and Digest need and leaves Argon2id out: for many
// users at once, since it costs microseconds. A password that comes in clear is
// then compared with the sealed NT hash. The password is not checked.
func (s *Service) SIPSecrets(u *directory.User, password string) (c users.Secrets) {
	nt := ntlm.NewHash(password)
	c.NTHash = s.vault.seal(ntSecret, u.GUID, nt[:])
	var strong, weak []byte
	for _, login := range logins(u) {
		text := []byte(login + ":" + s.cfg.Realm + ":" + password)
		h1, h2 := sha256.Sum256(text), md5.Sum(text)
		strong = appendHA1(strong, login, h1[:])
		weak = appendHA1(weak, login, h2[:])
	}
	c.HA1SHA256 = s.vault.seal(sha256Secret, u.GUID, strong)
	c.HA1MD5 = s.vault.seal(md5Secret, u.GUID, weak)
	return c
}

// logins lists the names by which a SIP client may call its user.
func logins(u *directory.User) []string {
	var out []string
	for _, name := range []string{u.SipAddress.Bare(), u.SipAddress.User(), u.UserPrincipalName, u.SamAccountName} {
		if name != "" && len(name) < 256 && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// appendHA1 adds an entry: length of the login, login, hash.
func appendHA1(b []byte, login string, hash []byte) []byte {
	b = append(b, byte(len(login)))
	b = append(b, login...)
	return append(b, hash...)
}

// findHA1 returns the hash for the login as lower case hex, "" if there is none.
func findHA1(b []byte, login string, size int) string {
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < 1+n+size {
			return ""
		}
		if string(b[1:1+n]) == login {
			return hex.EncodeToString(b[1+n : 1+n+size])
		}
		b = b[1+n+size:]
	}
	return ""
}
