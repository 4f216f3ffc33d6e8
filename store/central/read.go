package central

import (
	"context"
	"strings"
	"time"

	"trivet/kit/sqlite"
)

// key is a document's name as it is compared.
func key(kind, identity string) string {
	return strings.ToLower(kind) + "\n" + strings.ToLower(identity)
}

const selectDocument = `SELECT d.kind, d.identity, d.content, d.version, c.at, c.by FROM documents d JOIN changes c USING (version)`

func scanDocument(scan func(...any) error) (Document, error) {
	var d Document
	var at int64
	err := scan(&d.Kind, &d.Identity, &d.Content, &d.Version, &at, &d.By)
	d.Changed = time.UnixMilli(at).UTC()
	return d, err
}

// List implements Store.
func (s *SQLite) List(ctx context.Context, kind string) ([]Document, error) {
	return query(ctx, s.db, "central.List", scanDocument,
		selectDocument+` WHERE ?1 = '' OR lower(d.kind) = lower(?1) ORDER BY d.key`, kind)
}

// Version implements Store.
func (s *SQLite) Version(ctx context.Context) (uint64, error) {
	var n uint64
	err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM changes").Scan(&n)
	return n, unavailable("central.Version", err)
}

const selectChange = `SELECT version, at, by, kind, identity, old, new FROM changes`

func scanChange(scan func(...any) error) (Change, error) {
	var c Change
	var at int64
	err := scan(&c.Version, &at, &c.By, &c.Kind, &c.Identity, &c.Old, &c.New)
	c.At = time.UnixMilli(at).UTC()
	return c, err
}

// Changes implements Store.
func (s *SQLite) Changes(ctx context.Context, after uint64, limit int) ([]Change, error) {
	return query(ctx, s.db, "central.Changes", scanChange, selectChange+` WHERE version > ? ORDER BY version LIMIT ?`, after, limit)
}

// History implements Store.
func (s *SQLite) History(ctx context.Context, kind, identity string, limit int) ([]Change, error) {
	return query(ctx, s.db, "central.History", scanChange, selectChange+` WHERE key = ? ORDER BY version DESC LIMIT ?`, key(kind, identity), limit)
}

func query[T any](ctx context.Context, db sqlite.Querier, op string, scan sqlite.Scanner[T], text string, args ...any) ([]T, error) {
	list, err := sqlite.List(ctx, db, scan, text, args...)
	return list, unavailable(op, err)
}
