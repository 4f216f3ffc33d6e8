package users

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// Write is one change of a Batch: a user to create, or a user to change and, where
// Secrets is set, its new credentials.
type Write struct {
	New     *New
	GUID    string
	Change  func(*User) error
	Secrets *Secrets
}

// Outcome is what became of a Write: the user as stored, or why it was refused.
type Outcome struct {
	User    User
	Refused error
}

// BatchMode says what becomes of a Batch some of whose writes are refused.
type BatchMode uint8

// Modes of a Batch.
const (
	AllOrNothing BatchMode = iota // nothing is stored when one write is refused
	SkipRefused                   // the others are stored
	Trial                         // nothing is stored in any case
)

// errUndone ends the transaction of a batch that is not to be kept.
var errUndone = errors.New("undone")

// Batch implements Store.
func (s *SQLite) Batch(ctx context.Context, mode BatchMode, list []Write) ([]Outcome, error) {
	const op = "users.Batch"
	outcomes := make([]Outcome, len(list))
	err := s.commit(ctx, op, func(tx *sql.Tx) ([]Change, error) {
		clear(outcomes)
		var told []Change
		refused := false
		for i, w := range list {
			changes, err := s.attempt(ctx, tx, w)
			switch {
			case err == nil:
				outcomes[i].User, told = *changes[0].New, append(told, changes...)
			case ctx.Err() != nil:
				return nil, ctx.Err()
			default:
				outcomes[i].Refused, refused = err, true
			}
		}
		if mode == Trial || mode == AllOrNothing && refused {
			return nil, errUndone
		}
		return told, nil
	})
	if errors.Is(err, errUndone) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// attempt makes one write; a refused one leaves nothing in the transaction.
func (s *SQLite) attempt(ctx context.Context, tx *sql.Tx, w Write) ([]Change, error) {
	const op = "users.Batch"
	load := slices.Clone(s.load)
	if _, err := tx.ExecContext(ctx, "SAVEPOINT write"); err != nil {
		return nil, unavailable(op, err)
	}
	changes, err := s.carry(ctx, tx, w)
	end := "RELEASE write"
	if err != nil {
		s.load, end = load, "ROLLBACK TO write; RELEASE write"
	}
	if _, ended := tx.ExecContext(ctx, end); ended != nil && err == nil {
		err = unavailable(op, ended)
	}
	return changes, err
}

func (s *SQLite) carry(ctx context.Context, tx *sql.Tx, w Write) ([]Change, error) {
	if w.New != nil {
		c, err := s.add(ctx, tx, *w.New)
		return []Change{c}, err
	}
	changes, err := s.amend(ctx, tx, "users.Batch", w.GUID, func(_ *sql.Tx, u *User) error { return keepPhoto(u, w.Change) })
	if err == nil && w.Secrets != nil {
		changes[0].Password = true
		err = s.putSecrets(ctx, tx, changes[0].New.GUID, *w.Secrets)
	}
	return changes, err
}
