package dirsync

import (
	"context"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
)

// What an administrator decides about a user here is kept: it is not the
// synchronisation's to enable whom an administrator disabled, nor to make somebody
// again whom an administrator deleted.

// Decide runs a change of users that an administrator makes. It returns about whom
// the change says that they may or may not sign in: that holds, whatever the
// directory says, until the directory disables them anew.
func (s *Service) Decide(ctx context.Context, change func() (about []directory.User, err error)) error {
	s.deciding.Lock()
	defer s.deciding.Unlock()
	about, err := change()
	for i := 0; err == nil && i < len(about); i++ {
		err = s.decided(ctx, &about[i])
	}
	return err
}

func (s *Service) decided(ctx context.Context, u *directory.User) error {
	if u.Source == "" {
		return nil
	}
	k, err := s.cfg.State.Get(ctx, u.Source, u.SourceID)
	if err != nil || k.ID == "" || k.Disabled == "" {
		return err
	}
	k.Disabled, k.Since = "", time.Time{}
	return s.cfg.State.Put(ctx, u.Source, k)
}

// Deleted notes that an administrator deletes u, before it is done: the entry in the
// directory makes nobody again.
func (s *Service) Deleted(ctx context.Context, u directory.User) error {
	if u.Source == "" {
		return nil
	}
	k, err := s.cfg.State.Get(ctx, u.Source, u.SourceID)
	if err != nil {
		return err
	}
	k.ID, k.GUID, k.Removed, k.Disabled, k.Since, k.Stamp, k.Photo = u.SourceID, u.GUID, true, "", time.Time{}, "", ""
	return s.cfg.State.Put(ctx, u.Source, k)
}

// Removed lists the names of the entries of a source whose users an administrator
// deleted.
func (s *Service) Removed(ctx context.Context, name string) ([]string, error) {
	all, err := s.cfg.State.All(ctx, name)
	var list []string
	for _, k := range all {
		if k.Removed {
			list = append(list, or(k.DN, k.ID))
		}
	}
	slices.Sort(list)
	return list, err
}

// Readmit lets the next run make users again that an administrator deleted: those
// of the entries that go by the name, identifier or GUID, all of them for "*".
func (s *Service) Readmit(ctx context.Context, name, identity string) (int, error) {
	list, err := s.named(name)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, x := range list {
		all, err := s.cfg.State.All(ctx, x.Name)
		if err != nil {
			return n, err
		}
		for _, k := range all {
			if k.Removed && goesBy(k, identity) {
				if err := s.cfg.State.Forget(ctx, x.Name, k.ID); err != nil {
					return n, err
				}
				n++
			}
		}
	}
	if n == 0 {
		return 0, fault.Newf(fault.NotFound, "dirsync.Readmit", "nobody who was deleted here goes by %q; Get-CsDirectorySyncState lists them as DeletedHere", clip(identity)).About("Readmit")
	}
	return n, nil
}

func goesBy(k dirsync.Known, identity string) bool {
	key := dirsync.DNKey(identity)
	return identity == "*" || strings.EqualFold(k.ID, identity) || strings.EqualFold(k.GUID, identity) || key != "" && key == dirsync.DNKey(k.DN)
}
