package rowlog

import (
	"encoding/binary"
	"math"

	"trivet/fault"
)

// The encoding of rows is a sequence of items, each begun by its kind:
//
//	table  name, columns, places of the key's columns; numbered from 0 as they come
//	row    number of its table, a value for each column
//	gone   number of its table, a value for each column of the key
//
// Numbers are varints, texts have their length before them, and values begin with
// their type. Columns are named, so that servers need not have the same schema.
const (
	kindTable = 'T'
	kindRow   = 'R'
	kindGone  = 'D'
)

const (
	typeNull  = 0
	typeInt   = 1
	typeText  = 2
	typeBlob  = 3
	typeFloat = 4
)

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.AppendVarint(append(b, typeInt), v)
	case string:
		return appendText(append(b, typeText), v)
	case []byte:
		return appendText(append(b, typeBlob), v)
	case float64:
		return binary.BigEndian.AppendUint64(append(b, typeFloat), math.Float64bits(v))
	}
	return append(b, typeNull)
}

// rowWriter encodes rows; bytes is what there is so far.
type rowWriter struct {
	bytes   []byte
	numbers map[*table]uint64
}

// put adds what became of the row with that key: values, or nil for gone.
func (w *rowWriter) put(t *table, key, values []any) {
	n, known := w.numbers[t]
	if !known {
		if w.numbers == nil {
			w.numbers = map[*table]uint64{}
		}
		n = uint64(len(w.numbers))
		w.numbers[t] = n
		w.declare(t)
	}
	if values != nil {
		w.bytes = append(w.bytes, kindRow)
	} else {
		w.bytes, values = append(w.bytes, kindGone), key
	}
	w.bytes = binary.AppendUvarint(w.bytes, n)
	for _, v := range values {
		w.bytes = appendValue(w.bytes, v)
	}
}

func (w *rowWriter) declare(t *table) {
	b := appendText(append(w.bytes, kindTable), t.name)
	b = binary.AppendUvarint(b, uint64(len(t.columns)))
	for _, c := range t.columns {
		b = appendText(b, c)
	}
	b = binary.AppendUvarint(b, uint64(len(t.keys)))
	for _, k := range t.keys {
		b = binary.AppendUvarint(b, uint64(k))
	}
	w.bytes = b
}

// layout is a table as the writer of rows has it.
type layout struct {
	name    string
	columns []string
	keys    []int
}

// rowReader decodes rows. Values of type []byte are parts of what it reads.
type rowReader struct {
	cursor
	tables []layout
}

// next is the next row, by the number of its table, with gone and the values of its
// key where it is gone; ok is false at the end.
func (r *rowReader) next() (table int, values []any, gone, ok bool, err error) {
	for len(r.left) > 0 && r.err == nil {
		kind := r.byte()
		if kind == kindTable {
			r.tables = append(r.tables, r.layout())
			continue
		}
		n := r.number()
		if kind != kindRow && kind != kindGone || n >= uint64(len(r.tables)) {
			r.fail()
			break
		}
		count := len(r.tables[n].columns)
		if kind == kindGone {
			count = len(r.tables[n].keys)
		}
		values = make([]any, count)
		for i := range values {
			values[i] = r.value()
		}
		return int(n), values, kind == kindGone, r.err == nil, r.err
	}
	return 0, nil, false, false, r.err
}

func (r *rowReader) layout() (l layout) {
	l.name = string(r.text())
	for n := r.count(); n > 0 && r.err == nil; n-- {
		l.columns = append(l.columns, string(r.text()))
	}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		k := r.number()
		if k >= uint64(len(l.columns)) {
			r.fail()
			return l
		}
		l.keys = append(l.keys, int(k))
	}
	if len(l.keys) == 0 {
		r.fail()
	}
	return l
}

// cursor reads the parts of an encoding; after a failure it reads zeros.
type cursor struct {
	left []byte
	err  error
}

func (c *cursor) fail() {
	c.left, c.err = nil, fault.New(fault.Invalid, "rowlog.Apply", "the entry is not an encoding of rows")
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.left)) {
		c.fail()
		return nil
	}
	b := c.left[:n:n]
	c.left = c.left[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) number() uint64 {
	v, n := binary.Uvarint(c.left)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.left = c.left[n:]
	return v
}

// count is a number of things of at least one byte each.
func (c *cursor) count() uint64 {
	n := c.number()
	if n > uint64(len(c.left)) {
		c.fail()
		return 0
	}
	return n
}

func (c *cursor) text() []byte { return c.take(c.number()) }

func (c *cursor) value() any {
	switch c.byte() {
	case typeNull:
		return nil
	case typeInt:
		v, n := binary.Varint(c.left)
		if n <= 0 {
			c.fail()
			return nil
		}
		c.left = c.left[n:]
		return v
	case typeText:
		return string(c.text())
	case typeBlob:
		return blob(c.text())
	case typeFloat:
		if b := c.take(8); b != nil {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
		return nil
	}
	c.fail()
	return nil
}

// blob is b as a value: an empty one is not NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// entry is one command of the log: a part of the rows that a transaction changed.
type entry struct {
	base   uint64   // version of the database that the transaction saw
	change [16]byte // names the transaction
	seq    uint64   // place of this part, from 0
	last   bool
	rows   []byte
}

func (e *entry) encode() []byte {
	b := binary.AppendUvarint(make([]byte, 0, len(e.rows)+40), e.base)
	b = binary.AppendUvarint(append(b, e.change[:]...), e.seq)
	if e.last {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return append(b, e.rows...)
}

func readEntry(b []byte) (e entry, err error) {
	c := cursor{left: b}
	e.base = c.number()
	copy(e.change[:], c.take(uint64(len(e.change))))
	e.seq = c.number()
	e.last = c.byte() == 1
	e.rows = c.left
	return e, c.err
}
