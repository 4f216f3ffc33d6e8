package rowlog

import (
	"context"
	"database/sql"
	"errors"
)

// parts is what is kept of unfinished changes.
type parts struct {
	mine   int   // parts of the change in question
	others int   // parts of other changes
	bytes  int64 // of all
}

func readParts(ctx context.Context, tx *sql.Tx, change [16]byte) (p parts, err error) {
	err = tx.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE change = ?1), count(*) FILTER (WHERE change <> ?1), coalesce(sum(length(rows)), 0) FROM rowlog_parts", change[:]).
		Scan(&p.mine, &p.others, &p.bytes)
	return p, err
}

// keep stores a part. Where there are too many, those of other changes go, whose
// writers will find a conflict.
func (p parts) keep(ctx context.Context, tx *sql.Tx, e *entry) error {
	if p.bytes+int64(len(e.rows)) > MaxChange {
		if _, err := tx.ExecContext(ctx, "DELETE FROM rowlog_parts WHERE change <> ?", e.change[:]); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO rowlog_parts (change, seq, rows) VALUES (?, ?, ?)", e.change[:], e.seq, e.rows)
	return err
}

// joinParts are the rows of a change of several parts, the last of which is e.
func joinParts(ctx context.Context, tx *sql.Tx, e *entry) (rows []byte, err error) {
	list, err := tx.QueryContext(ctx, "SELECT rows FROM rowlog_parts WHERE change = ? ORDER BY seq", e.change[:])
	if err != nil {
		return nil, err
	}
	for list.Next() && err == nil {
		var part sql.RawBytes
		if err = list.Scan(&part); err == nil {
			rows = append(rows, part...)
		}
	}
	return append(rows, e.rows...), errors.Join(err, list.Err(), list.Close())
}
