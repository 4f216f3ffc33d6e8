package frontend

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"trivet/fault"
	"trivet/kit/backup"
	"trivet/kit/clock"
	"trivet/kit/conf"
	"trivet/kit/sqlite"
	"trivet/replica"
)

// A backup is of one instant. The databases are held still, one after the other,
// and while nobody can change them the files of the authority are copied and the
// logs of all routing groups are marked: what is in the archive is what a server
// killed at that instant would have left, and the start after a restore mends what a
// start after a crash mends. Users and administrators wait for some hundredths of a
// second; the copies of what was held are made afterwards.

// copyFolder is where a backup is put together, in the data folder. Most of it is
// hard links. What a dead process has left there is removed at the next start.
const copyFolder = "backup.tmp"

// databases in the order in which they are held: the one that most changes go to is
// held for the shortest time.
var databases = []string{"dirsync.db", "central.db", "users.db"}

// plainFiles of the data folder that are small, and there or not.
var plainFiles = []string{conf.FileName, "ca.pem", "epoch", "demo-users.json", "demo-users.json.part"}

const auditFile = "audit.log"

// made anew by a server, or of this very process.
var madeAnew = []string{"abs", "admin.sock", copyFolder, "epoch.new"}

// folder is a data folder whose routing groups this process has open.
type folder struct {
	set   conf.Settings
	host  *replica.Host
	still func(func() error) error // holds the authority's files still
	clock clock.Clock
	held  time.Duration // how long changes had to wait
}

func (f *folder) path(name string) string { return filepath.Join(f.set.Data, name) }
func (f *folder) copy(name string) string { return filepath.Join(f.set.Data, copyFolder, name) }

// take puts a backup together in the copyFolder and describes it.
func (f *folder) take(ctx context.Context) (backup.Manifest, error) {
	const op = "frontend.backup"
	m := backup.Manifest{Program: build(), FQDN: f.set.FQDN, Domain: f.set.Domain}
	if err := f.enough(); err != nil {
		return m, err
	}
	if err := os.RemoveAll(f.copy("")); err != nil {
		return m, fault.Wrap(op, err)
	}
	if err := os.Mkdir(f.copy(""), 0o700); err != nil {
		return m, fault.Wrap(op, err)
	}
	var audited int64
	err := f.instant(ctx, func() (err error) {
		m.Made = f.clock.Now().UTC().Truncate(time.Millisecond)
		if audited, err = f.small(&m); err != nil {
			return err
		}
		marks, err := f.host.Checkpoint(ctx, f.copy("groups"))
		for _, x := range marks {
			m.Groups = append(m.Groups, backup.Group{Group: uint32(x.Group), Index: x.Index})
		}
		return err
	})
	if err == nil {
		m.Epoch, err = readEpoch(f.copy("epoch"))
	}
	if err == nil {
		err = f.describe(ctx, &m, audited)
	}
	return m, fault.Wrap(op, err)
}

// enough sees to it that making the backup does not fill the disk of a server that
// runs: the databases are copied, the rest is mostly links.
func (f *folder) enough() error {
	need := int64(32 << 20) // write-ahead log of the groups, small files
	for _, name := range databases {
		for _, part := range []string{"", "-wal"} {
			if info, err := os.Stat(f.path(name + part)); err == nil {
				need += info.Size()
			}
		}
	}
	if room, known := f.host.Room(); known && uint64(need) > room {
		return fault.Newf(fault.Unavailable, "frontend.backup", "the backup needs %d MiB on the disk of %s while it is made; free some space", need>>20, f.set.Data)
	}
	return nil
}

// instant runs during while no database of the folder can be changed, and then
// copies them as they were.
func (f *folder) instant(ctx context.Context, during func() error) (err error) {
	var held []*sqlite.Pinned
	release := func() (err error) {
		for _, p := range held {
			err = errors.Join(err, p.Release())
		}
		return err
	}
	defer func() {
		for _, p := range held {
			err = errors.Join(err, p.Close())
		}
	}()
	names, err := f.hold(ctx, &held)
	begin := f.clock.Now()
	if err == nil {
		err = f.still(during)
	}
	if err = errors.Join(err, release()); err != nil {
		return err
	}
	f.held = f.clock.Now().Sub(begin)
	for i, p := range held {
		if err := p.Copy(ctx, f.copy(names[i])); err != nil {
			return err
		}
	}
	return nil
}

// holdPatience is how long a backup waits for long changes of the databases.
const holdPatience = time.Minute

// hold pins the databases that exist, all or none, and returns their names. One that
// is being changed lets the others go meanwhile.
func (f *folder) hold(ctx context.Context, held *[]*sqlite.Pinned) (names []string, err error) {
	for limit := f.clock.Now().Add(holdPatience); ; {
		names = nil
		for _, name := range databases {
			if _, err = os.Stat(f.path(name)); errors.Is(err, fs.ErrNotExist) {
				err = nil
				continue
			}
			var p *sqlite.Pinned
			if p, err = sqlite.Pin(ctx, f.path(name)); err != nil {
				break
			}
			*held, names = append(*held, p), append(names, name)
		}
		if err == nil || !fault.Is(err, fault.Overload) || f.clock.Now().After(limit) {
			return names, err
		}
		for _, p := range *held {
			err = errors.Join(err, p.Close())
		}
		*held = nil
	}
}

// small copies the files that are neither databases nor of the groups, and returns
// how much of the audit file belongs to the backup: it grows, and its lines are
// whole.
func (f *folder) small(m *backup.Manifest) (audited int64, err error) {
	named, outside := f.named()
	m.LeftOut = append(outside, f.unknown(named)...)
	for _, name := range slices.Concat(plainFiles, named) {
		if err := f.copyFile(name); err != nil {
			return 0, err
		}
	}
	err = filepath.WalkDir(f.path("pki"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".new-")) {
			return nil
		}
		name, rel := filepath.Rel(f.set.Data, path)
		if err = errors.Join(err, rel); err != nil {
			return err
		}
		return f.copyFile(name)
	})
	if err != nil {
		return 0, err
	}
	return f.linkAudit()
}

// named are files that the settings name, relative to the folder; outside those
// that lie elsewhere.
func (f *folder) named() (inside, outside []string) {
	given := []string{f.set.Kerberos.Keytab}
	for _, s := range f.set.Directory.Sources {
		given = append(given, s.CA, s.PasswordFile)
	}
	for _, name := range given {
		if name == "" {
			continue
		}
		as := name
		if filepath.IsAbs(name) {
			if root, err := filepath.Abs(f.set.Data); err == nil {
				if rel, err := filepath.Rel(root, name); err == nil {
					name = rel
				}
			}
		}
		switch {
		case !filepath.IsLocal(name):
			outside = append(outside, as+" (named by "+conf.FileName+")")
		case !slices.Contains(plainFiles, filepath.Clean(name)) && !slices.Contains(inside, filepath.Clean(name)):
			inside = append(inside, filepath.Clean(name))
		}
	}
	return inside, outside
}

// unknown lists what lies in the folder and is not of the server.
func (f *folder) unknown(named []string) (out []string) {
	known := slices.Concat(plainFiles, madeAnew, []string{"pki", "groups", auditFile})
	for _, name := range named {
		top, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		known = append(known, top)
	}
	for _, name := range databases {
		known = append(known, name, name+"-wal", name+"-shm", name+"-journal")
	}
	list, err := os.ReadDir(f.set.Data)
	if err != nil {
		return nil // what is needed is found by its name
	}
	for _, e := range list {
		if !slices.Contains(known, e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out
}

// copyFile copies a small file of the folder, if it is there.
func (f *folder) copyFile(name string) error {
	b, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(f.copy(name)), 0o700)
	}
	if err == nil {
		err = os.WriteFile(f.copy(name), b, 0o600)
	}
	return err
}

// linkAudit links the audit file, which may be long, and returns where its last
// whole line ends.
func (f *folder) linkAudit() (int64, error) {
	from, err := os.Open(f.path(auditFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	for b := make([]byte, 1); end > 0; end-- {
		if _, err := from.ReadAt(b, end-1); err != nil {
			return 0, err
		}
		if b[0] == '\n' {
			break
		}
	}
	if os.Link(f.path(auditFile), f.copy(auditFile)) == nil {
		return end, nil
	}
	to, err := os.OpenFile(f.copy(auditFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(to, from, end)
	return end, errors.Join(err, to.Close())
}

// describe lists everything in the copyFolder.
func (f *folder) describe(ctx context.Context, m *backup.Manifest, audited int64) error {
	return filepath.WalkDir(f.copy(""), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(f.copy(""), path)
		if err != nil {
			return err
		}
		size := int64(-1)
		if rel == auditFile {
			size = audited
		}
		x, err := backup.Describe(ctx, f.copy(""), filepath.ToSlash(rel), size)
		x.Public = rel == "ca.pem"
		m.Files = append(m.Files, x)
		return err
	})
}

// write streams what take has put together.
func (f *folder) write(ctx context.Context, w io.Writer, m backup.Manifest) error {
	return backup.Write(ctx, w, m, f.copy(""))
}

// clear removes the copyFolder.
func (f *folder) clear() error { return os.RemoveAll(f.copy("")) }

// BackupStopped writes a backup of a data folder in which no server runs, and keeps
// one from starting meanwhile. Errors: fault.NotFound for a folder without a
// server's data, fault.Unavailable for one that is in use or another user's.
func BackupStopped(ctx context.Context, set conf.Settings, w io.Writer) (err error) {
	const op = "frontend.BackupStopped"
	info, err := os.Stat(filepath.Join(set.Data, "users.db"))
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.NotFound, op, "%s holds no data of a server; name its folder with --data", set.Data)
	}
	if err == nil && !ours(info) || errors.Is(err, fs.ErrPermission) {
		// What is written while the folder is open would not be the server's.
		return fault.Newf(fault.Unavailable, op, "the data folder %s belongs to another user; run this as that user", set.Data)
	}
	if err != nil {
		return fault.Wrap(op, err)
	}
	host, err := replica.Open(ctx, replica.Config{Dir: filepath.Join(set.Data, "groups")})
	if err != nil {
		return err
	}
	f := &folder{set: set, host: host, still: func(f func() error) error { return f() }, clock: clock.Real{}}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		err = errors.Join(err, f.clear(), host.Close(stop))
	}()
	m, err := f.take(ctx)
	if err != nil {
		return err
	}
	return f.write(ctx, w, m)
}

// ours reports whether a file belongs to who runs this process.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}

// build names the program that runs.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
