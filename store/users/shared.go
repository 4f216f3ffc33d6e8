package users

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"trivet/kit/rowlog"
	"trivet/uc"
)

// share makes the file one of the copies that a log keeps alike. The words by which
// groups are found are each server's own: they follow its release's rules.
func (s *SQLite) share(ctx context.Context, path string, log rowlog.Log) (err error) {
	s.shared, err = rowlog.Open(ctx, s.writer, path, log, rowlog.Spec{
		Local:   []string{"word_version"},
		Applied: s.follow,
		Rebuild: s.reload,
	})
	return err
}

// Shared is the copy that the pool's directory group applies its log to, nil for a
// store that was opened without a log.
func (s *SQLite) Shared() *rowlog.Copy { return s.shared }

// OnReload has f called when everything may have changed at once, because the copy
// was far behind and took the whole directory of another server. Otherwise it is
// as OnChange.
func (s *SQLite) OnReload(f func()) { s.onReload = append(s.onReload, f) }

// follow brings what is derived behind rows that the log changed, and says what is
// to be told: on every server the same, also where the change was not made.
func (s *SQLite) follow(ctx context.Context, tx *sql.Tx, list []rowlog.Change) (tell func(), err error) {
	if err := followWords(ctx, tx, list); err != nil {
		return nil, err
	}
	told, err := changesIn(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	revoked, err := revokedIn(list)
	if err != nil {
		return nil, err
	}
	return func() {
		for _, c := range told {
			s.moved(groupOf(c.Old), groupOf(c.New))
			for _, observe := range s.onChange {
				observe(c)
			}
		}
		for _, observe := range s.onRevoke {
			if len(revoked) > 0 {
				observe(revoked)
			}
		}
	}, nil
}

// changesIn are the users among changed rows, in the order in which they were
// changed. New credentials are a change of their user.
func changesIn(ctx context.Context, tx *sql.Tx, list []rowlog.Change) ([]Change, error) {
	var told []Change
	at := map[string]int{} // place in told by GUID
	for _, c := range list {
		if c.Table != "users" {
			continue
		}
		before, err := userIn(c.Old)
		if err != nil {
			return nil, err
		}
		after, err := userIn(c.New)
		if err != nil {
			return nil, err
		}
		at[text(c, "guid")] = len(told)
		told = append(told, Change{Old: before, New: after})
	}
	for _, c := range list {
		if c.Table != "secrets" || c.New == nil {
			continue
		}
		guid := text(c, "guid")
		i, known := at[guid]
		if !known {
			u, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", guid).Scan)
			if err != nil {
				return nil, err
			}
			i, at[guid] = len(told), len(told)
			told = append(told, Change{Old: &u, New: &u})
		}
		told[i].Password = true
	}
	return told, nil
}

// revokedIn are the certificates among changed rows that are revoked now, in the
// order of Revoke.
func revokedIn(list []rowlog.Change) ([]Certificate, error) {
	var revoked []Certificate
	for _, c := range list {
		if c.Table != "client_certificates" || c.Old == nil || c.New == nil || c.Old["revoked"] != int64(0) || c.New["revoked"] == int64(0) {
			continue
		}
		cert, err := scanCertificate(c.New.Scan("serial", "guid", "device", "key_hash", "issued", "expires", "revoked"))
		if err != nil {
			return nil, err
		}
		revoked = append(revoked, cert)
	}
	slices.SortFunc(revoked, func(a, b Certificate) int { return cmp.Or(b.Issued.Compare(a.Issued), cmp.Compare(a.Serial, b.Serial)) })
	return revoked, nil
}

// followWords makes the words of changed groups anew.
func followWords(ctx context.Context, tx *sql.Tx, list []rowlog.Change) error {
	for _, c := range list {
		if c.Table != "groups" {
			continue
		}
		if c.Old != nil {
			if _, err := tx.ExecContext(ctx, "DELETE FROM group_words WHERE rowid = ?", c.Old["id"]); err != nil {
				return err
			}
		}
		if c.New == nil {
			continue
		}
		g, err := groupIn(ctx, tx, "users.follow", text(c, "guid"))
		if err == nil {
			err = indexGroup(ctx, tx, &g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reload follows a replacement of all rows.
func (s *SQLite) reload(ctx context.Context, tx *sql.Tx) (tell func(), err error) {
	if err := indexGroups(ctx, tx); err != nil {
		return nil, err
	}
	if err := s.countGroups(ctx, tx); err != nil {
		return nil, err
	}
	return func() {
		for _, f := range s.onReload {
			f()
		}
	}, nil
}

// userIn is the user in a row, nil for none.
func userIn(r rowlog.Row) (*User, error) {
	if r == nil {
		return nil, nil
	}
	u, err := scan(r.Scan(columnList...))
	return &u, err
}

// text is a column that a change has, before or after.
func text(c rowlog.Change, column string) string {
	r := c.New
	if r == nil {
		r = c.Old
	}
	s, _ := r[column].(string)
	return s
}

func groupOf(u *User) uc.GroupID {
	if u == nil {
		return 0
	}
	return u.RoutingGroup
}
