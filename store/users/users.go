// Package users is the embedded directory's database: accounts, their sealed
// credentials and the certificates issued to their devices. Store is the
// interface, with SQLite (Standard Edition) as its implementation; every engine
// passes the suite in test/storetest.
//
// A method that changes something returns after the change is on disk. Changes
// happen one after the other; reads run beside them and see whole changes only.
// All methods are safe for concurrent use.
//
// In a pool each server has the whole file, and a log keeps the copies alike
// (kit/rowlog): a change returns after it is on a majority of the servers and in
// this one's copy, what changed is told on every server, and functions that change
// or allow something run again when another server was faster.
//
// What the blobs in Secrets mean is the business of the sign-in service; they
// arrive here sealed and are never logged.
package users

import (
	"context"
	"time"

	"trivet/rule/directory"
	"trivet/uc"
)

// User is one account.
type User = directory.User

// Secrets are what sign-in needs of one user. Blobs are sealed by the caller
// with a key that is not in the database; nil = the method is not possible.
type Secrets struct {
	Argon2id  string // PHC string
	NTHash    []byte
	HA1SHA256 []byte
	HA1MD5    []byte
	Changed   time.Time // set by the store
}

// New is a user to create. GUID and times are the store's to give; a GUID that
// is set is kept (import).
type New struct {
	User    User
	Secrets Secrets
}

// Query selects users. The zero Query selects all.
type Query struct {
	Pattern string // with * and ?, compared with the identities of directory.User.Identities
	Filter  directory.Filter
	Limit   int // at most so many; 0 = all
}

// Change is what happened to one user: Old is nil for a new one, New for a
// deleted one. Password is true when the secrets changed.
type Change struct {
	Old, New *User
	Password bool
}

// Certificate is one client certificate issued to a device of a user. The key,
// not the certificate, is what is recognised.
type Certificate struct {
	Serial  string // lower case hexadecimal, unique
	GUID    string // of the user
	Device  uc.EndpointID
	KeyHash []byte // SHA-256 of the SubjectPublicKeyInfo
	Issued  time.Time
	Expires time.Time
	Revoked time.Time // zero = not revoked
}

// Store keeps users. Failures are fault.NotFound, fault.Exists (Subject = the
// property that is taken), fault.Invalid (Subject = the property that is wrong,
// or the identity that is ambiguous) and fault.Unavailable.
type Store interface {
	// ByAddress returns the user with that SIP address.
	ByAddress(ctx context.Context, a uc.UserURI) (User, error)
	// ByGUID returns the user with that GUID.
	ByGUID(ctx context.Context, guid string) (User, error)
	// Find returns the one user that goes by identity: SIP address (with or
	// without "sip:"), UPN, account name, GUID or display name, tried in this
	// order, in any case. "DOMAIN\name" is the account name. A name that is the
	// address of one and the UPN of another is fault.Invalid.
	Find(ctx context.Context, identity string) (User, error)
	// ByLogin returns the user who signs in by name: SIP address (with or without
	// "sip:"), UPN or account name, in any case. A name that is the address of one
	// user and the UPN of another is nobody's. It does the same work for a name
	// that nobody has.
	ByLogin(ctx context.Context, name string) (User, error)
	// BySource returns the user that a directory source knows by id.
	BySource(ctx context.Context, source, id string) (User, error)
	// Reports returns those whose manager the user is, by display name, at most
	// limit; 0 = all.
	Reports(ctx context.Context, guid string, limit int) ([]User, error)
	// List returns the users that q selects, by display name, then GUID.
	List(ctx context.Context, q Query) ([]User, error)
	// Secrets returns the credentials of a user.
	Secrets(ctx context.Context, guid string) (Secrets, error)

	// Create adds all of list or, on any fault, none. It gives a SIP address
	// without a routing group the group with the fewest users.
	Create(ctx context.Context, list ...New) ([]User, error)
	// Update lets change edit the stored user in a transaction and returns what
	// was stored. GUID and times cannot be changed. A failure of change is
	// returned as it is and nothing is stored; in a pool change may run several
	// times, the last one counts. Users whose manager changes SIP
	// address or is deleted are changed too, and told.
	Update(ctx context.Context, guid string, change func(*User) error) (User, error)
	// Batch makes many changes in one transaction, in their order, and returns
	// what became of each. The error is that of the database alone.
	Batch(ctx context.Context, mode BatchMode, list []Write) ([]Outcome, error)
	// Renames lists the changes of SIP addresses by Update that Renamed has not
	// been told of, the first one first. A user whose address changes stays in the
	// routing group.
	Renames(ctx context.Context) ([]Rename, error)
	// Renamed notes that the routing group has followed the first such change.
	Renamed(ctx context.Context, r Rename) error
	// SetSecrets replaces the credentials of a user.
	SetSecrets(ctx context.Context, guid string, s Secrets) error
	// Delete removes a user with credentials, certificates and photo, and takes it
	// out of groups.
	Delete(ctx context.Context, guid string) error
	// DeleteIf is Delete of a user about whom allow, in the transaction, returns no
	// failure; that one is returned otherwise.
	DeleteIf(ctx context.Context, guid string, allow func(*User) error) error

	// AddCertificate records an issued certificate. It replaces one that the same
	// user had for the same key; a key of another user is fault.Forbidden.
	AddCertificate(ctx context.Context, c Certificate) error
	// CertificateByKey returns the certificate for a key, revoked or not.
	CertificateByKey(ctx context.Context, keyHash []byte) (Certificate, error)
	// Certificates returns a user's certificates, the newest first.
	Certificates(ctx context.Context, guid string) ([]Certificate, error)
	// Revoke revokes the user's certificate with that serial number, all of them
	// when serial is empty, and returns those that it revoked now.
	Revoke(ctx context.Context, guid, serial string) ([]Certificate, error)
	// PurgeCertificates forgets those that expired before t.
	PurgeCertificates(ctx context.Context, t time.Time) (int, error)

	Groups
	Photos
	AddressLists

	// OnChange has f called after each committed change, in the order of the
	// commits, before the changing method returns. f may read from the store,
	// not write to it, and may not block. Register before the store is shared.
	OnChange(f func(Change))
	// OnRevoke is OnChange for certificates that Revoke revoked.
	OnRevoke(f func([]Certificate))
	// Check reports whether the database answers.
	Check(ctx context.Context) error
	Close() error
}
