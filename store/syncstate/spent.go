package syncstate

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"trivet/kit/sqlite"
	"trivet/rule/dirsync"
)

// keep is how long it is remembered what was done.
const keep = 31 * 24 * time.Hour

// Spend notes how many actions of a kind were applied without approval.
func (s *Store) Spend(ctx context.Context, source string, at time.Time, kind dirsync.Kind, number int) error {
	const op = "syncstate.Spend"
	if _, err := s.db.ExecContext(ctx, "DELETE FROM spent WHERE at < ?", sqlite.Millis(at.Add(-keep))); err != nil {
		return unavailable(op, err)
	}
	_, err := s.db.ExecContext(ctx, "INSERT INTO spent (source, at, kind, number) VALUES (?, ?, ?, ?)", source, sqlite.Millis(at), kind, number)
	return unavailable(op, err)
}

// Spent adds up what was noted after since.
func (s *Store) Spent(ctx context.Context, source string, since time.Time) (sum dirsync.Counts, err error) {
	const op = "syncstate.Spent"
	rows, err := s.db.QueryContext(ctx, "SELECT kind, sum(number) FROM spent WHERE source = ? AND at > ? GROUP BY kind", source, sqlite.Millis(since))
	if err != nil {
		return sum, unavailable(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, n int
		if err := rows.Scan(&kind, &n); err != nil {
			return sum, unavailable(op, err)
		}
		if kind < len(sum) {
			sum[kind] = n
		}
	}
	return sum, unavailable(op, rows.Err())
}

// State returns what SetState stored for a source, nil for nothing.
func (s *Store) State(ctx context.Context, source string) ([]byte, error) {
	var b []byte
	err := s.db.QueryRowContext(ctx, "SELECT value FROM state WHERE source = ?", source).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return b, unavailable("syncstate.State", err)
}

// SetState stores how the synchronisation of a source stands.
func (s *Store) SetState(ctx context.Context, source string, value []byte) error {
	_, err := s.db.ExecContext(ctx, "INSERT OR REPLACE INTO state (source, value) VALUES (?, ?)", source, value)
	return unavailable("syncstate.SetState", err)
}
