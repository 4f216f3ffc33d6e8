package rowlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// carry makes the rows what an entry says and returns those that it wrote. All that
// are there go before any comes, so that no unique value is ever taken by a row
// that is to lose it.
func (c *Copy) carry(ctx context.Context, tx *sql.Tx, rows []byte) ([]Change, error) {
	list, err := c.decode(rows)
	if err != nil {
		return nil, err
	}
	prepared := statements{tx: tx, known: map[string]*sql.Stmt{}}
	changed := list[:0]
	for _, w := range list {
		if w.old, err = prepared.row(ctx, w.table, w.key); err == nil && w.old != nil {
			err = prepared.do(ctx, w.remove, w.key)
		}
		if err != nil {
			return nil, errors.Join(err, prepared.close())
		}
		if w.old != nil || w.values != nil {
			changed = append(changed, w)
		}
	}
	changes := make([]Change, 0, len(changed))
	for i := range changed {
		w := &changed[i]
		fresh, err := w.insert(ctx, &prepared)
		if err != nil {
			return nil, errors.Join(err, prepared.close())
		}
		changes = append(changes, Change{Table: w.name, Old: w.row(w.old), New: w.row(fresh)})
	}
	return changes, prepared.close()
}

// written is a row of an entry.
type written struct {
	*target
	key    []any
	values []any // in the order of the entry; nil = gone
	old    []any // as it was here; nil = not there
}

func (c *Copy) decode(rows []byte) ([]written, error) {
	var list []written
	var targets []*target
	r := rowReader{cursor: cursor{left: rows}}
	for {
		n, values, gone, ok, err := r.next()
		for err == nil && len(targets) < len(r.tables) {
			var t *target
			t, err = c.fit(&r.tables[len(targets)])
			targets = append(targets, t)
		}
		if err != nil || !ok {
			return list, err
		}
		w := written{target: targets[n], key: values}
		if !gone {
			w.key, w.values = w.keyOf(values), values
		}
		list = append(list, w)
	}
}

// target is a table of an entry as it is here.
type target struct {
	*table
	layout *layout
	from   []int // for each of our columns its place in the entry, -1 = none
}

// fit finds the columns of an entry in our table.
func (c *Copy) fit(l *layout) (*target, error) {
	t := c.tables[l.name]
	if t == nil {
		return nil, fmt.Errorf("another server has written to the table %s, which this release does not know; bring this server to the same release", l.name)
	}
	for _, name := range l.columns {
		if !slices.Contains(t.columns, name) {
			return nil, fmt.Errorf("another server has written to the column %s of the table %s, which this release does not know; bring this server to the same release", name, l.name)
		}
	}
	to := &target{table: t, layout: &layout{l.name, l.columns, l.keys}}
	for _, name := range t.columns {
		to.from = append(to.from, slices.Index(l.columns, name))
	}
	same := len(l.keys) == len(t.keys)
	for i := 0; same && i < len(l.keys); i++ {
		same = l.columns[l.keys[i]] == t.columns[t.keys[i]]
	}
	if !same {
		return nil, fmt.Errorf("the table %s has another primary key on another server", l.name)
	}
	return to, nil
}

// keyOf is the key in a row of the entry.
func (t *target) keyOf(values []any) []any {
	key := make([]any, len(t.layout.keys))
	for i, k := range t.layout.keys {
		key[i] = values[k]
	}
	return key
}

// insert writes the row, if it is not gone, and returns it as it is now. Columns
// that the writer does not know keep what they had, or have what their table gives.
func (w *written) insert(ctx context.Context, prepared *statements) ([]any, error) {
	if w.values == nil {
		return nil, nil
	}
	if w.old == nil && len(w.layout.columns) < len(w.columns) {
		if err := prepared.do(ctx, w.table.insert(w.layout.columns), w.values); err != nil {
			return nil, err
		}
		return prepared.row(ctx, w.table, w.key)
	}
	row := make([]any, len(w.columns))
	for i, from := range w.from {
		if from >= 0 {
			row[i] = w.values[from]
		} else {
			row[i] = w.old[i]
		}
	}
	return row, prepared.do(ctx, w.table.insert(w.columns), row)
}

// statements of one transaction, each prepared once.
type statements struct {
	tx    *sql.Tx
	known map[string]*sql.Stmt
}

func (p *statements) get(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := p.known[text]; s != nil {
		return s, nil
	}
	s, err := p.tx.PrepareContext(ctx, text)
	if err == nil {
		p.known[text] = s
	}
	return s, err
}

func (p *statements) do(ctx context.Context, text string, args []any) error {
	s, err := p.get(ctx, text)
	if err == nil {
		_, err = s.ExecContext(ctx, args...)
	}
	return err
}

// row reads the row of t with that key, nil for none.
func (p *statements) row(ctx context.Context, t *table, key []any) ([]any, error) {
	s, err := p.get(ctx, t.read)
	if err != nil {
		return nil, err
	}
	values, err := t.scan(s.QueryRowContext(ctx, key...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return values, err
}

func (p *statements) close() error {
	var errs []error
	for _, s := range p.known {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
