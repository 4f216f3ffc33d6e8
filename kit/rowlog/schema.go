package rowlog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"trivet/kit/sqlite"
)

// table is a table whose rows are kept alike.
type table struct {
	name    string
	columns []string
	keys    []int // the columns of the primary key, by their place in columns
	read    string
	remove  string
}

// readTables finds the tables of the database that are neither virtual nor part of
// a virtual one, nor ours, nor local.
func readTables(ctx context.Context, tx *sql.Tx, local []string) (map[string]*table, error) {
	names, err := sqlite.List(ctx, tx, func(from func(...any) error) (s string, err error) { return s, from(&s) },
		"SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
	if err != nil {
		return nil, err
	}
	all := map[string]*table{}
	for _, name := range names {
		if strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, "rowlog_") || name == "goose_db_version" || slices.Contains(local, name) {
			continue
		}
		if all[name], err = readTable(ctx, tx, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readTable(ctx context.Context, tx *sql.Tx, name string) (*table, error) {
	t := &table{name: name}
	type column struct {
		name string
		key  int // place in the primary key from 1, 0 = not in it
	}
	list, err := sqlite.List(ctx, tx, func(from func(...any) error) (c column, err error) { return c, from(&c.name, &c.key) },
		"SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", name)
	if err != nil {
		return nil, err
	}
	for i, c := range list {
		t.columns = append(t.columns, c.name)
		if c.key > 0 {
			t.keys = append(t.keys, i)
		}
	}
	if t.keys == nil {
		return nil, fmt.Errorf("the table %s has no primary key", name)
	}
	slices.SortFunc(t.keys, func(a, b int) int { return list[a].key - list[b].key })
	var where []string
	for _, k := range t.keys {
		where = append(where, quote(t.columns[k])+" = ?")
	}
	that := " FROM " + quote(name) + " WHERE " + strings.Join(where, " AND ")
	t.read, t.remove = "SELECT "+quoteAll(t.columns)+that, "DELETE"+that
	return t, nil
}

// insert adds a row of some columns.
func (t *table) insert(columns []string) string {
	return "INSERT INTO " + quote(t.name) + " (" + quoteAll(columns) + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
}

// scan reads all columns of a row.
func (t *table) scan(from func(...any) error) ([]any, error) {
	values, at := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		at[i] = &values[i]
	}
	if err := from(at...); err != nil {
		return nil, err
	}
	for i, v := range values {
		if b, ok := v.([]byte); ok {
			values[i] = blob(b)
		}
	}
	return values, nil
}

func (t *table) row(values []any) Row {
	if values == nil {
		return nil
	}
	r := make(Row, len(values))
	for i, v := range values {
		r[t.columns[i]] = v
	}
	return r
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteAll(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = quote(n)
	}
	return strings.Join(list, ", ")
}
