package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	account "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// postgres is the database of a peer that keeps its state in one: Debian's
// PostgreSQL with its own defaults, in a folder of its own.
type postgres struct {
	*server
	url string // "postgres://kamailio@127.0.0.1:PORT/kamailio"
}

// startPostgres makes an empty database with the given schema files in it.
func startPostgres(dir string, schemas ...string) (*postgres, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		return nil, fmt.Errorf("PostgreSQL is missing: apt-get install postgresql")
	}
	bin, data := bins[len(bins)-1], filepath.Join(dir, "postgres")
	who, err := owner(dir, data)
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
	s, err := startAs("postgres", cmd, dir, addr, who)
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
	if err := run(script, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port, "-U", "kamailio", "postgres"); err != nil {
		s.stop()
		return nil, err
	}
	return p, nil
}

// owner makes the database's folder and gives it to the user whom the server wants
// to run as: PostgreSQL refuses to be root. Nobody else changes user.
func owner(dir, data string) (*syscall.Credential, error) {
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	if err := os.Mkdir(data, 0o700); err != nil || os.Getuid() != 0 {
		return nil, err
	}
	u, err := account.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(data, uid, gid)
}
