package pgserver

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"trivet/fault"
)

// Mirror makes a new server that follows principal: a copy of it now, and its log from
// then on. Start starts it. It becomes a synchronous mirror when the principal's
// synchronous_standby_names has its name.
func Mirror(ctx context.Context, cfg Config, principal *Server) (*Server, error) {
	const op = "pgserver.Mirror"
	s, err := prepare(op, cfg)
	if err != nil {
		return nil, err
	}
	s.password = principal.password
	if err := s.write(op, "password", s.password+"\n"); err != nil {
		return nil, err
	}
	if err := s.share(op, principal); err != nil {
		return nil, err
	}
	if err := s.run(ctx, op, "pg_basebackup", "-D", s.data(), "-d", principal.conninfo(cfg.Name), "-X", "stream", "-c", "fast"); err != nil {
		return nil, err
	}
	return s, s.follow(op, principal)
}

// share takes the principal's authority and its key: one authority for a pair.
func (s *Server) share(op string, principal *Server) error {
	for _, name := range []string{"ca.pem", "ca.key"} {
		b, err := os.ReadFile(principal.path(name))
		if err != nil {
			return fault.Newf(fault.Unavailable, op, "the file %s of the principal cannot be read", name).Because(err)
		}
		if err := s.write(op, name, string(b)); err != nil {
			return err
		}
	}
	return s.certify(op)
}

// follow has the server, at its next start, follow principal.
func (s *Server) follow(op string, principal *Server) error {
	if err := s.configure(op); err != nil {
		return err
	}
	quoted := strings.ReplaceAll(principal.conninfo(s.cfg.Name), "'", "''")
	auto := "primary_conninfo = '" + quoted + "'\nrecovery_target_timeline = 'latest'\n"
	if err := s.write(op, "data/postgresql.auto.conf", auto); err != nil {
		return err
	}
	return s.write(op, "data/standby.signal", "")
}

// Promote makes a mirror the principal and returns when it takes writes.
func (s *Server) Promote(ctx context.Context) error {
	const op = "pgserver.Promote"
	return s.run(ctx, op, "pg_ctl", "promote", "-D", s.data(), "-w", "-t", "30")
}

// Rejoin makes a former principal, which is stopped, the mirror of the present one:
// what it wrote that the other does not have is taken back (pg_rewind). Start starts it.
func (s *Server) Rejoin(ctx context.Context, principal *Server) error {
	const op = "pgserver.Rejoin"
	if s.Running() {
		return fault.New(fault.Invalid, op, "the server runs; stop it first").About(s.cfg.Addr)
	}
	// Only a checkpoint tells pg_rewind that the principal has been promoted.
	if err := s.run(ctx, op, "psql", "-X", "-q", "-d", principal.conninfo(s.cfg.Name), "-c", "CHECKPOINT"); err != nil {
		return err
	}
	// A server that was killed has to recover before it can be rewound; the program
	// does that itself, with the settings as they are in the folder.
	if err := s.run(ctx, op, "pg_rewind", "-D", s.data(), "--source-server", principal.conninfo(s.cfg.Name)); err != nil {
		return err
	}
	for _, stale := range []string{"postmaster.pid", "backup_label.old"} {
		_ = os.Remove(filepath.Join(s.data(), stale))
	}
	return s.follow(op, principal)
}
