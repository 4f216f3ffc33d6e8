// Package pgserver runs real PostgreSQL 15 servers, each with a folder and an address
// of its own: the Back End of a laboratory and of tests. A server may be the principal
// of a mirrored pair, or its mirror by synchronous streaming replication.
//
// Servers listen on TCP only, with TLS, and know their users by SCRAM-SHA-256; there is
// no way in without a password. PostgreSQL refuses to run as root: there it runs as
// the user postgres of Debian's package postgresql-15.
//
// A server outlives the process that started it, unless Config.Bound says otherwise,
// and any process may Open its folder. The methods of one Server are for one goroutine.
package pgserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"trivet/fault"
)

// Admin is the role that may do everything on a server.
const Admin = "postgres"

// programs is where Debian's package postgresql-15 has the programs of a server.
const programs = "/usr/lib/postgresql/15/bin"

// Config says what a server is.
type Config struct {
	Dir   string // of the server alone; its parents must be open to the user postgres
	Addr  string // 127.0.0.2:5432; where it listens
	Name  string // of the server within its pair: the application name as a standby, "primary" or "mirror"
	Bound bool   // the server ends with this process
}

// Server is a PostgreSQL server, running or not.
type Server struct {
	cfg      Config
	owner    owner
	password string
	proc     *exec.Cmd // as started by this process
}

// Create makes the folder of a new, empty server; Start starts it.
func Create(ctx context.Context, cfg Config) (*Server, error) {
	const op = "pgserver.Create"
	s, err := prepare(op, cfg)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 18)
	_, _ = rand.Read(secret)
	s.password = hex.EncodeToString(secret)
	if err := s.write(op, "password", s.password+"\n"); err != nil {
		return nil, err
	}
	if err := s.run(ctx, op, "initdb", "-D", s.data(), "-U", Admin, "--pwfile", s.path("password"), "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8", "--data-checksums"); err != nil {
		return nil, err
	}
	if err := s.certify(op); err != nil {
		return nil, err
	}
	return s, s.configure(op)
}

// Open returns the server of a folder that Create or Mirror made.
func Open(cfg Config) (*Server, error) {
	const op = "pgserver.Open"
	who, err := ownerOf(op)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, owner: who}
	b, err := os.ReadFile(s.path("password"))
	if err != nil {
		return nil, fault.Newf(fault.NotFound, op, "the folder %s has no server; create one", cfg.Dir).Because(err)
	}
	s.password = strings.TrimSpace(string(b))
	return s, nil
}

// prepare makes the folder for a server that is not there yet.
func prepare(op string, cfg Config) (*Server, error) {
	if _, _, err := net.SplitHostPort(cfg.Addr); err != nil {
		return nil, fault.New(fault.Invalid, op, "Addr must be an IP address and a port, like 127.0.0.2:5432").About(cfg.Addr)
	}
	if _, err := os.Stat(filepath.Join(programs, "postgres")); err != nil {
		return nil, fault.New(fault.Unavailable, op, "PostgreSQL 15 is not installed; run: apt-get install postgresql-15").Because(err)
	}
	who, err := ownerOf(op)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, owner: who}
	if _, err := os.Stat(s.data()); err == nil {
		return nil, fault.Newf(fault.Exists, op, "the folder %s has a server already; open it, or remove the folder", cfg.Dir)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fault.Newf(fault.Unavailable, op, "the folder %s cannot be made", cfg.Dir).Because(err)
	}
	return s, who.give(op, cfg.Dir)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.cfg.Addr }

// Name is the server's name within its pair.
func (s *Server) Name() string { return s.cfg.Name }

// Password is that of the role Admin, the same on both servers of a pair.
func (s *Server) Password() string { return s.password }

// CA is the PEM file with the certificate of the authority that clients are to trust.
func (s *Server) CA() string { return s.path("ca.pem") }

// Log is the file of what the server says.
func (s *Server) Log() string { return s.path("log") }

func (s *Server) path(name string) string { return filepath.Join(s.cfg.Dir, name) }
func (s *Server) data() string            { return s.path("data") }

func (s *Server) host() (host, port string) {
	host, port, _ = net.SplitHostPort(s.cfg.Addr)
	return host, port
}

// conninfo is how another server's programs reach this one as Admin.
func (s *Server) conninfo(application string) string {
	host, port := s.host()
	return fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=postgres application_name=%s sslmode=verify-ca sslrootcert=%s connect_timeout=5",
		host, port, Admin, s.password, application, s.CA())
}

// write makes a file that the server's user alone may read.
func (s *Server) write(op, name, text string) error {
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		return fault.Newf(fault.Unavailable, op, "the file %s cannot be written", s.path(name)).Because(err)
	}
	return s.owner.give(op, s.path(name))
}

// configure writes the settings that differ from PostgreSQL's own.
func (s *Server) configure(op string) error {
	host, port := s.host()
	if err := s.write(op, "data/conf.trivet", fmt.Sprintf(`listen_addresses = '%s'
port = %s
unix_socket_directories = ''
ssl = on
ssl_ca_file = '%[3]s/ca.pem'
ssl_cert_file = '%[3]s/server.pem'
ssl_key_file = '%[3]s/server.key'
password_encryption = scram-sha-256
wal_level = replica
hot_standby = on
wal_log_hints = on
max_wal_senders = 8
wal_keep_size = 256MB
wal_sender_timeout = 5s
wal_receiver_timeout = 5s
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 500ms
restart_after_crash = on
log_timezone = 'UTC'
timezone = 'UTC'
`, host, port, s.cfg.Dir)); err != nil {
		return err
	}
	if err := s.write(op, "data/pg_hba.conf", "hostssl all,replication all 0.0.0.0/0 scram-sha-256\nhostssl all,replication all ::/0 scram-sha-256\n"); err != nil {
		return err
	}
	return s.include(op)
}

// include has postgresql.conf read our settings.
func (s *Server) include(op string) error {
	const line = "\ninclude 'conf.trivet'\n"
	b, err := os.ReadFile(s.path("data/postgresql.conf"))
	if err != nil {
		return fault.New(fault.Unavailable, op, "the settings of the server cannot be read").Because(err)
	}
	if strings.HasSuffix(string(b), line) {
		return nil
	}
	return s.write(op, "data/postgresql.conf", string(b)+line)
}
