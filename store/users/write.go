package users

import (
	"context"
	"database/sql"
	"slices"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/rule/directory"
)

// Create implements Store.
func (s *SQLite) Create(ctx context.Context, list ...New) ([]User, error) {
	const op = "users.Create"
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now().UTC().Truncate(1e6)
	made := make([]User, 0, len(list))
	err := s.inTx(ctx, op, func(tx *sql.Tx) error {
		for _, n := range list {
			u := n.User
			if u.GUID == "" {
				u.GUID = uuid.NewString()
			}
			u.GUID, u.WhenCreated, u.WhenChanged = fold(u.GUID), now, now
			directory.Normalize(&u)
			s.place(&u)
			if err := s.insert(ctx, tx, u, n.Secrets); err != nil {
				return err
			}
			s.moved(0, u.RoutingGroup)
			made = append(made, u)
		}
		return nil
	})
	if err != nil {
		for _, u := range made {
			s.moved(u.RoutingGroup, 0)
		}
		return nil, err
	}
	for i := range made {
		s.tell(Change{New: &made[i], Password: true})
	}
	return made, nil
}

func (s *SQLite) insert(ctx context.Context, tx *sql.Tx, u User, c Secrets) error {
	const op = "users.Create"
	if err := directory.Validate(&u); err != nil {
		return err
	}
	if _, err := uuid.Parse(u.GUID); err != nil {
		return fault.Newf(fault.Invalid, op, "Guid needs the form 00000000-0000-0000-0000-000000000000, not %q", u.GUID).About("Guid")
	}
	if _, err := tx.ExecContext(ctx, insertUser, pack(u).values()...); err != nil {
		return conflict(op, u, err)
	}
	return s.putSecrets(ctx, tx, u.GUID, c)
}

// conflict turns a taken column into fault.Exists.
func conflict(op string, u User, err error) error {
	column, ok := taken(err)
	if !ok {
		return unavailable(op, err)
	}
	f, _ := directory.FieldNamed(properties[column])
	value := u.GUID
	if f.Get != nil {
		value = f.Get(&u)
	}
	return exists(op, column, value)
}

// Update implements Store.
func (s *SQLite) Update(ctx context.Context, guid string, change func(*User) error) (User, error) {
	const op = "users.Update"
	s.mu.Lock()
	defer s.mu.Unlock()
	var before, after User
	err := s.inTx(ctx, op, func(tx *sql.Tx) (err error) {
		if before, err = scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan); err != nil {
			return found(op, guid, err)
		}
		after = before
		after.AdminRoles, after.ProxyAddresses = slices.Clone(before.AdminRoles), slices.Clone(before.ProxyAddresses)
		if err := change(&after); err != nil {
			return err
		}
		after.GUID, after.WhenCreated, after.WhenChanged = before.GUID, before.WhenCreated, s.clock.Now().UTC().Truncate(1e6)
		directory.Normalize(&after)
		s.place(&after)
		if err := directory.Validate(&after); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, updateUser, append(pack(after).values(), after.GUID)...); err != nil {
			return conflict(op, after, err)
		}
		if r, ok := renamed(&before, &after); ok {
			return noteRename(ctx, tx, r)
		}
		return nil
	})
	if err != nil {
		return User{}, err
	}
	s.moved(before.RoutingGroup, after.RoutingGroup)
	s.tell(Change{Old: &before, New: &after})
	return after, nil
}

// SetSecrets implements Store.
func (s *SQLite) SetSecrets(ctx context.Context, guid string, c Secrets) error {
	const op = "users.SetSecrets"
	s.mu.Lock()
	defer s.mu.Unlock()
	var u User
	err := s.inTx(ctx, op, func(tx *sql.Tx) (err error) {
		if u, err = scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan); err != nil {
			return found(op, guid, err)
		}
		return s.putSecrets(ctx, tx, u.GUID, c)
	})
	if err != nil {
		return err
	}
	s.tell(Change{Old: &u, New: &u, Password: true})
	return nil
}

func (s *SQLite) putSecrets(ctx context.Context, tx *sql.Tx, guid string, c Secrets) error {
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO secrets (guid, argon2id, nt_hash, ha1_sha256, ha1_md5, changed) VALUES (?, ?, ?, ?, ?, ?)",
		guid, c.Argon2id, c.NTHash, c.HA1SHA256, c.HA1MD5, s.clock.Now().UnixMilli())
	return unavailable("users.SetSecrets", err)
}

// Delete implements Store.
func (s *SQLite) Delete(ctx context.Context, guid string) error {
	const op = "users.Delete"
	s.mu.Lock()
	defer s.mu.Unlock()
	var u User
	err := s.inTx(ctx, op, func(tx *sql.Tx) (err error) {
		if u, err = scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan); err != nil {
			return found(op, guid, err)
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM users WHERE guid = ?", u.GUID)
		return unavailable(op, err)
	})
	if err != nil {
		return err
	}
	s.moved(u.RoutingGroup, 0)
	s.tell(Change{Old: &u})
	return nil
}

// tell calls the observers; the caller holds mu, which keeps the order.
func (s *SQLite) tell(c Change) {
	for _, f := range s.onChange {
		f(c)
	}
}
