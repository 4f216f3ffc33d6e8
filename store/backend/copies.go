package backend

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// Position is a place in the log of a group, and when the pool was there.
type Position struct {
	Term, Index uint64
	At          time.Time
}

// Before reports whether p is earlier in the order of the log: term, then index.
func (p Position) Before(q Position) bool {
	return p.Term < q.Term || p.Term == q.Term && p.Index < q.Index
}

// UserCopy is the durable part of one user.
type UserCopy struct {
	User uc.UserURI
	Data []byte // groupstate.Record.Export
}

// Batch is what changed in a group since the position of the batch before.
type Batch struct {
	Group uc.GroupID
	// Position up to which the copy has every change when the batch is written.
	Position Position
	// Partial batches are a part of the changes up to Position: they write users, and
	// leave the position of the copy as it is.
	Partial bool
	Users   []*groupstate.Record
	Gone    []uc.UserURI
}

// Put writes a batch, all or nothing. The same batch again changes nothing. A batch
// whose position is older than the copy's is refused with fault.Stale: another server
// has become the primary of the group and is ahead.
func (s *Store) Put(ctx context.Context, b Batch) error {
	const op = "backend.Put"
	names, data, content := make([]string, len(b.Users)), make([][]byte, len(b.Users)), make([]string, len(b.Users))
	for i, r := range b.Users {
		names[i], data[i], content[i] = key(r.User), r.Export(), describe(r)
	}
	gone := make([]string, len(b.Gone))
	for i, u := range b.Gone {
		gone[i] = key(u)
	}
	return s.in(ctx, op, Copies, copyLimit, func(ctx context.Context, _ Side, tx *sql.Tx) error {
		if err := s.advance(ctx, op, tx, b); err != nil {
			return err
		}
		if len(gone) > 0 {
			if _, err := tx.ExecContext(ctx, `DELETE FROM user_copy WHERE pool = $1 AND routing_group = $2 AND user_uri = ANY($3)`, string(s.cfg.Pool), int64(b.Group), gone); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			return nil
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO user_copy (pool, user_uri, routing_group, data, content)
			SELECT $1, u, $2, d, c::jsonb FROM unnest($3::text[], $4::bytea[], $5::text[]) AS n(u, d, c)
			ON CONFLICT (pool, user_uri) DO UPDATE SET routing_group = excluded.routing_group, written = now(), data = excluded.data, content = excluded.content`,
			string(s.cfg.Pool), int64(b.Group), names, data, content)
		return err
	})
}

// key is the name of a user in the tables, which take UTF-8 only.
func key(u uc.UserURI) string { return strings.ToValidUTF8(string(u), "\ufffd") }

// advance compares the batch with the position of the copy, which it locks, and moves it.
func (s *Store) advance(ctx context.Context, op string, tx *sql.Tx, b Batch) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO routing_group (pool, routing_group, term, position, reached) VALUES ($1, $2, 0, 0, to_timestamp(0)) ON CONFLICT DO NOTHING`,
		string(s.cfg.Pool), int64(b.Group)); err != nil {
		return err
	}
	var term, index int64
	if err := tx.QueryRowContext(ctx, `SELECT term, position FROM routing_group WHERE pool = $1 AND routing_group = $2 FOR UPDATE`,
		string(s.cfg.Pool), int64(b.Group)).Scan(&term, &index); err != nil {
		return err
	}
	if have := (Position{Term: uint64(term), Index: uint64(index)}); b.Position.Before(have) {
		return fault.Newf(fault.Stale, op, "the copy of group %d is at term %d, index %d already; another server writes it", b.Group, have.Term, have.Index)
	}
	if b.Partial {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE routing_group SET term = $3, position = $4, reached = $5 WHERE pool = $1 AND routing_group = $2`,
		string(s.cfg.Pool), int64(b.Group), int64(b.Position.Term), int64(b.Position.Index), b.Position.At.UTC())
	return err
}

// Load reads the copy of a group, users by name. A group of which there is none:
// fault.NotFound.
func (s *Store) Load(ctx context.Context, group uc.GroupID) (users []UserCopy, at Position, err error) {
	const op = "backend.Load"
	err = s.in(ctx, op, Copies, copyLimit, func(ctx context.Context, _ Side, tx *sql.Tx) error {
		all, err := s.positions(ctx, tx, &group)
		if err != nil {
			return err
		}
		var known bool
		if at, known = all[group]; !known {
			return fault.Newf(fault.NotFound, op, "the Back End has no copy of group %d", group)
		}
		rows, err := tx.QueryContext(ctx, `SELECT user_uri, data FROM user_copy WHERE pool = $1 AND routing_group = $2 ORDER BY user_uri COLLATE "C"`, string(s.cfg.Pool), int64(group))
		if err != nil {
			return err
		}
		defer rows.Close()
		users = nil
		for rows.Next() {
			var u UserCopy
			if err := rows.Scan((*string)(&u.User), &u.Data); err != nil {
				return err
			}
			users = append(users, u)
		}
		return rows.Err()
	})
	return users, at, err
}

// User reads the copy of one user: fault.NotFound if there is none.
func (s *Store) User(ctx context.Context, user uc.UserURI) (c UserCopy, err error) {
	const op = "backend.User"
	c.User = user
	err = s.in(ctx, op, Copies, callLimit, func(ctx context.Context, _ Side, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT data FROM user_copy WHERE pool = $1 AND user_uri = $2`, string(s.cfg.Pool), key(user)).Scan(&c.Data)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, op, "the Back End has no copy of the user").About(string(user))
		}
		return err
	})
	return c, err
}

// Members lists the users that the copy of a group has.
func (s *Store) Members(ctx context.Context, group uc.GroupID) (users []uc.UserURI, err error) {
	err = s.in(ctx, "backend.Members", Copies, copyLimit, func(ctx context.Context, _ Side, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT user_uri FROM user_copy WHERE pool = $1 AND routing_group = $2`, string(s.cfg.Pool), int64(group))
		if err != nil {
			return err
		}
		defer rows.Close()
		users = nil
		for rows.Next() {
			var u string
			if err := rows.Scan(&u); err != nil {
				return err
			}
			users = append(users, uc.UserURI(u))
		}
		return rows.Err()
	})
	return users, err
}

// Positions says how far the copy of each group is that was completely copied once.
func (s *Store) Positions(ctx context.Context) (all map[uc.GroupID]Position, err error) {
	err = s.in(ctx, "backend.Positions", Copies, callLimit, func(ctx context.Context, _ Side, tx *sql.Tx) error {
		all, err = s.positions(ctx, tx, nil)
		return err
	})
	return all, err
}

func (s *Store) positions(ctx context.Context, tx *sql.Tx, one *uc.GroupID) (map[uc.GroupID]Position, error) {
	only := int64(-1)
	if one != nil {
		only = int64(*one)
	}
	rows, err := tx.QueryContext(ctx, `SELECT routing_group, term, position, reached FROM routing_group
		WHERE pool = $1 AND position > 0 AND ($2 < 0 OR routing_group = $2)`, string(s.cfg.Pool), only)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[uc.GroupID]Position{}
	for rows.Next() {
		var group, term, index int64
		var at time.Time
		if err := rows.Scan(&group, &term, &index, &at); err != nil {
			return nil, err
		}
		all[uc.GroupID(group)] = Position{uint64(term), uint64(index), at}
	}
	return all, rows.Err()
}
