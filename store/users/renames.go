package users

import (
	"context"
	"database/sql"

	"trivet/fault"
	"trivet/uc"
)

// Rename is a change of a SIP address that the user's routing group has to follow:
// what the group keeps of the user is under the address.
type Rename struct {
	Old, New     uc.UserURI
	RoutingGroup uc.GroupID // the same before and after
}

// renamed is what a change asks of the routing group, false for nothing.
func renamed(before, after *User) (Rename, bool) {
	r := Rename{before.SipAddress, after.SipAddress, after.RoutingGroup}
	return r, r.Old != "" && r.New != "" && r.Old != r.New && before.RoutingGroup == after.RoutingGroup
}

// Renames implements Store.
func (s *SQLite) Renames(ctx context.Context) ([]Rename, error) {
	const op = "users.Renames"
	rows, err := s.readers.QueryContext(ctx, "SELECT was, becomes, routing_group FROM renames ORDER BY id")
	if err != nil {
		return nil, unavailable(op, err)
	}
	defer rows.Close()
	var list []Rename
	for rows.Next() {
		var r Rename
		if err := rows.Scan(&r.Old, &r.New, &r.RoutingGroup); err != nil {
			return nil, unavailable(op, err)
		}
		list = append(list, r)
	}
	return list, unavailable(op, rows.Err())
}

// Renamed implements Store.
func (s *SQLite) Renamed(ctx context.Context, r Rename) error {
	const op = "users.Renamed"
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inTx(ctx, op, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM renames WHERE id =
			(SELECT min(id) FROM renames WHERE was = ? AND becomes = ? AND routing_group = ?)`, r.Old, r.New, r.RoutingGroup)
		if err != nil {
			return unavailable(op, err)
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return unavailable(op, err)
		}
		return fault.Newf(fault.NotFound, op, "no change from %s to %s is noted", r.Old, r.New).About(string(r.Old))
	})
}

func noteRename(ctx context.Context, tx *sql.Tx, r Rename) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO renames (was, becomes, routing_group) VALUES (?, ?, ?)", r.Old, r.New, r.RoutingGroup)
	return unavailable("users.Update", err)
}
