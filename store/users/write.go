package users

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/rule/directory"
)

// commit runs f in a transaction and, when it is on disk, tells what f returned.
// A failure leaves everything as it was.
func (s *SQLite) commit(ctx context.Context, op string, f func(tx *sql.Tx) ([]Change, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var load []int
	var told []Change
	err := s.inTx(ctx, op, func(tx *sql.Tx) (err error) {
		load = slices.Clone(s.load)
		told, err = f(tx)
		if s.shared != nil { // what is applied counts
			s.load = load
		}
		return unavailable(op, err)
	})
	if s.shared != nil {
		return err // and is told by follow
	}
	if err != nil {
		if load != nil {
			s.load = load
		}
		return err
	}
	for _, c := range told {
		for _, observe := range s.onChange {
			observe(c)
		}
	}
	return nil
}

// now is the time of a change, as exact as the database keeps it.
func (s *SQLite) now() time.Time { return s.clock.Now().UTC().Truncate(time.Millisecond) }

// Create implements Store.
func (s *SQLite) Create(ctx context.Context, list ...New) ([]User, error) {
	var made []User
	err := s.commit(ctx, "users.Create", func(tx *sql.Tx) ([]Change, error) {
		made = make([]User, 0, len(list))
		var told []Change
		for _, n := range list {
			c, err := s.add(ctx, tx, n)
			if err != nil {
				return nil, err
			}
			made, told = append(made, *c.New), append(told, c)
		}
		return told, nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// add stores a new user; the caller holds mu.
func (s *SQLite) add(ctx context.Context, tx *sql.Tx, n New) (Change, error) {
	const op = "users.Create"
	u := n.User
	if u.GUID == "" {
		u.GUID = uuid.NewString()
	}
	u.GUID, u.WhenCreated, u.PhotoHash = fold(u.GUID), s.now(), ""
	u.WhenChanged = u.WhenCreated
	u.AdminRoles, u.ProxyAddresses = slices.Clone(u.AdminRoles), slices.Clone(u.ProxyAddresses)
	directory.Normalize(&u)
	s.place(&u)
	if err := directory.Validate(&u); err != nil {
		return Change{}, err
	}
	if !directory.IsGUID(u.GUID) {
		return Change{}, fault.Newf(fault.Invalid, op, "Guid needs the form 00000000-0000-0000-0000-000000000000, not %q", u.GUID).About("Guid")
	}
	if err := freeOfGroups(ctx, tx, op, &u); err != nil {
		return Change{}, err
	}
	if _, err := tx.ExecContext(ctx, insertUser, pack(u).values()...); err != nil {
		return Change{}, conflict(op, u, err)
	}
	if err := freeOfUsers(ctx, tx, op, &u); err != nil {
		return Change{}, err
	}
	s.moved(0, u.RoutingGroup)
	return Change{New: &u, Password: true}, s.putSecrets(ctx, tx, u.GUID, n.Secrets)
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
	return s.edit(ctx, "users.Update", guid, func(_ *sql.Tx, u *User) error { return keepPhoto(u, change) })
}

// keepPhoto is a change that cannot touch what SetPhoto alone may.
func keepPhoto(u *User, change func(*User) error) error {
	hash := u.PhotoHash
	err := change(u)
	u.PhotoHash = hash
	return err
}

// edit changes one user in a transaction.
func (s *SQLite) edit(ctx context.Context, op, guid string, change func(tx *sql.Tx, u *User) error) (after User, err error) {
	err = s.commit(ctx, op, func(tx *sql.Tx) ([]Change, error) {
		told, err := s.amend(ctx, tx, op, guid, change)
		if err == nil {
			after = *told[0].New
		}
		return told, err
	})
	return after, err
}

// amend changes one user and those who follow from that; the first of the changes
// is the user's. The caller holds mu.
func (s *SQLite) amend(ctx context.Context, tx *sql.Tx, op, guid string, change func(tx *sql.Tx, u *User) error) ([]Change, error) {
	before, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan)
	if err != nil {
		return nil, found(op, guid, err)
	}
	after, now := before, s.now()
	after.AdminRoles, after.ProxyAddresses = slices.Clone(before.AdminRoles), slices.Clone(before.ProxyAddresses)
	after.WhenChanged = now
	if err := change(tx, &after); err != nil {
		return nil, err
	}
	after.GUID, after.WhenCreated, after.WhenChanged = before.GUID, before.WhenCreated, now
	directory.Normalize(&after)
	s.place(&after)
	if err := directory.Validate(&after); err != nil {
		return nil, err
	}
	if before.SipAddress != after.SipAddress {
		if err := freeOfGroups(ctx, tx, op, &after); err != nil {
			return nil, err
		}
	}
	if before.SipAddress != after.SipAddress || fold(before.UserPrincipalName) != fold(after.UserPrincipalName) {
		if err := freeOfUsers(ctx, tx, op, &after); err != nil {
			return nil, err
		}
	}
	if err := s.store(ctx, tx, op, &before, &after); err != nil {
		return nil, err
	}
	s.moved(before.RoutingGroup, after.RoutingGroup)
	told := []Change{{Old: &before, New: &after}}
	followers, err := s.reports(ctx, tx, managerKey(&before), managerKey(&after))
	return append(told, followers...), err
}

// store writes a changed row and notes a change of address.
func (s *SQLite) store(ctx context.Context, tx *sql.Tx, op string, before, after *User) error {
	if _, err := tx.ExecContext(ctx, updateUser, append(pack(*after).values(), after.GUID)...); err != nil {
		return conflict(op, *after, err)
	}
	if r, ok := renamed(before, after); ok {
		return noteRename(ctx, tx, r)
	}
	return nil
}

// managerKey is how others name u as their manager.
func managerKey(u *User) string { return or(string(u.SipAddress), u.GUID) }

// reports has those whose manager is called was name is instead.
func (s *SQLite) reports(ctx context.Context, tx *sql.Tx, was, is string) ([]Change, error) {
	if was == is {
		return nil, nil
	}
	list, err := query(ctx, tx, selectUser+" WHERE manager = ? AND manager <> ''", was)
	var told []Change
	for i := 0; err == nil && i < len(list); i++ {
		after := list[i]
		after.Manager, after.WhenChanged = is, s.now()
		err = s.store(ctx, tx, "users.Update", &list[i], &after)
		told = append(told, Change{Old: &list[i], New: &after})
	}
	return told, err
}

// SetSecrets implements Store.
func (s *SQLite) SetSecrets(ctx context.Context, guid string, c Secrets) error {
	const op = "users.SetSecrets"
	return s.commit(ctx, op, func(tx *sql.Tx) ([]Change, error) {
		u, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan)
		if err != nil {
			return nil, found(op, guid, err)
		}
		return []Change{{Old: &u, New: &u, Password: true}}, s.putSecrets(ctx, tx, u.GUID, c)
	})
}

func (s *SQLite) putSecrets(ctx context.Context, tx *sql.Tx, guid string, c Secrets) error {
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO secrets (guid, argon2id, nt_hash, ha1_sha256, ha1_md5, changed) VALUES (?, ?, ?, ?, ?, ?)",
		guid, c.Argon2id, c.NTHash, c.HA1SHA256, c.HA1MD5, s.clock.Now().UnixMilli())
	return unavailable("users.SetSecrets", err)
}

// Delete implements Store.
func (s *SQLite) Delete(ctx context.Context, guid string) error {
	return s.DeleteIf(ctx, guid, func(*User) error { return nil })
}

// DeleteIf implements Store.
func (s *SQLite) DeleteIf(ctx context.Context, guid string, allow func(*User) error) error {
	const op = "users.Delete"
	return s.commit(ctx, op, func(tx *sql.Tx) ([]Change, error) {
		u, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan)
		if err != nil {
			return nil, found(op, guid, err)
		}
		if err := allow(&u); err != nil {
			return nil, err
		}
		followers, err := s.reports(ctx, tx, managerKey(&u), "")
		_, left := tx.ExecContext(ctx, "UPDATE groups SET when_changed = ? WHERE guid IN (SELECT group_guid FROM members WHERE user_guid = ?)", sqlite.Millis(s.now()), u.GUID)
		if err := errors.Join(err, left, s.noteGone(ctx, tx, u.GUID, u.SipAddress, u.WindowsEmailAddress, false)); err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM users WHERE guid = ?", u.GUID); err != nil {
			return nil, err
		}
		s.moved(u.RoutingGroup, 0)
		return append([]Change{{Old: &u}}, followers...), nil
	})
}
