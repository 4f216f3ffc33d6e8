package users

import (
	"context"
	"database/sql"
	"errors"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/rule/directory"
)

// Photo is the picture of a user.
type Photo = directory.Photo

// Photos keeps a picture for each user. A change of it is a change of the user:
// WhenChanged is set and it is told.
type Photos interface {
	// Photo returns the picture of a user; fault.NotFound when there is none.
	Photo(ctx context.Context, guid string) (Photo, error)
	// SetPhoto stores a picture, checked by directory.ReadPhoto.
	SetPhoto(ctx context.Context, guid string, data []byte) (Photo, error)
	// RemovePhoto removes it; fault.NotFound when there is none.
	RemovePhoto(ctx context.Context, guid string) error
}

// Photo implements Photos.
func (s *SQLite) Photo(ctx context.Context, guid string) (Photo, error) {
	const op = "users.Photo"
	var p Photo
	var changed int64
	err := s.readers.QueryRowContext(ctx, "SELECT type, data, hash, changed FROM photos WHERE guid = ?", fold(guid)).Scan(&p.Type, &p.Data, &p.Hash, &changed)
	p.WhenChanged = sqlite.Instant(changed)
	if errors.Is(err, sql.ErrNoRows) {
		return Photo{}, noPhoto(op)
	}
	return p, unavailable(op, err)
}

func noPhoto(op string) error {
	return fault.New(fault.NotFound, op, "the user has no photo").About("photo")
}

// SetPhoto implements Photos.
func (s *SQLite) SetPhoto(ctx context.Context, guid string, data []byte) (Photo, error) {
	const op = "users.SetPhoto"
	p, err := directory.ReadPhoto(data)
	if err != nil {
		return Photo{}, err
	}
	_, err = s.edit(ctx, op, guid, func(tx *sql.Tx, u *User) error {
		u.PhotoHash, p.WhenChanged = p.Hash, u.WhenChanged
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO photos (guid, type, data, hash, changed) VALUES (?, ?, ?, ?, ?)",
			u.GUID, p.Type, p.Data, p.Hash, sqlite.Millis(p.WhenChanged))
		return unavailable(op, err)
	})
	return p, err
}

// RemovePhoto implements Photos.
func (s *SQLite) RemovePhoto(ctx context.Context, guid string) error {
	const op = "users.RemovePhoto"
	_, err := s.edit(ctx, op, guid, func(tx *sql.Tx, u *User) error {
		if u.PhotoHash == "" {
			return noPhoto(op)
		}
		u.PhotoHash = ""
		_, err := tx.ExecContext(ctx, "DELETE FROM photos WHERE guid = ?", u.GUID)
		return unavailable(op, err)
	})
	return err
}
