package backend

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"net"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"trivet/fault"
)

//go:embed migrations
var migrations embed.FS

// in runs f in a transaction of a database within limit. What f did is on the disk of
// the principal, and of the mirror while that is synchronised, when in returns nil.
func (s *Store) in(ctx context.Context, op, name string, limit time.Duration, f func(ctx context.Context, side Side, tx *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d := s.dbs[name]
	if err := d.migrate(ctx, op); err != nil {
		return err
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return explain(op, name, err)
	}
	defer conn.Close()
	return explain(op, name, onConn(ctx, op, conn, f))
}

func onConn(ctx context.Context, op string, conn *sql.Conn, f func(ctx context.Context, side Side, tx *sql.Tx) error) error {
	var side Side
	if err := conn.Raw(func(c any) error {
		pg := c.(*stdlib.Conn).Conn().PgConn()
		side = sideOf(pg)
		delete(pg.CustomData(), unsynchronized)
		return nil
	}); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if err := f(ctx, side, tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return conn.Raw(func(c any) error {
		if c.(*stdlib.Conn).Conn().PgConn().CustomData()[unsynchronized] != nil {
			return fault.New(fault.Unavailable, op, "the change is not on the mirror: somebody ended the wait for it")
		}
		return nil
	})
}

// migrate brings the tables to this release, once.
func (d *database) migrate(ctx context.Context, op string) error {
	d.mu.Lock()
	current := d.current
	d.mu.Unlock()
	if current {
		return nil
	}
	if err := migrate(ctx, op, d.name, d.db); err != nil {
		return explain(op, d.name, err)
	}
	d.mu.Lock()
	d.current = true
	d.mu.Unlock()
	return nil
}

// migrate brings the tables of a database to this release; servers that do so at once
// wait for each other.
func migrate(ctx context.Context, op, name string, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations/"+name)
	if err != nil {
		return err
	}
	one, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 10))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithSessionLocker(one))
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	known := p.ListSources()
	switch newest := known[len(known)-1].Version; {
	case have > newest:
		return fault.Newf(fault.Unavailable, op, "the database %s is of a newer release; upgrade this server", name)
	case have < newest:
		_, err = p.Up(ctx)
	}
	return err
}

// sameAddress compares where a socket leads with an address of the configuration.
func sameAddress(ctx context.Context, socket, configured string) bool {
	if socket == configured {
		return true
	}
	host, port, err := net.SplitHostPort(configured)
	if err != nil {
		return false
	}
	ip, p, err := net.SplitHostPort(socket)
	if err != nil || p != port {
		return false
	}
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if a == ip {
			return true
		}
	}
	return false
}
