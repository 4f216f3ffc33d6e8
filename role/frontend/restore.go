package frontend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"trivet/fault"
	"trivet/kit/backup"
	"trivet/kit/clock"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/store/central"
	"trivet/store/syncstate"
	"trivet/store/users"
)

// Restore makes the data folder dir of the archive. The folder may not exist, or be
// empty; it gets its name when everything in it was verified, opened and flushed,
// and until then nothing is where a server could find it. Whoever was registered in
// the archived server is not in the restored one, which counts its starts from a
// number that no run of the former one had.
//
// Errors: fault.Exists for a folder that is not empty, fault.Invalid for a damaged
// archive, fault.Unsupported for one of a newer release, fault.Unavailable of the
// disk.
func Restore(ctx context.Context, archive, dir string, log *slog.Logger) (m backup.Manifest, err error) {
	const op = "frontend.Restore"
	dir, owner, err := vacant(dir)
	if err != nil {
		return m, err
	}
	from, err := os.Open(archive)
	if err != nil {
		return m, fault.Newf(fault.NotFound, op, "the archive %s cannot be read", archive).Because(err)
	}
	defer from.Close()
	staging := dir + ".partial"
	if err := os.Mkdir(staging, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return m, fault.Newf(fault.Exists, op, "%s is there, of another restore that runs or has died; remove it", staging)
		}
		return m, fault.Newf(fault.Unavailable, op, "the folder %s cannot be made; the archive is unpacked there and then renamed", staging).Because(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(staging))
		}
	}()
	if m, err = backup.Extract(ctx, from, staging); err != nil {
		return m, err
	}
	if err = prepare(ctx, staging, m, log); err != nil {
		return m, fault.Wrap(op, err)
	}
	if err = flush(staging, owner); err != nil {
		return m, fault.Wrap(op, err)
	}
	if err = ctx.Err(); err != nil {
		return m, fault.New(fault.Timeout, op, "the restore was ended; nothing is left of it").Because(err)
	}
	if err = syscall.Rename(staging, dir); err != nil { // takes the place of an empty folder, which os.Rename does not
		return m, fault.Newf(fault.Unavailable, op, "%s cannot take its place; is it a mount point? Name a folder inside of it", dir).Because(err)
	}
	return m, fault.Wrap(op, syncFolder(filepath.Dir(dir)))
}

// vacant checks that the folder is to be had, and returns its name without links,
// and whose it is if it exists.
func vacant(dir string) (string, fs.FileInfo, error) {
	const op = "frontend.Restore"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, fault.Wrap(op, err)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return dir, nil, nil
	}
	if err != nil {
		return "", nil, fault.Newf(fault.Exists, op, "%s is no folder that can be read; name a new one", dir).Because(err)
	}
	if len(list) > 0 {
		const most = 5
		var names []string
		for _, e := range list[:min(len(list), most)] {
			names = append(names, e.Name())
		}
		if len(list) > most {
			names = append(names, fmt.Sprintf("%d more", len(list)-most))
		}
		return "", nil, fault.Newf(fault.Exists, op, "%s is not empty, it holds %s; name a new folder, or move that away", dir, strings.Join(names, ", "))
	}
	info, err := os.Stat(dir)
	return dir, info, fault.Wrap(op, err)
}

// prepare opens everything, as a start does, and ends what ended with the archived
// server.
func prepare(ctx context.Context, dir string, m backup.Manifest, log *slog.Logger) (err error) {
	f := func(name string) string { return filepath.Join(dir, name) }
	people, err := users.OpenSQLite(ctx, f("users.db"), users.Options{Groups: groupCount})
	if err != nil {
		return err
	}
	err = people.Close()
	if policies, e := central.OpenSQLite(ctx, f("central.db"), nil); e != nil {
		err = errors.Join(err, e)
	} else {
		err = errors.Join(err, policies.Close())
	}
	if sync, e := syncstate.Open(ctx, f("dirsync.db")); e != nil {
		err = errors.Join(err, e)
	} else {
		err = errors.Join(err, sync.Close())
	}
	if err != nil {
		return err
	}
	// The former server may have been started since: seconds since 1970 are ahead of
	// any number of starts, and differ from one restore to the next.
	epoch := max(m.Epoch+1, uint64(clock.Real{}.Now().Unix()))
	if err := writeDurably(f("epoch"), fmt.Appendln(nil, epoch)); err != nil {
		return err
	}
	host, err := replica.Open(ctx, replica.Config{Dir: f("groups"), Log: log})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, host.Close(stop))
	}()
	routing, err := startGroups(ctx, host, groupCount)
	if err != nil {
		return err
	}
	for _, g := range m.Groups {
		if int(g.Group) > len(routing) || g.Group == 0 {
			return fault.Newf(fault.Unsupported, "frontend.Restore", "the archive has a routing group %d, and this release has %d", g.Group, len(routing))
		}
		if at := routing[g.Group-1].raft.Status().Applied; at < g.Index {
			return fault.Newf(fault.Invalid, "frontend.Restore", "routing group %d ends at entry %d, and its manifest says %d; the archive is incomplete", g.Group, at, g.Index)
		}
	}
	all := &groups{all: routing, clock: clock.Real{}}
	return all.endRegistrations(ctx)
}

// endRegistrations ends all of them, as those end whose client does not come back
// after a crash: their connections were another process's, and what has a UDP
// address may be served by the former server, or by nobody.
func (g *groups) endRegistrations(ctx context.Context) error {
	for _, x := range g.all {
		var ends []*groupstate.Unbind
		err := x.Read(ctx, func(state *groupstate.State) {
			for u := range state.Users() {
				if len(u.Bindings()) > 0 {
					ends = append(ends, &groupstate.Unbind{User: u.URI(), Now: g.now(), Reason: groupstate.ClientCrashed})
				}
			}
		})
		if err != nil {
			return err
		}
		for _, cmd := range ends {
			if _, err := x.propose(ctx, cmd); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush has the disk keep everything below a folder, and gives it to the owner of
// the empty folder that it takes the place of.
func flush(dir string, owner fs.FileInfo) error {
	uid, gid := -1, -1
	if owner != nil && os.Geteuid() == 0 {
		if st, ok := owner.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if uid >= 0 {
			if err := os.Lchown(path, uid, gid); err != nil {
				return err
			}
		}
		return syncFolder(path) // a file is flushed in the same way
	})
}
