package rowlog

import (
	"bytes"
	"database/sql"
	"fmt"
	"reflect"
)

// Scan returns a function that reads the row's columns as the Scan of a sql.Row
// reads those of a query, into pointers to strings, integers, bools, []byte and
// values of sql.Scanner.
func (r Row) Scan(columns ...string) func(dest ...any) error {
	return func(dest ...any) error {
		if len(dest) != len(columns) {
			return fmt.Errorf("%d columns of a row are read into %d values", len(columns), len(dest))
		}
		for i, name := range columns {
			v, ok := r[name]
			if !ok {
				return fmt.Errorf("the row has no column %s", name)
			}
			if err := assign(dest[i], v); err != nil {
				return fmt.Errorf("the column %s: %w", name, err)
			}
		}
		return nil
	}
}

func assign(dest, v any) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(v)
	case *[]byte:
		switch v := v.(type) {
		case nil:
			*d = nil
			return nil
		case []byte:
			*d = bytes.Clone(v)
			return nil
		case string:
			*d = []byte(v)
			return nil
		}
	}
	to := reflect.ValueOf(dest)
	if to.Kind() != reflect.Pointer {
		return fmt.Errorf("%T is no pointer", dest)
	}
	to = to.Elem()
	switch v := v.(type) {
	case string:
		if to.Kind() == reflect.String {
			to.SetString(v)
			return nil
		}
	case int64:
		switch {
		case to.Kind() == reflect.Bool:
			to.SetBool(v != 0)
			return nil
		case to.CanInt() && !to.OverflowInt(v):
			to.SetInt(v)
			return nil
		case to.CanUint() && v >= 0 && !to.OverflowUint(uint64(v)):
			to.SetUint(uint64(v))
			return nil
		}
	}
	return fmt.Errorf("a %T does not fit a %s", v, to.Type())
}
