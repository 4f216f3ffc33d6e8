package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// space watches the disk of the data folder. Below MinFreeBytes proposals are
// refused; should a write meet a full disk nevertheless, the reserve file is given
// up so that what is under way (and a restart) can be finished. Once there is room
// again the reserve is made anew and proposals are taken.
type space struct {
	cfg     *Config
	fs      vfs.FS
	reserve string
	log     *slog.Logger
	full    atomic.Bool

	mu sync.Mutex // serialises what is done to the reserve file
}

func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func newSpace(cfg *Config) *space {
	s := &space{cfg: cfg, fs: cfg.FS, reserve: cfg.FS.PathJoin(cfg.Dir, "reserve"), log: cfg.Log}
	if free, known := s.free(); known && free < cfg.MinFreeBytes {
		s.refuse("little space is left", free)
	}
	return s
}

func (s *space) free() (bytes uint64, known bool) {
	u, err := s.fs.GetDiskUsage(s.cfg.Dir)
	return u.AvailBytes, err == nil
}

// Room is how many bytes can still be written before changes are refused; known is
// false where the disk does not say.
func (h *Host) Room() (bytes uint64, known bool) {
	free, known := h.space.free()
	return free - min(free, h.cfg.MinFreeBytes), known
}

func (s *space) refuse(why string, free uint64) {
	if !s.full.Swap(true) {
		s.log.Error("disk full: changes are refused until space is freed", "dir", s.cfg.Dir, "why", why, "free", free)
	}
}

// exhausted is called by the file system below the store when a write found no
// room; the write is tried again afterwards.
func (s *space) exhausted() {
	s.refuse("a write found no room, the reserve is used up", 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fs.Remove(s.reserve); err != nil {
		s.log.Warn("the reserve file cannot be given up", "file", s.reserve, "err", err)
	}
}

func (s *space) watch(ctx context.Context) error {
	t := s.cfg.Clock.NewTicker(s.cfg.SpaceInterval)
	defer t.Stop()
	for {
		s.look()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
		}
	}
}

func (s *space) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, known := s.free()
	if known && free < s.cfg.MinFreeBytes {
		s.refuse("little space is left", free)
		return
	}
	missing := s.missing()
	if known && free < s.cfg.MinFreeBytes+uint64(missing) {
		return // as it was: room to go on, not enough for a new reserve
	}
	if missing > 0 {
		if err := s.fill(missing); err != nil {
			if noSpace(err) {
				s.refuse("no room for the reserve file", free)
			} else {
				s.log.Warn("the reserve file cannot be written", "file", s.reserve, "err", err)
			}
			return
		}
	}
	if s.full.Swap(false) {
		s.log.Info("there is space on the disk again: changes are taken", "dir", s.cfg.Dir)
	}
}

// missing is the size the reserve file should have when it lacks it.
func (s *space) missing() int64 {
	if s.cfg.ReserveBytes < 0 {
		return 0
	}
	if fi, err := s.fs.Stat(s.reserve); err == nil && fi.Size() >= s.cfg.ReserveBytes {
		return 0
	}
	return s.cfg.ReserveBytes
}

// fill writes the reserve file: real bytes, since not every file system keeps
// promises about space.
func (s *space) fill(n int64) error {
	f, err := s.fs.Create(s.reserve, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	block := make([]byte, min(n, 1<<20))
	for n > 0 && err == nil {
		part := block[:min(n, int64(len(block)))]
		clear(part) // Write may change what it is given
		_, err = f.Write(part)
		n -= int64(len(part))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, s.fs.Remove(s.reserve))
	}
	return nil
}
