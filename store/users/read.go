package users

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/rule/directory"
	"trivet/uc"
)

// ByAddress implements Store.
func (s *SQLite) ByAddress(ctx context.Context, a uc.UserURI) (User, error) {
	u, err := scan(s.byURI.QueryRowContext(ctx, string(a)).Scan)
	return u, found("users.ByAddress", string(a), err)
}

// ByGUID implements Store.
func (s *SQLite) ByGUID(ctx context.Context, guid string) (User, error) {
	u, err := scan(s.byGUID.QueryRowContext(ctx, fold(guid)).Scan)
	return u, found("users.ByGUID", guid, err)
}

// BySource implements Store.
func (s *SQLite) BySource(ctx context.Context, source, id string) (User, error) {
	u, err := scan(s.readers.QueryRowContext(ctx, selectUser+" WHERE source = ? AND source_id = ? AND source <> ''", source, id).Scan)
	return u, found("users.BySource", id, err)
}

// Reports implements Store.
func (s *SQLite) Reports(ctx context.Context, guid string, limit int) ([]User, error) {
	const op = "users.Reports"
	u, err := s.ByGUID(ctx, guid)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = -1
	}
	list, err := query(ctx, s.readers, selectUser+" WHERE manager = ? AND manager <> '' ORDER BY display_key, guid LIMIT ?", managerKey(&u), limit)
	return list, unavailable(op, err)
}

// found maps the errors of a lookup of one user.
func found(op, identity string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.Newf(fault.NotFound, op, "there is no user %q in the directory", identity).About(identity)
	}
	return unavailable(op, err)
}

// lookups are the ways of Find, the most specific first.
var lookups = []struct {
	where string
	key   func(identity string) string // "" = does not apply
}{
	{"sip_address = ?", func(s string) string {
		a, err := directory.Address(s)
		if err != nil {
			return ""
		}
		return string(a)
	}},
	{"upn_key = ?", fold},
	{"sam_key = ?", func(s string) string { return fold(s[strings.LastIndexByte(s, '\\')+1:]) }},
	{"guid = ?", func(s string) string { return strings.Trim(fold(s), "{}") }},
	{"display_key = ?", fold},
}

// Find implements Store.
func (s *SQLite) Find(ctx context.Context, identity string) (User, error) {
	const op = "users.Find"
	identity = strings.TrimSpace(identity)
	if a, err := directory.Address(identity); err == nil {
		list, err := query(ctx, s.readers, selectUser+" WHERE sip_address = ? OR upn_key = ? LIMIT 2", string(a), fold(identity))
		if err == nil && len(list) == 2 {
			err = fault.Newf(fault.Invalid, op, "%q is the SIP address of %s or %s and the login name of the other; use the account name or the GUID", identity, list[0].SamAccountName, list[1].SamAccountName).About(identity)
		}
		if err != nil {
			return User{}, unavailable(op, err)
		}
	}
	for _, l := range lookups {
		key := l.key(identity)
		if key == "" {
			continue
		}
		list, err := query(ctx, s.readers, selectUser+" WHERE "+l.where+" LIMIT 2", key)
		if err != nil {
			return User{}, unavailable(op, err)
		}
		switch len(list) {
		case 1:
			return list[0], nil
		case 2:
			return User{}, fault.Newf(fault.Invalid, op, "several users are called %q; use the SIP address or the account name", identity).About(identity)
		}
	}
	return User{}, found(op, identity, sql.ErrNoRows)
}

// loginQuery finds the one user who has the name. For a name that nobody has, or that
// is the address of one and the login name of another, it returns somebody else, who is
// read as long and then left.
var loginQuery = selectUser + ` WHERE guid = coalesce(
	(SELECT CASE WHEN min(guid) = max(guid) THEN min(guid) END FROM users WHERE sip_address = ?1 OR upn_key = ?2 OR sam_key = ?2),
	(SELECT guid FROM users WHERE sip_address IS NOT ?1 AND upn_key IS NOT ?2 AND sam_key IS NOT ?2 LIMIT 1))`

// ByLogin implements Store.
func (s *SQLite) ByLogin(ctx context.Context, name string) (User, error) {
	const op = "users.ByLogin"
	key := fold(strings.TrimSpace(name))
	address, err := directory.Address(key)
	if err != nil {
		address = ""
	}
	u, err := scan(s.byLogin.QueryRowContext(ctx, nullable(string(address)), nullable(key)).Scan)
	if err == nil && (address == "" || u.SipAddress != address) && (key == "" || fold(u.UserPrincipalName) != key && fold(u.SamAccountName) != key) {
		u, err = User{}, sql.ErrNoRows
	}
	return u, found(op, name, err)
}

// nullable keeps an empty key from fitting an empty column.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func query(ctx context.Context, db sqlite.Querier, text string, args ...any) ([]User, error) {
	return sqlite.List(ctx, db, scan, text, args...)
}

// List implements Store.
func (s *SQLite) List(ctx context.Context, q Query) ([]User, error) {
	var list []User
	err := sqlite.Each(ctx, s.readers, scan, func(u User) bool {
		if q.selects(&u) {
			list = append(list, u)
		}
		return q.Limit <= 0 || len(list) < q.Limit
	}, selectUser+" ORDER BY display_key, guid")
	return list, unavailable("users.List", err)
}

func (q Query) selects(u *User) bool {
	if q.Pattern != "" {
		fits := false
		for _, name := range u.Identities() {
			fits = fits || directory.Match(q.Pattern, name)
		}
		if !fits && !directory.Match(q.Pattern, u.SipAddress.Bare()) {
			return false
		}
	}
	return q.Filter.Fits(u)
}

// Secrets implements Store.
func (s *SQLite) Secrets(ctx context.Context, guid string) (Secrets, error) {
	var c Secrets
	var changed int64
	err := s.secrets.QueryRowContext(ctx, fold(guid)).Scan(&c.Argon2id, &c.NTHash, &c.HA1SHA256, &c.HA1MD5, &changed)
	c.Changed = sqlite.Instant(changed)
	return c, found("users.Secrets", guid, err)
}
