package users

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/rule/directory"
)

// Group is a distribution group.
type Group = directory.Group

// Groups keeps distribution groups and who is in them. Failures are those of Store.
type Groups interface {
	// Group returns the group with that GUID.
	Group(ctx context.Context, guid string) (Group, error)
	// GroupByMail returns the group with that mail address, in any case.
	GroupByMail(ctx context.Context, mail string) (Group, error)
	// GroupBySource returns the group that a directory source knows by id.
	GroupBySource(ctx context.Context, source, id string) (Group, error)
	// FindGroup returns the one group that goes by identity: mail address, SIP
	// address, GUID, alias or display name, tried in this order, in any case.
	FindGroup(ctx context.Context, identity string) (Group, error)
	// ListGroups returns the groups one of whose identities fits pattern ("" fits
	// all), by display name, at most limit; 0 = all.
	ListGroups(ctx context.Context, pattern string, limit int) ([]Group, error)

	// CreateGroup stores a group with its members. A GUID that is set is kept.
	CreateGroup(ctx context.Context, g Group, members ...directory.Member) (Group, error)
	// UpdateGroup is Update for groups.
	UpdateGroup(ctx context.Context, guid string, change func(*Group) error) (Group, error)
	// DeleteGroup removes a group, also from the groups that it is in.
	DeleteGroup(ctx context.Context, guid string) error

	// AddMembers puts members in, all or none, and returns how many were not in
	// before. A group made here cannot come to contain itself, fault.Invalid; one
	// of a directory source can, as the source has it: Expand goes one level only.
	AddMembers(ctx context.Context, guid string, list ...directory.Member) (int, error)
	// RemoveMembers takes members out and returns how many were in.
	RemoveMembers(ctx context.Context, guid string, list ...directory.Member) (int, error)
	// SetMembers makes list the members. It returns how many came and went; with
	// none the group does not count as changed.
	SetMembers(ctx context.Context, guid string, list ...directory.Member) (int, error)
	// Expand returns the group with that mail address, SIP address or GUID and its
	// direct members by display name, at most limit; 0 = all.
	Expand(ctx context.Context, address string, limit int) (directory.Expansion, error)
}

const (
	groupColumns = "guid, mail, sip_address, display_name, description, mail_nickname, hidden, source, source_id, when_created, when_changed"
	selectGroup  = "SELECT " + groupColumns + " FROM groups"
)

func scanGroup(from func(...any) error) (Group, error) {
	var g Group
	var sip sql.NullString
	var created, changed int64
	err := from(&g.GUID, &g.Mail, &sip, &g.DisplayName, &g.Description, &g.MailNickname, &g.HideFromAddressLists, &g.Source, &g.SourceID, &created, &changed)
	g.SipAddress, g.WhenCreated, g.WhenChanged = uri(sip), sqlite.Instant(created), sqlite.Instant(changed)
	return g, err
}

func queryGroups(ctx context.Context, db sqlite.Querier, text string, args ...any) ([]Group, error) {
	return sqlite.List(ctx, db, scanGroup, text, args...)
}

// foundGroup maps the errors of a lookup of one group.
func foundGroup(op, identity string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.Newf(fault.NotFound, op, "there is no group %q in the directory", identity).About(identity)
	}
	return unavailable(op, err)
}

// Group implements Groups.
func (s *SQLite) Group(ctx context.Context, guid string) (Group, error) {
	g, err := scanGroup(s.readers.QueryRowContext(ctx, selectGroup+" WHERE guid = ?", fold(guid)).Scan)
	return g, foundGroup("users.Group", guid, err)
}

// GroupByMail implements Groups.
func (s *SQLite) GroupByMail(ctx context.Context, mail string) (Group, error) {
	g, err := scanGroup(s.readers.QueryRowContext(ctx, selectGroup+" WHERE mail_key = ?", fold(mail)).Scan)
	return g, foundGroup("users.GroupByMail", mail, err)
}

// GroupBySource implements Groups.
func (s *SQLite) GroupBySource(ctx context.Context, source, id string) (Group, error) {
	g, err := scanGroup(s.readers.QueryRowContext(ctx, selectGroup+" WHERE source = ? AND source_id = ? AND source <> ''", source, id).Scan)
	return g, foundGroup("users.GroupBySource", id, err)
}

// groupLookups are the ways of FindGroup, the most specific first.
var groupLookups = []struct {
	where string
	key   func(identity string) string // "" = does not apply
}{
	{"mail_key = ?", fold},
	{"sip_address = ?", func(s string) string {
		a, err := directory.Address(s)
		if err != nil {
			return ""
		}
		return string(a)
	}},
	{"guid = ?", func(s string) string { return strings.Trim(fold(s), "{}") }},
	{"alias_key = ?", fold},
	{"display_key = ?", fold},
}

// FindGroup implements Groups.
func (s *SQLite) FindGroup(ctx context.Context, identity string) (Group, error) {
	const op = "users.FindGroup"
	identity = strings.TrimSpace(identity)
	for _, l := range groupLookups {
		key := l.key(identity)
		if key == "" {
			continue
		}
		list, err := queryGroups(ctx, s.readers, selectGroup+" WHERE "+l.where+" LIMIT 2", key)
		switch {
		case err != nil:
			return Group{}, unavailable(op, err)
		case len(list) == 1:
			return list[0], nil
		case len(list) == 2:
			return Group{}, fault.Newf(fault.Invalid, op, "several groups are called %q; use the mail address", identity).About(identity)
		}
	}
	return Group{}, foundGroup(op, identity, sql.ErrNoRows)
}

// ListGroups implements Groups.
func (s *SQLite) ListGroups(ctx context.Context, pattern string, limit int) ([]Group, error) {
	var list []Group
	err := sqlite.Each(ctx, s.readers, scanGroup, func(g Group) bool {
		if groupFits(&g, pattern) {
			list = append(list, g)
		}
		return limit <= 0 || len(list) < limit
	}, selectGroup+" ORDER BY display_key, guid")
	return list, unavailable("users.ListGroups", err)
}

func groupFits(g *Group, pattern string) bool {
	if pattern == "" {
		return true
	}
	for _, name := range g.Identities() {
		if directory.Match(pattern, name) {
			return true
		}
	}
	return false
}

// groupCommit is commit for changes of groups, which nobody observes.
func (s *SQLite) groupCommit(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	return s.commit(ctx, op, func(tx *sql.Tx) ([]Change, error) { return nil, f(tx) })
}

// CreateGroup implements Groups.
func (s *SQLite) CreateGroup(ctx context.Context, g Group, members ...directory.Member) (Group, error) {
	const op = "users.CreateGroup"
	if g.GUID == "" {
		g.GUID = uuid.NewString()
	}
	g.GUID = fold(g.GUID)
	err := s.groupCommit(ctx, op, func(tx *sql.Tx) error {
		g.WhenCreated = s.now()
		g.WhenChanged = g.WhenCreated
		if err := checkGroup(ctx, tx, op, &g); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO groups (guid, mail, mail_key, sip_address, display_name, display_key, description, mail_nickname, alias_key,
			hidden, source, source_id, when_created, when_changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			g.GUID, g.Mail, fold(g.Mail), orNull(string(g.SipAddress)), g.DisplayName, fold(g.DisplayName), g.Description, g.MailNickname, fold(g.MailNickname),
			g.HideFromAddressLists, g.Source, g.SourceID, sqlite.Millis(g.WhenCreated), sqlite.Millis(g.WhenChanged))
		if err != nil {
			return groupConflict(op, &g, err)
		}
		if err := indexGroup(ctx, tx, &g); err != nil {
			return err
		}
		_, err = putMembers(ctx, tx, op, &g, members)
		return err
	})
	if err != nil {
		return Group{}, err
	}
	return g, nil
}

// checkGroup brings g to its stored form and checks it.
func checkGroup(ctx context.Context, tx *sql.Tx, op string, g *Group) error {
	directory.NormalizeGroup(g)
	if err := directory.ValidateGroup(g); err != nil {
		return err
	}
	if !directory.IsGUID(g.GUID) {
		return fault.Newf(fault.Invalid, op, "Guid needs the form 00000000-0000-0000-0000-000000000000, not %q", g.GUID).About("Guid")
	}
	if g.SipAddress == "" {
		return nil
	}
	return free(ctx, tx, op, "SELECT count(*) FROM users WHERE sip_address = ?", string(g.SipAddress))
}

// freeOfUsers refuses a user the login name of another one as SIP address, and the
// address as login name: each is a name to sign in with.
func freeOfUsers(ctx context.Context, tx *sql.Tx, op string, u *User) error {
	for _, c := range []struct{ count, name, column, value string }{
		{"SELECT count(*) FROM users WHERE upn_key = ? AND guid <> ?", u.SipAddress.Bare(), "sip_address", string(u.SipAddress)},
		{"SELECT count(*) FROM users WHERE sip_address = ? AND guid <> ?", "sip:" + fold(u.UserPrincipalName), "upn_key", u.UserPrincipalName},
	} {
		n := 0
		if err := tx.QueryRowContext(ctx, c.count, c.name, u.GUID).Scan(&n); err != nil {
			return err
		}
		if n > 0 && c.value != "" {
			return exists(op, c.column, c.value)
		}
	}
	return nil
}

// freeOfGroups refuses a user the SIP address of a group.
func freeOfGroups(ctx context.Context, tx *sql.Tx, op string, u *User) error {
	if u.SipAddress == "" {
		return nil
	}
	return free(ctx, tx, op, "SELECT count(*) FROM groups WHERE sip_address = ?", string(u.SipAddress))
}

func free(ctx context.Context, tx *sql.Tx, op, count, address string) error {
	var n int
	if err := tx.QueryRowContext(ctx, count, address).Scan(&n); err != nil || n == 0 {
		return err
	}
	return exists(op, "sip_address", address)
}

func groupConflict(op string, g *Group, err error) error {
	column, ok := taken(err)
	if !ok {
		return unavailable(op, err)
	}
	value := map[string]string{"guid": g.GUID, "mail_key": g.Mail, "sip_address": string(g.SipAddress), "source": g.SourceID}[column]
	return exists(op, column, value)
}

// UpdateGroup implements Groups.
func (s *SQLite) UpdateGroup(ctx context.Context, guid string, change func(*Group) error) (Group, error) {
	const op = "users.UpdateGroup"
	var after Group
	err := s.groupCommit(ctx, op, func(tx *sql.Tx) error {
		before, err := groupIn(ctx, tx, op, guid)
		if err != nil {
			return err
		}
		after = before
		if err := change(&after); err != nil {
			return err
		}
		after.GUID, after.WhenCreated, after.WhenChanged = before.GUID, before.WhenCreated, s.now()
		if err := checkGroup(ctx, tx, op, &after); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE groups SET mail = ?, mail_key = ?, sip_address = ?, display_name = ?, display_key = ?, description = ?, mail_nickname = ?,
			alias_key = ?, hidden = ?, source = ?, source_id = ?, when_changed = ? WHERE guid = ?`,
			after.Mail, fold(after.Mail), orNull(string(after.SipAddress)), after.DisplayName, fold(after.DisplayName), after.Description, after.MailNickname,
			fold(after.MailNickname), after.HideFromAddressLists, after.Source, after.SourceID, sqlite.Millis(after.WhenChanged), after.GUID)
		if err != nil {
			return groupConflict(op, &after, err)
		}
		return indexGroup(ctx, tx, &after)
	})
	if err != nil {
		return Group{}, err
	}
	return after, nil
}

func groupIn(ctx context.Context, tx *sql.Tx, op, guid string) (Group, error) {
	g, err := scanGroup(tx.QueryRowContext(ctx, selectGroup+" WHERE guid = ?", fold(guid)).Scan)
	return g, foundGroup(op, guid, err)
}

// DeleteGroup implements Groups.
func (s *SQLite) DeleteGroup(ctx context.Context, guid string) error {
	const op = "users.DeleteGroup"
	return s.groupCommit(ctx, op, func(tx *sql.Tx) error {
		g, err := groupIn(ctx, tx, op, guid)
		if err != nil {
			return err
		}
		_, left := tx.ExecContext(ctx, "UPDATE groups SET when_changed = ? WHERE guid IN (SELECT group_guid FROM members WHERE member_guid = ?)", sqlite.Millis(s.now()), g.GUID)
		_, words := tx.ExecContext(ctx, "DELETE FROM group_words WHERE rowid = (SELECT id FROM groups WHERE guid = ?)", g.GUID)
		if err := errors.Join(left, words, s.noteGone(ctx, tx, g.GUID, g.SipAddress, g.Mail, true)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM groups WHERE guid = ?", g.GUID)
		return err
	})
}
