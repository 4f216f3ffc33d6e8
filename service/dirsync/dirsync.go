// Package dirsync keeps users and groups as LDAP directories have them: it reads
// each source of the settings on a schedule, has rule/dirsync make a plan of the
// difference, and applies the plan when it is within its budget. A plan that is
// over its budget waits until an administrator approves it by its name; until then
// nothing of it is done. What cannot be read whole is a failure and changes
// nothing. The protocol is LDAP (RFC 4511) with paged results (RFC 2696).
//
// It also proves passwords of the users it brought, by a simple bind as their
// entries (RFC 4513 5.1.3) on the same servers: Service is the External of
// service/auth.
//
// A Service may be used from any goroutine. One run of a source is made at a time;
// sources do not wait for each other. It starts
// goroutines in the life.Group it is given.
package dirsync

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/semaphore"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/conf"
	"trivet/kit/life"
	"trivet/kit/metric"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/store/syncstate"
	"trivet/store/users"
)

// Directory is where users and groups are kept; store/users is one.
type Directory interface {
	List(ctx context.Context, q users.Query) ([]directory.User, error)
	Batch(ctx context.Context, mode users.BatchMode, list []users.Write) ([]users.Outcome, error)
	DeleteIf(ctx context.Context, guid string, allow func(*users.User) error) error
	SetPhoto(ctx context.Context, guid string, data []byte) (directory.Photo, error)
	RemovePhoto(ctx context.Context, guid string) error

	ListGroups(ctx context.Context, pattern string, limit int) ([]directory.Group, error)
	CreateGroup(ctx context.Context, g directory.Group, members ...directory.Member) (directory.Group, error)
	UpdateGroup(ctx context.Context, guid string, change func(*directory.Group) error) (directory.Group, error)
	DeleteGroup(ctx context.Context, guid string) error
	SetMembers(ctx context.Context, guid string, list ...directory.Member) (int, error)
	Expand(ctx context.Context, address string, limit int) (directory.Expansion, error)
}

// Config makes a Service.
type Config struct {
	Sources []conf.DirectorySource
	Folder  string   // files of the settings are relative to it
	Domains []string // SIP domains served here

	Users   Directory
	State   *syncstate.Store
	Home    func(u *directory.User)     // gives a new user pool and rights
	Settled func(context.Context) error // waits until what hangs on users has followed; nil: nothing does
	// Turn reports whether this server of a pool is the one that synchronises on schedule
	// just now; nil: it is.
	Turn func() bool

	Life    *life.Group
	Clock   clock.Clock
	Log     *slog.Logger
	Metrics *metric.Registry // nil: none
}

// Service synchronises with all sources.
type Service struct {
	cfg     Config
	sources []*source
	counted counters
	door    door

	deciding sync.Mutex // held while it is decided whether a user may sign in

	mu     sync.Mutex // guards states
	states map[string]*dirsync.State
}

// source is one directory.
type source struct {
	conf.DirectorySource
	folder   string
	mapping  *dirsync.Mapping
	sessions tls.ClientSessionCache
	turn     *semaphore.Weighted // one run at a time
	longest  time.Duration       // for the answer of one server
}

func (x *source) file(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(x.folder, name)
}

// New makes a Service. fault.Invalid says which setting of which source is wrong.
func New(ctx context.Context, cfg Config) (*Service, error) {
	s := &Service{cfg: cfg, states: map[string]*dirsync.State{}, door: newDoor()}
	for _, c := range cfg.Sources {
		x, err := s.source(c)
		if err != nil {
			return nil, err
		}
		s.sources = append(s.sources, x)
		if s.states[c.Name], err = s.recall(ctx, c.Name); err != nil {
			return nil, err
		}
	}
	s.count()
	return s, nil
}

// source checks the settings of one source and fills in those of its kind.
func (s *Service) source(c conf.DirectorySource) (*source, error) {
	wrong := func(format string, args ...any) error {
		return fault.Newf(fault.Invalid, "dirsync.New", "directory source "+c.Name+": "+format, args...).About(c.Name)
	}
	if s.states[c.Name] != nil {
		return nil, wrong("the name is given twice; give each source its own")
	}
	x := &source{DirectorySource: c, folder: s.cfg.Folder, sessions: tls.NewLRUClientSessionCache(16), turn: semaphore.NewWeighted(1), longest: maxRead}
	people, groups := dirsync.Filters(c.Kind)
	for _, f := range []struct {
		name string
		at   *string
		std  string
	}{{"users.filter", &x.Users.Filter, people}, {"groups.filter", &x.Groups.Filter, groups}} {
		if *f.at == "" {
			*f.at = f.std
		}
		if _, err := ldap.CompileFilter(*f.at); err != nil {
			return nil, wrong("%s is no LDAP filter: %v", f.name, err)
		}
	}
	for _, list := range [][]string{x.Users.Bases, x.Groups.Bases, {x.BindDN}} {
		for _, dn := range list {
			if _, err := ldap.ParseDN(dn); err != nil {
				return nil, wrong("%q is no name of an entry: %v", dn, err)
			}
		}
	}
	if (x.BindDN == "") != (x.PasswordFile == "") {
		return nil, wrong("bind-dn and password-file need to be given together")
	}
	if x.PasswordFile != "" {
		if st, err := os.Stat(x.file(x.PasswordFile)); err == nil && st.Mode().Perm()&0o077 != 0 {
			s.cfg.Log.Warn("the password file of a directory source can be read by others; chmod 600 it", "source", c.Name, "file", x.PasswordFile)
		}
	}
	if x.TLS == "plain" && strings.Contains(strings.Join(slices.Concat(x.Servers, x.ReferralServers), " "), "ldap://") {
		s.cfg.Log.Warn("a directory source is read without TLS; passwords can be read on the wire", "source", c.Name)
	}
	var err error
	x.mapping, err = dirsync.NewMapping(c.Name, c.Kind, c.Attributes, c.SipAddress, s.cfg.Domains)
	return x, err
}

// named returns the sources that an administrator means; all for "".
func (s *Service) named(name string) ([]*source, error) {
	if name == "" {
		return s.sources, nil
	}
	var names []string
	for _, x := range s.sources {
		if strings.EqualFold(x.Name, name) {
			return []*source{x}, nil
		}
		names = append(names, x.Name)
	}
	return nil, fault.Newf(fault.NotFound, "dirsync.named", "there is no directory source %q; there are %s", name, or(strings.Join(names, ", "), "none")).About("Source")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Start begins the schedule of every source, with a run at once.
func (s *Service) Start() {
	for _, x := range s.sources {
		if x.Every > 0 {
			s.cfg.Life.Go("directory "+x.Name, func(ctx context.Context) error { return s.schedule(ctx, x) })
		}
	}
}

func (s *Service) schedule(ctx context.Context, x *source) error {
	for wait := time.Duration(0); ; {
		s.change(x, func(st *dirsync.State) { st.NextRun = s.cfg.Clock.Now().Add(wait) })
		if wait > 0 && !s.sleep(ctx, wait) {
			return nil
		}
		if s.cfg.Turn != nil && !s.cfg.Turn() {
			wait = min(x.Every, turnWait)
			continue
		}
		if _, err := s.run(ctx, x, dirsync.Options{}); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("a directory was not synchronised", "source", x.Name, "err", err)
		}
		wait = backoff(s.stateOf(x).Failures, x.Every)
	}
}

// turnWait is how long a server waits before it looks whether it has its turn.
const turnWait = 30 * time.Second

// backoff is the time to the next run after so many failures.
func backoff(failures int, every time.Duration) time.Duration {
	const first = 30 * time.Second
	if failures == 0 {
		return every
	}
	return min(every, first<<min(failures-1, 10))
}

func (s *Service) sleep(ctx context.Context, d time.Duration) bool {
	done := make(chan struct{})
	t := s.cfg.Clock.AfterFunc(d, func() { close(done) })
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-done:
		return true
	}
}
