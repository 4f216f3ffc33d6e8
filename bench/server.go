package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a server under load, with all its processes.
type server struct {
	name string
	cmd  *exec.Cmd
	log  string
	with *server // its database, when that is a server too; stopped with it, its work counts
}

// start runs cmd in a process group of its own and waits until addr accepts.
func start(name string, cmd *exec.Cmd, dir, addr string) (*server, error) {
	return startAs(name, cmd, dir, addr, nil)
}

// startAs is start under another user; nil = our own.
func startAs(name string, cmd *exec.Cmd, dir, addr string, who *syscall.Credential) (*server, error) {
	s := &server{name: name, cmd: cmd, log: filepath.Join(dir, name+".log")}
	f, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return s, nil
		}
	}
	s.stop()
	text, _ := os.ReadFile(s.log)
	return nil, fmt.Errorf("%s did not listen on %s within 30 s:\n%s", name, addr, text)
}

func (s *server) stop() {
	if s.with != nil {
		defer s.with.stop()
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
}

// processes lists the server's processes: itself and what descends from it, for
// some make process groups of their own. Those of its database belong to it.
func (s *server) processes() []int {
	parents := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		if f := stat(d); len(f) > 4 {
			pid, _ := strconv.Atoi(filepath.Base(d))
			parents[pid], _ = strconv.Atoi(f[1])
		}
	}
	var out []int
	for pid := range parents {
		for up := pid; up > 1; up = parents[up] {
			if up == s.cmd.Process.Pid {
				out = append(out, pid)
				break
			}
		}
	}
	if s.with != nil {
		out = append(out, s.with.processes()...)
	}
	return out
}

// stat returns the fields of /proc/PID/stat behind the command name: state, ppid,
// pgrp, …; utime and stime are 11 and 12.
func stat(dir string) []string {
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.Fields(rest)
}

// cpu returns the seconds of processor time all processes have used.
func (s *server) cpu() float64 {
	ticks := 0
	for _, pid := range s.processes() {
		if f := stat("/proc/" + strconv.Itoa(pid)); len(f) > 12 {
			u, _ := strconv.Atoi(f[11])
			k, _ := strconv.Atoi(f[12])
			ticks += u + k
		}
	}
	return float64(ticks) / 100
}

// rss returns the resident memory of all processes in KiB, shared pages of a
// process group counted once per process that has them private (Pss).
func (s *server) rss() int {
	total := 0
	for _, pid := range s.processes() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.SplitSeq(string(b), "\n") {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, _ := strconv.Atoi(strings.Fields(rest)[0])
				total += n
			}
		}
	}
	return total
}

// kernelKB returns the kernel's memory in slabs and socket buffers in KiB.
func kernelKB() int {
	total := 0
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "Slab:"); ok {
			total, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	b, _ = os.ReadFile("/proc/net/sockstat")
	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 10 && f[0] == "TCP:" {
			pages, _ := strconv.Atoi(f[10])
			total += pages * os.Getpagesize() / 1024
		}
	}
	return total
}
