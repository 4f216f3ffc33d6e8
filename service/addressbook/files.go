package addressbook

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"trivet/fault"
	"trivet/rule/phonenorm"
	"trivet/uc"
	"trivet/wire/absfile"
)

// FileSettings say how address book files are made, by the names of
// CsAddressBookConfiguration.
type FileSettings struct {
	RunTimeOfDay               time.Duration // after midnight, local time
	KeepDuration               int           // days
	SynchronizePollingInterval time.Duration
	MaxDeltaFileSizePercentage int
	UseNormalizationRules      bool
	IgnoreGenericRules         bool
}

func defaultFiles() FileSettings {
	return FileSettings{RunTimeOfDay: 90 * time.Minute, KeepDuration: 30, SynchronizePollingInterval: 5 * time.Minute, MaxDeltaFileSizePercentage: 20, UseNormalizationRules: true}
}

// files is the state of file making.
type files struct {
	mu     sync.Mutex // held while files are made; guards the fields below
	polled time.Time  // when changes were last looked for
	later  time.Time  // not before: the last run failed
	made   state      // what the newest files have
}

// state tells moments of the directory apart.
type state struct {
	known   bool
	changes uint64 // of people, since the start
	groups  uint64 // hash of what groups there are
}

// Made tells of files that were made.
type Made struct {
	Name     string // of the full file
	Contacts int
	Bytes    int64
	Deltas   int     // how many delta files lead to it
	Wrong    []error // rules for telephone numbers that were left out, and why
}

// Update makes the full file of today and the delta files that lead to it, at once,
// and removes those that are too old. Readers see old files or new ones, never
// parts.
func (s *Service) Update(ctx context.Context) (Made, error) {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	return s.update(ctx)
}

func (s *Service) update(ctx context.Context) (Made, error) {
	const op = "addressbook.update"
	set, now := s.cfg.Files(), s.cfg.Clock.Now()
	phones, wrong := s.phones(set)
	r, at, err := s.everybody(ctx, phones)
	if err != nil {
		return Made{}, err
	}
	if err := os.MkdirAll(s.cfg.Folder, 0o700); err != nil {
		return Made{}, fault.New(fault.Unavailable, op, "the folder of the address book files cannot be made").Because(err)
	}
	today := localDay(now)
	name := absfile.Name{Full: true, Day: today}
	made := Made{Name: name.String(), Contacts: len(r.records), Wrong: wrong}
	if made.Bytes, err = s.write(ctx, &r, name, nil, 0); err != nil {
		return Made{}, err
	}
	s.drop(absfile.Name{Base: today, Day: today})
	limit := made.Bytes * int64(set.MaxDeltaFileSizePercentage) / 100
	for _, old := range s.stored() {
		switch {
		case int(today)-int(old.Day) > set.KeepDuration:
			s.drop(old)
		case old.Full && old.Day < today:
			if n, err := s.delta(ctx, &r, old, today, limit); err != nil {
				return made, err
			} else if n > 0 {
				made.Deltas++
			}
		}
	}
	s.files.made, s.files.polled = at, now
	s.cfg.Log.Info("address book files were made", "file", made.Name, "contacts", made.Contacts, "bytes", made.Bytes, "deltas", made.Deltas)
	return made, syncFolder(s.cfg.Folder)
}

// poll makes a delta file from today's full file to what is there now, if anything
// changed. When it would be too large there is a new full file instead.
func (s *Service) poll(ctx context.Context) error {
	set, now := s.cfg.Files(), s.cfg.Clock.Now()
	s.files.polled = now
	phones, _ := s.phones(set)
	r, at, err := s.everybody(ctx, phones)
	if err != nil || at == s.files.made {
		return err
	}
	today := localDay(now)
	full := absfile.Name{Full: true, Day: today}
	info, err := os.Stat(s.path(full))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the daily run is still to come
	}
	if err != nil {
		return err
	}
	n, err := s.delta(ctx, &r, full, today, info.Size()*int64(set.MaxDeltaFileSizePercentage)/100)
	if err != nil {
		return err
	}
	if n < 0 {
		_, err = s.update(ctx)
		return err
	}
	s.files.made = at
	return syncFolder(s.cfg.Folder)
}

// phones is the normalizer for telephone numbers. Rules of the company that cannot
// be read are left out, one by one, and the log says so.
func (s *Service) phones(set FileSettings) (*phonenorm.Normalizer, []error) {
	if !set.UseNormalizationRules {
		return nil, nil
	}
	rules, wrong := s.cfg.Rules()
	for _, err := range wrong {
		s.cfg.Log.Error("a rule of the company for telephone numbers is not used", "err", err)
	}
	return phonenorm.New(rules, set.IgnoreGenericRules), wrong
}

// localDay is the day of a local date.
func localDay(t time.Time) absfile.Day {
	y, m, d := t.Local().Date()
	return absfile.DayOf(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
}

func (s *Service) path(n absfile.Name) string { return filepath.Join(s.cfg.Folder, n.String()) }

// stored are the files in the folder.
func (s *Service) stored() []absfile.Name {
	entries, err := os.ReadDir(s.cfg.Folder)
	if err != nil {
		return nil
	}
	var list []absfile.Name
	for _, e := range entries {
		if n, err := absfile.ParseName(e.Name()); err == nil && n.String() == e.Name() {
			list = append(list, n)
		}
	}
	return list
}

func (s *Service) drop(n absfile.Name) {
	if err := os.Remove(s.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Warn("an address book file could not be removed", "file", n.String(), "err", err)
	}
}

// delta writes the file that leads from a full file to the roll. It returns its
// size; 0 when nothing differs and -1 when it would be larger than limit, and then
// there is no such file.
func (s *Service) delta(ctx context.Context, r *roll, from absfile.Name, day absfile.Day, limit int64) (int64, error) {
	name := absfile.Name{Base: from.Day, Day: day}
	f, err := os.Open(s.path(from))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	old, err := absfile.NewReader(f)
	if err != nil || !slices.Equal(old.Attributes, r.header(name, "").Attributes) {
		s.cfg.Log.Warn("an old address book file cannot be compared and is passed over", "file", from.String(), "err", err)
		return 0, nil
	}
	n, err := s.write(ctx, r, name, old, limit)
	if n <= 0 {
		s.drop(name)
	}
	if fault.Is(err, fault.Invalid) {
		s.cfg.Log.Warn("a damaged address book file is removed", "file", from.String(), "err", err)
		s.drop(from)
		return 0, nil
	}
	return n, err
}

// write writes a file of the roll and puts it in place as a whole: everybody, or what
// differs from old. See delta for the result.
func (s *Service) write(ctx context.Context, r *roll, name absfile.Name, old *absfile.Reader, limit int64) (n int64, err error) {
	const op = "addressbook.write"
	temporary := s.path(name) + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fault.New(fault.Unavailable, op, "the folder of the address book files cannot be written").Because(err)
	}
	p := pen{out: bufio.NewWriterSize(f, 64<<10), limit: limit}
	err = p.header(r.header(name, s.cfg.Server))
	if err == nil {
		err = p.differences(ctx, r, old)
	}
	if err == nil {
		err = p.out.Flush()
	}
	if err == nil && p.contacts > 0 || old == nil {
		err = errors.Join(err, f.Sync())
	}
	err = errors.Join(err, f.Close(), os.Chtimes(temporary, time.Time{}, s.cfg.Clock.Now()))
	keep := err == nil && (old == nil || p.contacts > 0)
	if keep {
		err = os.Rename(temporary, s.path(name))
	}
	if !keep || err != nil {
		os.Remove(temporary)
	}
	switch {
	case errors.Is(err, errTooLarge):
		return -1, nil
	case err != nil:
		return 0, fault.Wrap(op, err)
	case !keep:
		return 0, nil
	}
	return p.written, nil
}

var errTooLarge = errors.New("the file would be too large")

// pen writes contacts, up to a limit (0: none).
type pen struct {
	out      *bufio.Writer
	buf      []byte
	contacts int
	written  int64
	limit    int64
}

func (p *pen) header(h absfile.Header) (err error) {
	if p.buf, err = h.Append(p.buf[:0]); err != nil {
		return err
	}
	return p.flush()
}

func (p *pen) contact(c *absfile.Contact) (err error) {
	if p.buf, err = c.Append(p.buf[:0]); err != nil {
		return err
	}
	p.contacts++
	return p.flush()
}

func (p *pen) flush() error {
	p.written += int64(len(p.buf))
	if p.limit > 0 && p.written > p.limit {
		return errTooLarge
	}
	_, err := p.out.Write(p.buf)
	return err
}

// differences writes what makes the old file, in the order of GUIDs, the roll: all
// when there is none. Who is gone is written without values.
func (p *pen) differences(ctx context.Context, r *roll, old *absfile.Reader) error {
	var was absfile.Contact
	next := func() (more bool, err error) {
		if old == nil {
			return false, nil
		}
		was, err = old.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return err == nil, err
	}
	more, err := next()
	var is absfile.Contact
	for i := 0; err == nil && (i < len(r.records) || more); {
		if (i+p.contacts)%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		order := -1
		if i == len(r.records) {
			order = 1
		} else if more {
			order = bytes.Compare(r.records[i].guid[:], was.GUID[:])
		}
		if order <= 0 {
			r.contact(i, &is)
			i++
			if order < 0 || !slices.Equal(is.Values, was.Values) {
				if err = p.contact(&is); err != nil {
					return err
				}
			}
		} else if err = p.contact(&absfile.Contact{GUID: was.GUID}); err != nil {
			return err
		}
		if order >= 0 {
			more, err = next()
		}
	}
	return err
}

// syncFolder has the disk keep the names in a folder.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// serveFile serves an address book file. Clients may ask for parts and for what has
// changed.
func (s web) serveFile(w http.ResponseWriter, r *http.Request, user uc.UserURI) error {
	const op = "addressbook.serveFile"
	name, err := absfile.ParseName(r.PathValue("name"))
	if err != nil {
		return err
	}
	if !s.cfg.Rights(user).Files {
		return fault.New(fault.Forbidden, op, "the client policy of the user does not allow the download of address book files")
	}
	f, err := os.Open(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, op, "there is no such address book file").About(name.String())
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "private, no-cache")
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}
