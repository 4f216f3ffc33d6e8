package users

import (
	"context"
	"database/sql"
	"strings"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/rule/directory"
)

// memberKey tells a group's members apart.
func memberKey(m directory.Member) string { return fold(m.User + m.Group + m.Mail) }

// AddMembers implements Groups.
func (s *SQLite) AddMembers(ctx context.Context, guid string, list ...directory.Member) (int, error) {
	const op = "users.AddMembers"
	return s.changeMembers(ctx, op, guid, func(tx *sql.Tx, g *Group) (int, error) { return putMembers(ctx, tx, op, g, list) })
}

// RemoveMembers implements Groups.
func (s *SQLite) RemoveMembers(ctx context.Context, guid string, list ...directory.Member) (int, error) {
	return s.changeMembers(ctx, "users.RemoveMembers", guid, func(tx *sql.Tx, g *Group) (int, error) {
		n := 0
		for _, m := range list {
			gone, err := dropMember(ctx, tx, g, memberKey(m))
			if err != nil {
				return n, err
			}
			n += gone
		}
		return n, nil
	})
}

// SetMembers implements Groups.
func (s *SQLite) SetMembers(ctx context.Context, guid string, list ...directory.Member) (int, error) {
	const op = "users.SetMembers"
	return s.changeMembers(ctx, op, guid, func(tx *sql.Tx, g *Group) (int, error) {
		wanted := make(map[string]bool, len(list))
		for _, m := range list {
			wanted[memberKey(m)] = true
		}
		have, err := memberKeys(ctx, tx, g)
		n := 0
		for i := 0; err == nil && i < len(have); i++ {
			if !wanted[have[i]] {
				_, err = dropMember(ctx, tx, g, have[i])
				n++
			}
		}
		if err != nil {
			return n, err
		}
		came, err := putMembers(ctx, tx, op, g, list)
		return n + came, err
	})
}

// changeMembers runs f and notes when it changed something.
func (s *SQLite) changeMembers(ctx context.Context, op, guid string, f func(tx *sql.Tx, g *Group) (int, error)) (n int, err error) {
	err = s.groupCommit(ctx, op, func(tx *sql.Tx) error {
		g, err := groupIn(ctx, tx, op, guid)
		if err != nil {
			return err
		}
		if n, err = f(tx, &g); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE groups SET when_changed = ? WHERE guid = ?", sqlite.Millis(s.now()), g.GUID)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func dropMember(ctx context.Context, tx *sql.Tx, g *Group, key string) (int, error) {
	r, err := tx.ExecContext(ctx, "DELETE FROM members WHERE group_guid = ? AND key = ?", g.GUID, key)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

func memberKeys(ctx context.Context, tx *sql.Tx, g *Group) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT key FROM members WHERE group_guid = ?", g.GUID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		list = append(list, key)
	}
	return list, rows.Err()
}

// putMembers adds members and returns how many came or, as contacts, changed.
func putMembers(ctx context.Context, tx *sql.Tx, op string, g *Group, list []directory.Member) (int, error) {
	total := 0
	for _, m := range list {
		if err := directory.ValidateMember(m); err != nil {
			return 0, err
		}
		if err := canJoin(ctx, tx, op, g, m); err != nil {
			return 0, err
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO members (group_guid, key, user_guid, member_guid, mail, display_name) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (group_guid, key) DO UPDATE SET mail = excluded.mail, display_name = excluded.display_name
			WHERE mail <> excluded.mail OR display_name <> excluded.display_name`,
			g.GUID, memberKey(m), orNull(fold(m.User)), orNull(fold(m.Group)), m.Mail, strings.TrimSpace(m.DisplayName))
		if err != nil {
			return 0, err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return 0, err
		}
		total += int(n)
	}
	return total, nil
}

// canJoin refuses members that are not there and groups that contain g.
func canJoin(ctx context.Context, tx *sql.Tx, op string, g *Group, m directory.Member) error {
	var n int
	switch {
	case m.User != "":
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM users WHERE guid = ?", fold(m.User)).Scan(&n)
		if err == nil && n == 0 {
			err = found(op, m.User, sql.ErrNoRows)
		}
		return err
	case m.Group == "":
		return nil
	}
	inner, err := groupIn(ctx, tx, op, m.Group)
	if err != nil || g.Source != "" {
		return err
	}
	err = tx.QueryRowContext(ctx, `WITH RECURSIVE inside (guid) AS (
			VALUES (?1) UNION SELECT m.member_guid FROM members m JOIN inside i ON m.group_guid = i.guid WHERE m.member_guid IS NOT NULL)
		SELECT count(*) FROM inside WHERE guid = ?2`, inner.GUID, g.GUID).Scan(&n)
	if err == nil && n > 0 {
		err = fault.Newf(fault.Invalid, op, "Member %s contains the group %s or is it; a group cannot be in itself", inner.Mail, g.Mail).About("Member")
	}
	return err
}

// expandQuery sorts by name on small rows and then reads the whole of what is
// shown.
var expandQuery = `SELECT coalesce(m.user_guid, ''), coalesce(m.member_guid, ''), m.mail, m.display_name, count(*) OVER ()
	FROM members m LEFT JOIN users u ON u.guid = m.user_guid LEFT JOIN groups g ON g.guid = m.member_guid
	WHERE m.group_guid = ? ORDER BY coalesce(u.display_key, g.display_key, lower(m.display_name)), m.key LIMIT ?`

// Expand implements Groups.
func (s *SQLite) Expand(ctx context.Context, address string, limit int) (x directory.Expansion, err error) {
	const op = "users.Expand"
	if limit <= 0 {
		limit = -1
	}
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return x, unavailable(op, err)
	}
	defer tx.Rollback()
	key := fold(strings.TrimSpace(address))
	x.Group, err = scanGroup(tx.QueryRowContext(ctx, selectGroup+" WHERE mail_key = ?1 OR sip_address = ?1 OR guid = ?1 LIMIT 1", key).Scan)
	if err != nil {
		return x, foundGroup(op, address, err)
	}
	list, total, err := membersOf(ctx, tx, x.Group.GUID, limit)
	if err != nil {
		return x, unavailable(op, err)
	}
	x.Total, x.Members = total, make([]directory.Entry, len(list))
	for i, m := range list {
		if x.Members[i], err = entryOf(ctx, tx, m); err != nil {
			return x, unavailable(op, err)
		}
	}
	return x, nil
}

func membersOf(ctx context.Context, tx *sql.Tx, guid string, limit int) (list []directory.Member, total int, err error) {
	rows, err := tx.QueryContext(ctx, expandQuery, guid, limit)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var m directory.Member
		if err := rows.Scan(&m.User, &m.Group, &m.Mail, &m.DisplayName, &total); err != nil {
			return nil, 0, err
		}
		list = append(list, m)
	}
	return list, total, rows.Err()
}

func entryOf(ctx context.Context, tx *sql.Tx, m directory.Member) (directory.Entry, error) {
	switch {
	case m.User != "":
		u, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", m.User).Scan)
		return directory.Entry{User: &u}, err
	case m.Group != "":
		g, err := scanGroup(tx.QueryRowContext(ctx, selectGroup+" WHERE guid = ?", m.Group).Scan)
		return directory.Entry{Group: &g}, err
	}
	return directory.Entry{Mail: m.Mail, DisplayName: m.DisplayName}, nil
}
