package rowlog

import (
	"context"
	"database/sql"
	"errors"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// touched are the keys of the rows that a transaction wrote to, in the order of
// the first time. SQLite tells of each row before it is written, also of those
// that a foreign key or a REPLACE removes. It does not tell when a savepoint is
// rolled back, hence only keys are kept, and what the rows came to is read at the
// end.
type touched struct {
	tables map[string]*table
	known  map[string]bool
	keys   []touch
	err    error
}

type touch struct {
	table *table
	key   []any
}

// hooked is what we need of the driver's connection.
type hooked interface {
	RegisterPreUpdateHook(callback driver.PreUpdateHookFn)
}

func (w *touched) watch(conn *sql.Conn) error { return hook(conn, w.note) }

func (w *touched) end(conn *sql.Conn) error { return hook(conn, nil) }

func hook(conn *sql.Conn, f driver.PreUpdateHookFn) error {
	return conn.Raw(func(c any) error {
		h, ok := c.(hooked)
		if !ok {
			return errors.New("the driver of the database does not tell which rows are written")
		}
		h.RegisterPreUpdateHook(f)
		return nil
	})
}

func (w *touched) note(d driver.SQLitePreUpdateData) {
	t := w.tables[d.TableName]
	if t == nil || d.DatabaseName != "main" || w.err != nil {
		return
	}
	if d.Op != sqlite3.SQLITE_INSERT {
		w.add(t, d.Old)
	}
	if d.Op != sqlite3.SQLITE_DELETE {
		w.add(t, d.New)
	}
}

// add notes the key of a row that read reads.
func (w *touched) add(t *table, read func(...any) error) {
	first := 0 // columns of the row that are needed
	for _, k := range t.keys {
		first = max(first, k+1)
	}
	values := make([]any, first)
	if w.err = read(values...); w.err != nil {
		return
	}
	key := make([]any, len(t.keys))
	id := appendText(nil, t.name)
	for i, k := range t.keys {
		key[i] = values[k]
		id = appendValue(id, key[i])
	}
	if !w.known[string(id)] {
		w.known[string(id)] = true
		w.keys = append(w.keys, touch{t, key})
	}
}

// collect encodes what the rows are at the end of the transaction.
func (w *touched) collect(ctx context.Context, tx *sql.Tx) ([]byte, error) {
	if w.err != nil || len(w.keys) == 0 {
		return nil, w.err
	}
	var out rowWriter
	prepared := statements{tx: tx, known: map[string]*sql.Stmt{}}
	for _, k := range w.keys {
		values, err := prepared.row(ctx, k.table, k.key)
		if err != nil {
			return nil, errors.Join(err, prepared.close())
		}
		out.put(k.table, k.key, values)
		if len(out.bytes) > MaxChange {
			break // is refused by its length
		}
	}
	return out.bytes, prepared.close()
}
