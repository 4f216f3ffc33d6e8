package users

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/rule/directory"
	"trivet/uc"
)

// AddressLists are the reads of address books.
type AddressLists interface {
	// SearchGroups returns the groups for whom q holds, by display name, and whether
	// there are more than its limit; then those whose words equal the terms are
	// among the returned before those that only begin with them. The cost depends
	// on the terms, not on the number of groups.
	SearchGroups(ctx context.Context, q directory.Search) (list []Group, more bool, err error)
	// ChangedSince returns what changed at t or later. Who is gone is known for 90
	// days; for an earlier t the failure is fault.Gone and all has to be read.
	ChangedSince(ctx context.Context, t time.Time) (directory.Changes, error)
}

// SearchGroups implements AddressLists. It reads in one view of the database.
func (s *SQLite) SearchGroups(ctx context.Context, q directory.Search) (list []Group, more bool, err error) {
	const op = "users.SearchGroups"
	if q.Limit < 1 || q.Limit > directory.MaxResults {
		return nil, false, fault.Newf(fault.Invalid, op, "Limit needs to be 1 to %d, not %d", directory.MaxResults, q.Limit).About("Limit")
	}
	exact, prefix, err := expressions(q)
	if err != nil || prefix == "" {
		return nil, false, err
	}
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, false, unavailable(op, err)
	}
	defer tx.Rollback()
	ids, err := matches(ctx, tx, exact, q.Limit+1, nil)
	if err == nil && len(ids) <= q.Limit {
		ids, err = matches(ctx, tx, prefix, q.Limit+1, ids)
	}
	if err == nil && len(ids) > 0 {
		chosen := "[" + strings.Join(ids[:min(len(ids), q.Limit)], ",") + "]"
		list, err = queryGroups(ctx, tx, selectGroup+" WHERE id IN (SELECT value FROM json_each(?)) ORDER BY display_key, guid", chosen)
	}
	return list, len(ids) > q.Limit, unavailable(op, err)
}

// matches adds the numbers of groups that fit expression to have, up to limit.
func matches(ctx context.Context, tx *sql.Tx, expression string, limit int, have []string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT rowid FROM group_words WHERE group_words MATCH ? LIMIT ?", expression, limit+len(have))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := make(map[string]bool, len(have))
	for _, id := range have {
		known[id] = true
	}
	for rows.Next() && len(have) < limit {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		if id := strconv.FormatInt(n, 10); !known[id] {
			have = append(have, id)
		}
	}
	return have, rows.Err()
}

// Limits of a term.
const (
	maxTerm  = 256 // bytes
	maxWords = 12
)

// expressions are q in the language of FTS5: for whole words, and for beginnings
// of words. They are empty when q has no words.
func expressions(q directory.Search) (exact, prefix string, err error) {
	const op = "users.SearchGroups"
	if len(q.Terms) > directory.MaxTerms {
		return "", "", fault.Newf(fault.Invalid, op, "Terms may be at most %d", directory.MaxTerms).About("Terms")
	}
	var whole, begun []string
	for _, t := range q.Terms {
		if len(t.Text) > maxTerm || int(t.Attribute) >= len(attributes) {
			return "", "", fault.Newf(fault.Invalid, op, "Terms need a known attribute and a text of at most %d bytes", maxTerm).About("Terms")
		}
		if e := expression(t, ""); e != "" {
			whole, begun = append(whole, e), append(begun, expression(t, " *"))
		}
	}
	if whole == nil {
		return "", "", nil
	}
	return strings.Join(whole, " AND "), strings.Join(begun, " AND "), nil
}

// expression is one term; star is what follows each word.
func expression(t directory.Term, star string) string {
	in := func(column string, words ...string) string {
		for i, w := range words {
			words[i] = `"` + w + `"` + star
		}
		e := "(" + strings.Join(words, " AND ") + ")"
		if column == "" {
			return e
		}
		return "{" + column + "} : " + e
	}
	column := attributes[t.Attribute]
	var words, parts []string
	for _, field := range strings.Fields(t.Text) {
		if !strings.Contains(field, "@") {
			words = append(words, wordList(field)...)
			continue
		}
		if _, rest, typed := strings.Cut(field, ":"); typed {
			field = rest
		}
		if w := joined(field); w != "" {
			parts = append(parts, in(or(column, "mail sip"), w))
		}
	}
	words = words[:min(len(words), maxWords)]
	if len(words) > 0 {
		parts = append(parts, in(column, words...))
	}
	return strings.Join(parts[:min(len(parts), maxWords)], " AND ")
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// keepGone is how long deletions are remembered.
const keepGone = 90 * 24 * time.Hour

// ChangedSince implements AddressLists.
func (s *SQLite) ChangedSince(ctx context.Context, t time.Time) (c directory.Changes, err error) {
	const op = "users.ChangedSince"
	if s.clock.Now().Sub(t) > keepGone {
		return c, fault.New(fault.Gone, op, "deletions are known for 90 days; read the whole directory").About("since")
	}
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, unavailable(op, err)
	}
	defer tx.Rollback()
	since := sqlite.Millis(t)
	if c.Users, err = query(ctx, tx, selectUser+" WHERE when_changed >= ? ORDER BY display_key, guid", since); err != nil {
		return c, unavailable(op, err)
	}
	if c.Groups, err = queryGroups(ctx, tx, selectGroup+" WHERE when_changed >= ? ORDER BY display_key, guid", since); err != nil {
		return c, unavailable(op, err)
	}
	rows, err := tx.QueryContext(ctx, "SELECT guid, sip_address, mail, is_group, at FROM gone WHERE at >= ? ORDER BY id", since)
	if err != nil {
		return c, unavailable(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var g directory.Gone
		var at int64
		if err := rows.Scan(&g.GUID, &g.SipAddress, &g.Mail, &g.Group, &at); err != nil {
			return c, unavailable(op, err)
		}
		g.When = sqlite.Instant(at)
		c.Gone = append(c.Gone, g)
	}
	return c, unavailable(op, rows.Err())
}

// noteGone remembers a deletion and forgets old ones.
func (s *SQLite) noteGone(ctx context.Context, tx *sql.Tx, guid string, a uc.UserURI, mail string, group bool) error {
	now := s.clock.Now()
	if _, err := tx.ExecContext(ctx, "DELETE FROM gone WHERE at < ?", sqlite.Millis(now.Add(-keepGone))); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO gone (guid, sip_address, mail, is_group, at) VALUES (?, ?, ?, ?, ?)", guid, string(a), mail, group, sqlite.Millis(now))
	return err
}
