package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"trivet/fault"
	"trivet/rule/mirroring"
)

// Look asks one server, not by way of the other, how it is. What it cannot say is in
// Why; Look itself does not fail.
func (s *Store) Look(ctx context.Context, side Side) mirroring.Server {
	st := mirroring.Server{Side: side}
	st.Why = s.direct(ctx, "backend.Look", side, s.cfg.User, Shared, func(ctx context.Context, c *pgx.Conn) error {
		var recovering bool
		var names string
		if err := c.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names')`).Scan(&recovering, &names); err != nil {
			return err
		}
		st.Principal, st.Waiting = !recovering, !recovering && names != ""
		if recovering {
			return c.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_stat_wal_receiver WHERE status = 'streaming'`).Scan(&st.Attached)
		}
		var synchronous bool
		err := c.QueryRow(ctx, `SELECT count(*) > 0, count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) > 0
			FROM pg_stat_replication WHERE state = 'streaming' AND application_name = $1`, application(side.Other())).Scan(&st.Attached, &synchronous)
		st.Synchronized = st.Waiting && synchronous
		return err
	})
	st.Reached = st.Why == nil
	return st
}

// application is the name under which a server receives the log of the other.
func application(side Side) string { return strings.ToLower(side.String()) }

// Wait has the commits of the principal wait for its mirror, or not. Without the wait,
// what is committed is on one server alone.
func (s *Store) Wait(ctx context.Context, principal Side, wait bool) error {
	names := "''"
	if wait {
		names = "'" + application(principal.Other()) + "'"
	}
	return s.direct(ctx, "backend.Wait", principal, s.cfg.User, Shared, func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = "+names); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "SELECT pg_reload_conf()")
		return err
	})
}

// Promote makes a mirror the principal, and returns when it takes writes. One that is
// the principal already is left alone.
func (s *Store) Promote(ctx context.Context, side Side) error {
	const op = "backend.Promote"
	return s.direct(ctx, op, side, s.cfg.User, Shared, func(ctx context.Context, c *pgx.Conn) error {
		var recovering, done bool
		if err := c.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&recovering); err != nil || !recovering {
			return err
		}
		if err := c.QueryRow(ctx, fmt.Sprintf(`SELECT pg_promote(true, %d)`, int(callLimit.Seconds())-1)).Scan(&done); err != nil {
			return err
		}
		if !done {
			return fault.Newf(fault.Timeout, op, "the server %s has not become the principal in time; look at its log", side)
		}
		return nil
	})
}

// direct runs f with a connection of its own to one server.
func (s *Store) direct(ctx context.Context, op string, side Side, user, database string, f func(ctx context.Context, c *pgx.Conn) error) error {
	conf, err := s.cfg.connection(database, user, side)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return explain(op, database, err)
	}
	defer hangUp(c)
	return explain(op, database, f(ctx, c))
}

// hangUp ends a connection without waiting for a server that hangs.
func hangUp(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit/4)
	defer cancel()
	_ = c.Close(ctx)
}

// is reports whether err is the server's error of that number.
func is(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
