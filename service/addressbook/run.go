package addressbook

import (
	"context"
	"os"
	"time"

	"trivet/wire/absfile"
)

// look is how often it is looked whether files are due; settings may change at any
// time.
const look = 5 * time.Second

// pause is the time between a run that failed and the next.
const pause = time.Minute

// Run makes address book files until ctx ends: a full one each day, delta files when
// something changed. A run that was missed is made up for.
func (s *Service) Run(ctx context.Context) error {
	t := s.cfg.Clock.NewTicker(look)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
		}
		if err := s.due(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("address book files could not be made", "err", err)
		}
	}
}

// due makes what is due now.
func (s *Service) due(ctx context.Context) error {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	set, now := s.cfg.Files(), s.cfg.Clock.Now()
	if now.Before(s.files.later) {
		return nil
	}
	if s.fullDue(set, now) {
		_, err := s.update(ctx)
		if err != nil {
			s.files.later = now.Add(pause)
		}
		return err
	}
	if now.Sub(s.files.polled) < set.SynchronizePollingInterval {
		return nil
	}
	return s.poll(ctx)
}

// fullDue reports whether the day's full file is still to be made: its time has come
// and it was not made since. The very first one is always due.
func (s *Service) fullDue(set FileSettings, now time.Time) bool {
	y, m, d := now.Local().Date()
	at := time.Date(y, m, d, 0, 0, 0, 0, now.Local().Location()).Add(set.RunTimeOfDay)
	if now.Before(at) {
		for _, n := range s.stored() {
			if n.Full {
				return false
			}
		}
		return true
	}
	info, err := os.Stat(s.path(absfile.Name{Full: true, Day: localDay(now)}))
	return err != nil || info.ModTime().Before(at)
}
