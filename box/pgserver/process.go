package pgserver

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"trivet/fault"
)

// Bounds of waiting for a server.
const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
	poll       = 20 * time.Millisecond
)

// Start starts the server and returns when it takes connections. A server that runs is
// left alone.
func (s *Server) Start(ctx context.Context) error {
	const op = "pgserver.Start"
	if s.Running() {
		return nil
	}
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fault.New(fault.Unavailable, op, "the log of the server cannot be opened").Because(err)
	}
	defer log.Close()
	cmd := s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data())
	cmd.Stdout, cmd.Stderr = log, log
	if s.cfg.Bound {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	}
	if err := cmd.Start(); err != nil {
		return fault.New(fault.Unavailable, op, "postgres cannot be started").Because(err)
	}
	s.proc = cmd
	return s.await(ctx, op, startLimit, func() (bool, error) {
		if !s.alive(cmd.Process.Pid) {
			s.reap()
			b, _ := os.ReadFile(s.path("log"))
			return false, fault.Newf(fault.Unavailable, op, "postgres ended at once: %s", last(b, 800)).About(s.cfg.Addr)
		}
		pid, status := s.postmaster()
		return pid == cmd.Process.Pid && (status == "ready" || status == "standby"), nil
	})
}

// await asks every 20 ms until done says yes.
func (s *Server) await(ctx context.Context, op string, limit time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-end.C:
			return fault.Newf(fault.Timeout, op, "the server is not so far after %v; see %s", limit, s.path("log")).About(s.cfg.Addr)
		case <-ctx.Done():
			return fault.New(fault.Timeout, op, "there was no time to wait for the server").About(s.cfg.Addr).Because(ctx.Err())
		}
	}
}

// postmaster reads the lock file of a running server: its first line is the process,
// its eighth how far it is.
func (s *Server) postmaster() (pid int, status string) {
	b, err := os.ReadFile(s.path("data/postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(b), "\n")
	pid, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	if len(lines) > 7 {
		status = strings.TrimSpace(lines[7])
	}
	return pid, status
}

// alive reports whether the process is a running postgres of this folder.
func (s *Server) alive(pid int) bool {
	if pid <= 0 || !running(pid) {
		return false
	}
	if s.proc != nil && s.proc.Process.Pid == pid {
		return true
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(line, []byte(s.data())) // a number may be of another program by now
}

// Running reports whether the server runs, paused or not.
func (s *Server) Running() bool {
	pid, _ := s.postmaster()
	return s.alive(pid)
}

// Stop ends the server in order: clients are disconnected, everything is on disk.
func (s *Server) Stop(ctx context.Context) error {
	return s.end(ctx, "pgserver.Stop", func(pid int) { s.signal(pid, syscall.SIGINT) })
}

// Kill ends the server as a crash does.
func (s *Server) Kill(ctx context.Context) error {
	return s.end(ctx, "pgserver.Kill", func(pid int) { s.signalAll(pid, syscall.SIGKILL) })
}

func (s *Server) end(ctx context.Context, op string, how func(pid int)) error {
	pid, _ := s.postmaster()
	if !s.alive(pid) {
		s.reap()
		return nil
	}
	family := append(children(pid), pid)
	how(pid)
	err := s.await(ctx, op, stopLimit, func() (bool, error) {
		for _, p := range family {
			if running(p) {
				return false, nil
			}
		}
		return true, nil
	})
	if err == nil {
		s.reap()
	}
	return err
}

// Pause stops every process of the server where it is (SIGSTOP), as a machine does that
// hangs: connections stay open and nothing answers. Resume lets them go on.
func (s *Server) Pause() {
	pid, _ := s.postmaster()
	s.signalAll(pid, syscall.SIGSTOP)
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	pid, _ := s.postmaster()
	s.signalAll(pid, syscall.SIGCONT)
}

func (s *Server) signal(pid int, sig syscall.Signal) {
	if s.alive(pid) {
		_ = syscall.Kill(pid, sig)
	}
}

// signalAll signals the first process, which then makes no others, and its children.
func (s *Server) signalAll(pid int, sig syscall.Signal) {
	if !s.alive(pid) {
		return
	}
	family := children(pid)
	_ = syscall.Kill(pid, sig)
	for _, p := range append(family, children(pid)...) {
		_ = syscall.Kill(p, sig)
	}
}

// reap takes note of the end of a process that this one started.
func (s *Server) reap() {
	if s.proc != nil && !running(s.proc.Process.Pid) {
		_ = s.proc.Wait()
		s.proc = nil
	}
}

// children lists the processes that a process has started.
func children(of int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of))
	for _, l := range lists {
		b, _ := os.ReadFile(l)
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// running reports whether a process is there and no zombie.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	i := bytes.LastIndexByte(b, ')')
	return i < 0 || i+2 >= len(b) || b[i+2] != 'Z' && b[i+2] != 'X'
}
