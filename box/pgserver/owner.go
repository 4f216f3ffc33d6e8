package pgserver

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"trivet/fault"
)

// owner is whom the server runs as; the zero owner is the user of this process.
type owner struct {
	change   bool
	uid, gid uint32
}

func ownerOf(op string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	u, err := user.Lookup(Admin)
	if err != nil {
		return owner{}, fault.New(fault.Unavailable, op, "PostgreSQL does not run as root and there is no user postgres; run: apt-get install postgresql-15").Because(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return owner{}, fault.New(fault.Unavailable, op, "the user postgres has no number")
	}
	return owner{true, uint32(uid), uint32(gid)}, nil
}

// give makes the owner the owner of a file.
func (o owner) give(op, path string) error {
	if !o.change {
		return nil
	}
	if err := os.Chown(path, int(o.uid), int(o.gid)); err != nil {
		return fault.Newf(fault.Unavailable, op, "%s cannot be given to the user postgres", path).Because(err)
	}
	return nil
}

// command makes a command of PostgreSQL's programs that runs as the owner.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(programs, program), args...)
	cmd.Dir = s.cfg.Dir
	cmd.Env = []string{"PATH=" + programs + ":/usr/bin:/bin", "LC_ALL=C.UTF-8", "PGCONNECT_TIMEOUT=5"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.owner.change {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.owner.uid, Gid: s.owner.gid}
	}
	return cmd
}

// run runs a program to its end; its complaint is part of the error.
func (s *Server) run(ctx context.Context, op, program string, args ...string) error {
	out, err := s.command(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fault.Newf(fault.Unavailable, op, "%s fails: %s", program, last(out, 600)).About(s.cfg.Addr).Because(err)
	}
	return nil
}

func last(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}
