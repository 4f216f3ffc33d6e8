package backend

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"

	"trivet/fault"
	"trivet/rule/witness"
	"trivet/uc"
)

// Update lets f make the new rows of the witness for groups from those it has; groups
// that f leaves out stay as they are. Between reading and writing nobody else touches
// these rows, and what f returned is on disk when Update returns nil; after an error it
// may be or not. f runs at most once.
//
// The witness is on the primary server only: while the mirror is the principal the
// answer is fault.NotPrimary.
func (s *Store) Update(ctx context.Context, groups []uc.GroupID, f func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row) error {
	const op = "backend.Update"
	if len(groups) == 0 {
		return nil
	}
	if Side(s.follow.Load()) == Mirror {
		return noWitness(op)
	}
	ids := make([]int64, len(groups))
	for i, g := range groups {
		ids[i] = int64(g)
	}
	slices.Sort(ids)
	return s.in(ctx, op, Shared, callLimit, func(ctx context.Context, side Side, tx *sql.Tx) error {
		if side != Primary {
			return noWitness(op)
		}
		rows, err := s.lockRows(ctx, tx, ids)
		if err != nil {
			return err
		}
		before := make(map[uc.GroupID]witness.Row, len(rows))
		for g, r := range rows {
			before[g] = r
		}
		for g, r := range f(rows) {
			old, known := before[g]
			if !known {
				return fault.Newf(fault.Invalid, op, "group %d was not asked for", g)
			}
			if r == old {
				continue
			}
			if err := s.writeRow(ctx, op, tx, g, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func noWitness(op string) error {
	return fault.New(fault.NotPrimary, op, "the mirror is the principal, and only the primary Back End has the witness; fail over to Primary when that server is well")
}

// lockRows reads the rows of groups in one order, so that two servers never wait for
// each other, and makes those that are missing.
func (s *Store) lockRows(ctx context.Context, tx *sql.Tx, ids []int64) (map[uc.GroupID]witness.Row, error) {
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", callLimit.Milliseconds())); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO witness (pool, group_id) SELECT $1, g FROM unnest($2::bigint[]) AS g ORDER BY g ON CONFLICT DO NOTHING`,
		string(s.cfg.Pool), ids); err != nil {
		return nil, err
	}
	list, err := tx.QueryContext(ctx, `SELECT group_id, term, vote, last_term, last_index FROM witness
		WHERE pool = $1 AND group_id = ANY($2) ORDER BY group_id FOR UPDATE`, string(s.cfg.Pool), ids)
	if err != nil {
		return nil, err
	}
	defer list.Close()
	rows := make(map[uc.GroupID]witness.Row, len(ids))
	for list.Next() {
		var g int64
		var r [4]int64
		if err := list.Scan(&g, &r[0], &r[1], &r[2], &r[3]); err != nil {
			return nil, err
		}
		rows[uc.GroupID(g)] = witness.Row{Term: uint64(r[0]), Vote: uint64(r[1]), LastTerm: uint64(r[2]), LastIndex: uint64(r[3])}
	}
	return rows, list.Err()
}

func (s *Store) writeRow(ctx context.Context, op string, tx *sql.Tx, g uc.GroupID, r witness.Row) error {
	if max(r.Term, r.Vote, r.LastTerm, r.LastIndex) > math.MaxInt64 {
		return fault.Newf(fault.Invalid, op, "a number of group %d does not fit the witness", g)
	}
	_, err := tx.ExecContext(ctx, `UPDATE witness SET term = $3, vote = $4, last_term = $5, last_index = $6 WHERE pool = $1 AND group_id = $2`,
		string(s.cfg.Pool), int64(g), int64(r.Term), int64(r.Vote), int64(r.LastTerm), int64(r.LastIndex))
	return err
}
