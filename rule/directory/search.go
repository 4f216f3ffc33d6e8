package directory

import (
	"time"

	"trivet/uc"
)

// Search asks for groups whose attributes have words with given beginnings. All
// terms have to fit. Case, accents and punctuation do not matter. Groups that are
// hidden from address lists are never found.
type Search struct {
	Terms []Term
	Limit int // at most so many; 1 to MaxResults
}

// Term is one condition of a Search: every word of Text begins a word of the
// attribute. An address with an @ is compared as a whole from its beginning. A term
// without a letter or digit fits every group; a search of nothing else finds none.
type Term struct {
	Attribute Attribute // AnyAttribute: each word may begin a word of any of them
	Text      string
}

// Attribute is what a Term looks at.
type Attribute uint8

// Attributes that can be searched.
const (
	AnyAttribute Attribute = iota
	DisplayName
	Mail
	Alias
	SipAddress
)

// Limits of a Search.
const (
	MaxResults = 1000
	MaxTerms   = 16
)

// Changes are what happened to the directory since a time: users and groups as
// they are now, and who is gone.
type Changes struct {
	Users  []User
	Groups []Group
	Gone   []Gone
}

// Gone is a user or group that was deleted.
type Gone struct {
	GUID       string
	SipAddress uc.UserURI
	Mail       string
	Group      bool
	When       time.Time
}
