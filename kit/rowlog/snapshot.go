package rowlog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"trivet/fault"
	"trivet/kit/sqlite"
)

// A snapshot is a sequence of frames: length, CRC-32C, content. The first frame is
// the copy's place in the log, the others are rows as in an entry, each frame by
// itself; an empty one is the end. It holds rows, not pages: servers may have
// different schemas, derived tables are made by each release in its own way, and
// readers of the copy that restores see the old rows or the new ones.
const maxFrame = 8 << 20 // bytes; a frame has at most MaxPart and one row

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot opens a view of the copy as it is and returns a function that writes
// it, while Apply goes on. The function is to be called once.
func (c *Copy) Snapshot() func(w io.Writer) error {
	const op = "rowlog.Snapshot"
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	if stopped != nil {
		return func(io.Writer) error { return stopped }
	}
	ctx := context.Background()
	db, err := sqlite.Readers(c.path, 1)
	if err != nil {
		return func(io.Writer) error { return sqlite.Fault(op, "the database "+c.path, err) }
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	var at state
	if err == nil {
		at, err = readState(ctx, tx) // fixes the view
	}
	return func(w io.Writer) error {
		if err == nil {
			err = errors.Join(c.export(ctx, tx, at, w), tx.Rollback())
		}
		return sqlite.Fault(op, "the database "+c.path, errors.Join(err, db.Close()))
	}
}

func (c *Copy) export(ctx context.Context, tx *sql.Tx, at state, w io.Writer) error {
	if err := writeFrame(w, at.encode()); err != nil {
		return err
	}
	for _, t := range c.all() {
		if err := exportTable(ctx, tx, t, w); err != nil {
			return err
		}
	}
	return writeFrame(w, nil)
}

// partsTable is the table of unfinished changes, which is part of a snapshot.
var partsTable = &table{name: "rowlog_parts", columns: []string{"change", "seq", "rows"}, keys: []int{0, 1}}

// all is every table of a snapshot.
func (c *Copy) all() []*table {
	list := []*table{partsTable}
	for _, t := range c.tables {
		list = append(list, t)
	}
	return list
}

func exportTable(ctx context.Context, tx *sql.Tx, t *table, w io.Writer) error {
	var out rowWriter
	var failed error
	flush := func() bool {
		failed = writeFrame(w, out.bytes)
		out = rowWriter{bytes: out.bytes[:0]}
		return failed == nil
	}
	err := sqlite.Each(ctx, tx, t.scan, func(values []any) bool {
		out.put(t, nil, values)
		return len(out.bytes) < MaxPart || flush()
	}, "SELECT "+quoteAll(t.columns)+" FROM "+quote(t.name))
	if err == nil && failed == nil && len(out.bytes) > 0 {
		flush()
	}
	return errors.Join(err, failed)
}

func writeFrame(w io.Writer, b []byte) error {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	if _, err := w.Write(binary.BigEndian.AppendUint32(head, crc32.Checksum(b, castagnoli))); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, damaged(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, damaged(nil)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, damaged(err)
	}
	if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, damaged(nil)
	}
	return b, nil
}

func damaged(err error) error {
	return fault.New(fault.Invalid, "rowlog.Restore", "the snapshot is damaged").Because(err)
}

func (s state) encode() []byte {
	b := binary.AppendUvarint(nil, s.applied)
	b = binary.AppendUvarint(b, s.version)
	return append(binary.AppendUvarint(b, uint64(s.held)), s.chain...)
}

func readPlace(b []byte) (s state, err error) {
	c := cursor{left: b}
	s = state{applied: c.number(), version: c.number(), held: int(c.number())}
	s.chain = c.take(digestSize)
	return s, c.err
}

// Restore replaces the rows by those of a snapshot, in one transaction, unless the
// copy has come further on the same way: after a start the file has all that the
// snapshot has and more, and is never taken back. A copy whose history is another
// one (the pool was recovered without it) has the snapshot's afterwards. Restore
// reads the snapshot to its end in any case.
func (c *Copy) Restore(r io.Reader) error {
	const op = "rowlog.Restore"
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx := context.Background()
	b, err := readFrame(r)
	if err != nil {
		return err
	}
	place, err := readPlace(b)
	if err != nil {
		return damaged(err)
	}
	has, err := c.has(ctx, place)
	if err == nil && has {
		return skip(r)
	}
	if err == nil {
		err = c.become(ctx, place, func(prepared *statements) error { return c.load(ctx, prepared, r) })
	}
	return sqlite.Fault(op, "the database "+c.path, err)
}

// become replaces all rows by those that fill inserts, and the place in the log.
func (c *Copy) become(ctx context.Context, place state, fill func(prepared *statements) error) error {
	var tell func()
	err := c.inTx(ctx, func(tx *sql.Tx) (err error) {
		for _, t := range append(c.all(), &table{name: "rowlog_chain"}) {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+quote(t.name)); err != nil {
				return err
			}
		}
		prepared := statements{tx: tx, known: map[string]*sql.Stmt{}}
		if err := errors.Join(fill(&prepared), prepared.close()); err != nil {
			return err
		}
		if c.spec.Rebuild != nil {
			if tell, err = c.spec.Rebuild(ctx, tx); err != nil {
				return err
			}
		}
		return place.write(ctx, tx)
	})
	if err != nil {
		return err
	}
	c.state, c.stopped = place, nil
	if tell != nil {
		tell()
	}
	return nil
}

// has reports whether the copy is at that place or beyond it.
func (c *Copy) has(ctx context.Context, place state) (bool, error) {
	if c.state.applied < place.applied {
		return false, nil
	}
	var n int
	err := c.db.QueryRowContext(ctx, "SELECT count(*) FROM rowlog_chain WHERE version = ? AND digest = ?", place.version, place.chain).Scan(&n)
	return n > 0, err
}

func skip(r io.Reader) error {
	for {
		if b, err := readFrame(r); err != nil || len(b) == 0 {
			return err
		}
	}
}

// load inserts the rows of a snapshot.
func (c *Copy) load(ctx context.Context, prepared *statements, r io.Reader) error {
	for {
		b, err := readFrame(r)
		if err != nil || len(b) == 0 {
			return err
		}
		if err := c.loadRows(ctx, prepared, b); err != nil {
			return err
		}
	}
}

func (c *Copy) loadRows(ctx context.Context, prepared *statements, b []byte) error {
	rows := rowReader{cursor: cursor{left: b}}
	for {
		n, values, _, ok, err := rows.next()
		if err != nil || !ok {
			return err
		}
		t := partsTable
		if l := &rows.tables[n]; l.name != t.name {
			to, err := c.fit(l)
			if err != nil {
				return err
			}
			t = &table{name: to.name, columns: l.columns}
		}
		if err := prepared.do(ctx, t.insert(t.columns), values); err != nil {
			return err
		}
	}
}

// Forget removes all rows and the copy's place in the log: it is as new, and takes
// whatever the other servers have. It is for a server whose copy of the log is
// given up.
func (c *Copy) Forget(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.become(ctx, state{chain: make([]byte, digestSize)}, func(*statements) error { return nil })
	return sqlite.Fault("rowlog.Forget", "the database "+c.path, err)
}
