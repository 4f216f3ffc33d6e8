// Package dirsync decides what a directory that users and groups come from asks
// of the users and groups that are kept here. Entries of the directory become
// people and teams by a Mapping; Make compares them with what is stored and
// gives a Plan: what to create, change, disable, enable again and delete, what
// cannot be done, and whether the plan is within its budget. Nothing is applied
// here. Attributes are those of RFC 4519, RFC 2798 and Active Directory
// ([MS-ADA1] to [MS-ADA3]).
//
// It is pure: the same input gives the same plan with the same identifier. All
// values may be read from several goroutines.
package dirsync

import (
	"strings"
	"time"

	"trivet/rule/directory"
)

// Entry is an entry as the directory sent it. Names of attributes are lower case
// and without options.
type Entry struct {
	DN         string
	Attributes map[string][][]byte
	Origin     string // URL of the server another one referred to; "" = a server of the source
}

// first returns the first value of an attribute as text, "" for none.
func (e Entry) first(attribute string) string {
	for _, v := range e.Attributes[strings.ToLower(attribute)] {
		if s := clean(v); s != "" {
			return s
		}
	}
	return ""
}

// Reason says why somebody may not sign in; "" for one who may.
type Reason string

// The reasons.
const (
	Disabled Reason = "disabled in the directory"
	Expired  Reason = "expired in the directory"
	Missing  Reason = "missing in the directory"
)

// Person is an entry that stands for a user.
type Person struct {
	ID     string // stable identifier in the directory
	DN     string
	Origin string
	Stamp  string // when the entry changed, in the directory's words; "" = it does not say

	// User has Source, SourceID, the address and the mapped properties, and no
	// GUID. SipAddress is "" for one who has none of ours.
	User     directory.User
	Off      Reason
	Manager  string // DNKey of the manager, "" for none
	Problems []string
}

// Team is an entry that stands for a group.
type Team struct {
	ID      string
	DN      string
	Group   directory.Group // without GUID
	Members []string        // DNKeys
}

// Known is what a synchronisation remembers of a user of a source.
type Known struct {
	ID     string
	GUID   string
	DN     string
	Origin string
	// Disabled says why the synchronisation disabled the user; "" when it did not,
	// or when an administrator decided about the user since.
	Disabled Reason
	Since    time.Time // of Disabled
	Missing  time.Time // since when the entry is gone, zero while it is there
	Removed  bool      // an administrator deleted the user here: it is not made again
	Stamp    string    // Stamp of the entry whose photo was read last
	Photo    string    // hash of the photo that the synchronisation stored
}
