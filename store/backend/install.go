package backend

import (
	"context"
	"database/sql"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"trivet/fault"
)

// Administrator is the role that installs the databases; the password file has it too.
const Administrator = "postgres"

// Numbers of errors, PostgreSQL's appendix A.
const (
	duplicateObject   = "42710"
	duplicateDatabase = "42P04"
)

// Install makes the role of the Front Ends with the password, "" for that of the
// password file, and the databases with
// their tables, on the principal; what is there already stays, and gets the rights that
// this release needs. It says what it did.
func (s *Store) Install(ctx context.Context, password string) (done []string, err error) {
	const op = "backend.Install"
	at := Side(s.follow.Load())
	if at == Either {
		at = Primary
	}
	if password == "" {
		conf, err := s.cfg.connection(Shared, s.cfg.User, at)
		if err != nil {
			return nil, err
		}
		password = conf.Password
	}
	if password == "" {
		return nil, fault.Newf(fault.Invalid, op, "the password file has no password of %s; add a line for it", s.cfg.User)
	}
	role := pgx.Identifier{s.cfg.User}.Sanitize()
	err = s.direct(ctx, op, at, Administrator, "postgres", func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE ROLE "+role+" LOGIN")
		if err != nil && !is(err, duplicateObject) {
			return err
		}
		if err == nil {
			done = append(done, "role "+s.cfg.User)
		}
		for _, text := range []string{
			"ALTER ROLE " + role + " PASSWORD " + quote(password),
			"GRANT pg_read_all_stats TO " + role,
			"GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO " + role,
		} {
			if _, err := c.Exec(ctx, text); err != nil {
				return err
			}
		}
		for _, name := range Names {
			_, err := c.Exec(ctx, "CREATE DATABASE "+name+" OWNER "+role)
			if err != nil && !is(err, duplicateDatabase) {
				return err
			}
			if err == nil {
				done = append(done, "database "+name)
			}
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	for _, name := range Names {
		if err := s.equip(ctx, op, at, name, role); err != nil {
			return done, err
		}
	}
	return done, nil
}

// equip gives the role what it needs in a database, and makes the tables.
func (s *Store) equip(ctx context.Context, op string, at Side, name, role string) error {
	err := s.direct(ctx, op, at, Administrator, name, func(ctx context.Context, c *pgx.Conn) error {
		for _, text := range []string{
			"REVOKE ALL ON DATABASE " + name + " FROM PUBLIC",
			"GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer), pg_reload_conf() TO " + role,
			"GRANT ALL ON SCHEMA public TO " + role,
		} {
			if _, err := c.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	conf, err := s.cfg.connection(name, s.cfg.User, at)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*conf)
	defer db.Close()
	return explain(op, name, migrate(ctx, op, name, db))
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Test says for each database of the principal whether it can be used; nil is well.
func (s *Store) Test(ctx context.Context) map[string]error {
	all := map[string]error{}
	for _, name := range Names {
		all[name] = s.in(ctx, "backend.Test", name, callLimit, func(context.Context, Side, *sql.Tx) error { return nil })
	}
	return all
}

// List names the databases on the principal, ours and others'.
func (s *Store) List(ctx context.Context) (names []string, err error) {
	err = s.in(ctx, "backend.List", Shared, callLimit, func(ctx context.Context, _ Side, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	return names, err
}
