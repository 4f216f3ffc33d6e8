package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// postgres is the database of a peer that keeps its state in one: Debian's
// PostgreSQL with its own defaults, in a folder of its own.
type postgres struct {
	*server
	url string // "postgres://kamailio@127.0.0.1:PORT/kamailio"
}

// startPostgres makes an empty database with the given schema files in it.
func (l lab) startPostgres(schemas ...string) (*postgres, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		return nil, fmt.Errorf("PostgreSQL is missing: apt-get install postgresql")
	}
	bin, data := bins[len(bins)-1], filepath.Join(l.dir, "postgres")
	who, err := l.giveTo("postgres", data)
	if err != nil {
		return nil, err
	}
	run := func(in, name string, args ...string) error {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Stdin, cmd.Dir, cmd.SysProcAttr = strings.NewReader(in), data, &syscall.SysProcAttr{Credential: who}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return nil
	}
	if err := run("", "initdb", "-D", data, "-U", "kamailio", "-A", "trust", "-E", "UTF8", "--locale=C"); err != nil {
		return nil, err
	}
	addr := freeAddr()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port, "-h", "127.0.0.1", "-k", data)
	s, err := startAs("postgres", cmd, l.dir, addr, who)
	if err != nil {
		return nil, err
	}
	p := &postgres{s, "postgres://kamailio@" + addr + "/kamailio"}
	script := "CREATE DATABASE kamailio;\n\\c kamailio\n"
	for _, file := range schemas {
		b, err := os.ReadFile(file)
		if err != nil {
			s.stop()
			return nil, err
		}
		script += string(b)
	}
	accepts := func() bool { return run("", "pg_isready", "-q", "-h", "127.0.0.1", "-p", port) == nil }
	for deadline := time.Now().Add(30 * time.Second); !accepts() && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	if err := run(script, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port, "-U", "kamailio", "postgres"); err != nil {
		s.stop()
		return nil, err
	}
	return p, nil
}
