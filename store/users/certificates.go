package users

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"trivet/fault"
	"trivet/kit/sqlite"
	"trivet/uc"
)

const selectCertificate = "SELECT serial, guid, device, key_hash, issued, expires, revoked FROM client_certificates"

func scanCertificate(from func(...any) error) (Certificate, error) {
	var c Certificate
	var device string
	var issued, expires, revoked int64
	err := from(&c.Serial, &c.GUID, &device, &c.KeyHash, &issued, &expires, &revoked)
	c.Device, c.Issued, c.Expires, c.Revoked = uc.EndpointID(device), sqlite.Instant(issued), sqlite.Instant(expires), sqlite.Instant(revoked)
	return c, err
}

// AddCertificate implements Store.
func (s *SQLite) AddCertificate(ctx context.Context, c Certificate) error {
	const op = "users.AddCertificate"
	if c.Serial == "" || len(c.KeyHash) != 32 || !c.Expires.After(c.Issued) {
		return fault.New(fault.Invalid, op, "a certificate needs a serial number, a SHA-256 of its key and an expiry after its issue").About("Serial")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inTx(ctx, op, func(tx *sql.Tx) error {
		u, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(c.GUID)).Scan)
		if err != nil {
			return found(op, c.GUID, err)
		}
		if err := freeKey(ctx, tx, u.GUID, c.KeyHash); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO client_certificates (serial, guid, device, key_hash, issued, expires, revoked) VALUES (?, ?, ?, ?, ?, ?, ?)",
			fold(c.Serial), u.GUID, string(c.Device), c.KeyHash, sqlite.Millis(c.Issued), sqlite.Millis(c.Expires), sqlite.Millis(c.Revoked))
		if column, ok := taken(err); ok {
			return exists(op, column, c.Serial)
		}
		return unavailable(op, err)
	})
}

// freeKey makes room for a new certificate of a key that guid holds.
func freeKey(ctx context.Context, tx *sql.Tx, guid string, keyHash []byte) error {
	const op = "users.AddCertificate"
	old, err := scanCertificate(tx.QueryRowContext(ctx, selectCertificate+" WHERE key_hash = ?", keyHash).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return unavailable(op, err)
	case old.GUID != guid:
		return fault.New(fault.Forbidden, op, "the key belongs to a device of another user; make a new key").About("KeyHash")
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM client_certificates WHERE key_hash = ?", keyHash)
	return unavailable(op, err)
}

// CertificateByKey implements Store.
func (s *SQLite) CertificateByKey(ctx context.Context, keyHash []byte) (Certificate, error) {
	const op = "users.CertificateByKey"
	c, err := scanCertificate(s.byKey.QueryRowContext(ctx, bytes.Clone(keyHash)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Certificate{}, fault.New(fault.NotFound, op, "no certificate was issued for this key")
	}
	return c, unavailable(op, err)
}

// Certificates implements Store.
func (s *SQLite) Certificates(ctx context.Context, guid string) ([]Certificate, error) {
	const op = "users.Certificates"
	list, err := sqlite.List(ctx, s.readers, scanCertificate, selectCertificate+" WHERE guid = ? ORDER BY issued DESC, serial", fold(guid))
	return list, unavailable(op, err)
}

// Revoke implements Store.
func (s *SQLite) Revoke(ctx context.Context, guid, serial string) ([]Certificate, error) {
	const op = "users.Revoke"
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now().UTC().Truncate(time.Millisecond)
	var revoked []Certificate
	err := s.inTx(ctx, op, func(tx *sql.Tx) error {
		revoked = nil
		if _, err := scan(tx.QueryRowContext(ctx, selectUser+" WHERE guid = ?", fold(guid)).Scan); err != nil {
			return found(op, guid, err)
		}
		list, err := sqlite.List(ctx, tx, scanCertificate, selectCertificate+" WHERE guid = ? AND (serial = ? OR ? = '') ORDER BY issued DESC, serial", fold(guid), fold(serial), serial)
		if err != nil {
			return unavailable(op, err)
		}
		if len(list) == 0 && serial != "" {
			return fault.Newf(fault.NotFound, op, "the user has no certificate with the serial number %q", serial).About(serial)
		}
		for _, c := range list {
			if c.Revoked.IsZero() {
				c.Revoked = now
				revoked = append(revoked, c)
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE client_certificates SET revoked = ? WHERE guid = ? AND (serial = ? OR ? = '') AND revoked = 0",
			sqlite.Millis(now), fold(guid), fold(serial), serial)
		return unavailable(op, err)
	})
	if err != nil || len(revoked) == 0 {
		return nil, err
	}
	if s.shared != nil {
		return revoked, nil // told by follow
	}
	for _, f := range s.onRevoke {
		f(revoked)
	}
	return revoked, nil
}

// PurgeCertificates implements Store.
func (s *SQLite) PurgeCertificates(ctx context.Context, t time.Time) (int, error) {
	const op = "users.PurgeCertificates"
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	err := s.inTx(ctx, op, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM client_certificates WHERE expires < ?", sqlite.Millis(t))
		if err == nil {
			n, err = r.RowsAffected()
		}
		return unavailable(op, err)
	})
	return int(n), err
}
