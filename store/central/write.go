package central

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"trivet/fault"
	"trivet/kit/sqlite"
)

const opChange = "central.Change"

// Change implements Store.
func (s *SQLite) Change(ctx context.Context, by, kind, identity string, change func([]byte) ([]byte, error)) (Document, error) {
	for _, name := range []string{kind, identity, by} {
		if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
			return Document{}, fault.Newf(fault.Invalid, opChange, "a document needs a kind, an identity and an author of at most %d bytes each", MaxName).About(kind)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now().UTC().Truncate(1e6)
	var c Change
	var doc Document
	err := s.inTx(ctx, func(tx *sql.Tx) (err error) {
		c = Change{At: now, By: by, Kind: kind, Identity: identity}
		doc, err = scanDocument(tx.QueryRowContext(ctx, selectDocument+` WHERE d.key = ?`, key(kind, identity)).Scan)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil {
			c.Kind, c.Identity, c.Old = doc.Kind, doc.Identity, doc.Content
		}
		if c.New, err = change(c.Old); err != nil {
			return err
		}
		if c.same() {
			return nil
		}
		return c.store(ctx, tx)
	})
	if err != nil || c.Version == 0 {
		return doc, err
	}
	if s.shared == nil { // else follow has told
		s.tell(c)
	}
	return Document{Kind: c.Kind, Identity: c.Identity, Content: c.New, Version: c.Version, Changed: c.At, By: c.By}, nil
}

func (c *Change) same() bool { return (c.Old == nil) == (c.New == nil) && bytes.Equal(c.Old, c.New) }

// store writes the change and the document, and numbers the change.
func (c *Change) store(ctx context.Context, tx *sql.Tx) error {
	if c.New != nil && (len(c.New) > MaxContent || !json.Valid(c.New)) {
		return fault.Newf(fault.Invalid, opChange, "the content of %s %s needs to be JSON of at most %d bytes", c.Kind, c.Identity, MaxContent).About(c.Kind)
	}
	done, err := tx.ExecContext(ctx, `INSERT INTO changes (at, by, kind, identity, key, old, new) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.At.UnixMilli(), c.By, c.Kind, c.Identity, key(c.Kind, c.Identity), text(c.Old), text(c.New))
	if err != nil {
		return err
	}
	number, err := done.LastInsertId()
	if err != nil {
		return err
	}
	c.Version = uint64(number)
	if c.New == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM documents WHERE key = ?`, key(c.Kind, c.Identity))
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO documents (key, kind, identity, content, version) VALUES (?, ?, ?, ?, ?)`,
		key(c.Kind, c.Identity), c.Kind, c.Identity, text(c.New), number)
	return err
}

// text is a content as a column: NULL for none.
func text(content []byte) any {
	if content == nil {
		return nil
	}
	return string(content)
}

// inTx runs f in a transaction and commits; the caller holds mu. In a pool f may
// run several times; the last time counts.
func (s *SQLite) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	if s.shared != nil {
		return unavailable(opChange, s.shared.InTx(ctx, f))
	}
	return unavailable(opChange, sqlite.InTx(ctx, s.db, f))
}
