// Package central is the Central Management Store: the configuration of the
// deployment as documents, one for each instance of a kind. Policies are the first
// of them; what a document means is the business of its kind. Store is the
// interface, with SQLite (Standard Edition) as its implementation; every engine
// passes the suite in test/storetest. Policies is the view that services read.
//
// Every change has a number, the version of the store, and stays with its time,
// its author, the old and the new content. A method that changes something returns
// after it is on disk. Changes happen one after the other. All methods are safe
// for concurrent use.
package central

import (
	"context"
	"time"
)

// Document is one item of the configuration. Kind and Identity name it, in any
// case.
type Document struct {
	Kind     string // "CsPresencePolicy"
	Identity string // "Global", "Tag:Bots"
	Content  []byte // JSON
	Version  uint64 // of the store, when it was changed last
	Changed  time.Time
	By       string
}

// Change is what happened to one document: Old is nil for a new one, New for a
// removed one.
type Change struct {
	Version        uint64
	At             time.Time
	By             string
	Kind, Identity string
	Old, New       []byte
}

// Limits of a document, in bytes.
const (
	MaxContent = 1 << 20
	MaxName    = 256 // of Kind and of Identity
)

// Store keeps documents. Failures are fault.NotFound, fault.Invalid,
// fault.Unavailable and fault.Timeout.
type Store interface {
	// List returns the documents of a kind, of all kinds if it is "", by kind and
	// identity.
	List(ctx context.Context, kind string) ([]Document, error)
	// Change lets change make the new content of a document, in a transaction: it
	// gets the old one, nil if there is none, and returns the new one, nil to
	// remove it. What does not differ is no change. A failure of change is
	// returned as it is and nothing is stored. The result is the document as it is
	// now; of a removed one, without Content.
	Change(ctx context.Context, by, kind, identity string, change func(old []byte) ([]byte, error)) (Document, error)
	// Version is the number of the last change, 0 before the first.
	Version(ctx context.Context) (uint64, error)
	// Changes returns at most limit changes with numbers above after, in order.
	Changes(ctx context.Context, after uint64, limit int) ([]Change, error)
	// History returns at most limit changes of one document, the newest first.
	History(ctx context.Context, kind, identity string, limit int) ([]Change, error)

	// OnChange has f called after each committed change, in the order of the
	// commits, before the changing method returns. f may not use the store and may
	// not block. Register before the store is shared.
	OnChange(f func(Change))
	// Check reports whether the database answers.
	Check(ctx context.Context) error
	Close() error
}
