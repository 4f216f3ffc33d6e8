// Package addressbook finds people: the directory search of SIP (a SERVICE with
// directorySearch), the address book web query and the expansion of distribution
// groups ([MS-DLX]), photos, and the address book files that clients download
// ([MS-ABS]).
//
// It keeps the searchable properties of everybody in memory, in order, so that a
// search costs what it finds. The directory tells it of every change; who is hidden
// there is never found here. A Service is safe for concurrent use.
package addressbook

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sync/semaphore"

	"trivet/kit/clock"
	"trivet/rule/directory"
	"trivet/rule/finder"
	"trivet/rule/phonenorm"
	"trivet/uc"
)

// Rights are what a user may do with the address book.
type Rights struct {
	Search bool // over SIP and the web
	Files  bool // download address book files
	Photos bool // see photos
	Groups int  // most members of a group that is expanded; 0: none is
}

// Directory is what is not kept here; store/users is one. fault.NotFound for what
// does not exist.
type Directory interface {
	Photo(ctx context.Context, guid string) (directory.Photo, error)
	// Expand returns a group, by mail or SIP address, with at most limit of its
	// direct members.
	Expand(ctx context.Context, address string, limit int) (directory.Expansion, error)
	// SearchGroups finds the groups that are not hidden.
	SearchGroups(ctx context.Context, q directory.Search) ([]directory.Group, bool, error)
	// ListGroups returns all groups for "" and 0.
	ListGroups(ctx context.Context, pattern string, limit int) ([]directory.Group, error)
}

// Config makes a Service.
type Config struct {
	Directory Directory
	// Rights answers what the policies of a user allow; nil: everything.
	Rights func(user uc.UserURI) Rights
	Server string // FQDN, the source of diagnostics
	// Folder is where the address book files are; Files says how they are made, nil:
	// as the product's defaults have it. Rules are the company's rules for telephone
	// numbers and what is wrong with others, asked each time; nil: none.
	Folder string
	Files  func() FileSettings
	Rules  func() (phonenorm.Rules, []error)
	Clock  clock.Clock
	Log    *slog.Logger
}

// Service is the address book of one server.
type Service struct {
	cfg       Config
	brake     brake
	expanding *semaphore.Weighted
	sizes     photoSizes
	files     files

	mu      sync.RWMutex // guards the fields below
	people  *finder.Index[*directory.User]
	changes uint64 // how many there were
}

// New makes a Service that knows nobody yet.
func New(cfg Config) *Service {
	if cfg.Rights == nil {
		cfg.Rights = func(uc.UserURI) Rights { return Rights{true, true, true, 100} }
	}
	if cfg.Files == nil {
		cfg.Files = defaultFiles
	}
	if cfg.Rules == nil {
		cfg.Rules = func() (phonenorm.Rules, []error) { return nil, nil }
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		cfg: cfg, brake: newBrake(), expanding: semaphore.NewWeighted(maxExpanding), sizes: newPhotoSizes(),
		people: finder.New[*directory.User](len(attributes), named),
	}
}

// Changed takes a change of the directory: was is nil for somebody new, is for
// somebody gone. The values must not change afterwards.
func (s *Service) Changed(was, is *directory.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	if was != nil && (is == nil || is.GUID != was.GUID || !listed(is)) {
		s.people.Remove(was.GUID)
	}
	if is != nil && listed(is) {
		s.people.Put(is.GUID, is, texts(is))
	}
}

// listed reports whether others may find the user: not hidden, and there is some
// way to reach him.
func listed(u *directory.User) bool {
	return !u.HideFromAddressLists && (reachable(u) || u.WindowsEmailAddress != "" || u.Phone != "" || u.MobilePhone != "")
}

// reachable reports whether the user can be called and written to here.
func reachable(u *directory.User) bool { return u.SipAddress != "" && u.Enabled }
