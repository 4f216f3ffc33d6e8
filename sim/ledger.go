package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"trivet/uc"
)

// ledger is the state of a routing group in a run: to each of a few keys the entries that
// were written to it, in their order.
type ledger struct {
	s     *server
	group uc.GroupID
	keys  [keys][]entry
	seen  bool   // the generation is known
	gen   uint64 // of the copy
}

const keys = 4

// entry names a write: who, and the how manieth of that person's.
type entry uint64

func entryOf(person int, seq uint64) entry { return entry(person+1)<<32 | entry(seq) }

func (e entry) String() string { return fmt.Sprintf("%d of person %d", uint32(e), e>>32-1) }

// command is a write as it stands in the log.
func command(key int, e entry) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(key)}, uint64(e))
}

var errCommand = errors.New("no command of a ledger")

// Apply implements replica.Machine. The result is how many entries the key has.
func (l *ledger) Apply(index uint64, cmd []byte) (any, []any) {
	if len(cmd) != 9 || cmd[0] >= keys {
		return errCommand, nil
	}
	l.s.w.judge.applied(l, index, cmd)
	k, e := cmd[0], entry(binary.BigEndian.Uint64(cmd[1:]))
	if slices.Contains(l.keys[k], e) {
		l.s.w.violated("once", "%s wrote entry %s to group %d twice, at %d", l.s, e, l.group, index)
	}
	l.keys[k] = append(l.keys[k], e)
	return len(l.keys[k]), nil
}

// Snapshot implements replica.Machine.
func (l *ledger) Snapshot() func(io.Writer) error {
	b := l.encode()
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

func (l *ledger) encode() []byte {
	var b []byte
	for _, list := range l.keys {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, e := range list {
			b = binary.AppendUvarint(b, uint64(e))
		}
	}
	return b
}

// Restore implements replica.Machine.
func (l *ledger) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, b = errCommand, nil
			return 0
		}
		b = b[n:]
		return v
	}
	for k := range l.keys {
		l.keys[k] = nil
		for n := next(); n > 0 && err == nil; n-- {
			l.keys[k] = append(l.keys[k], entry(next()))
		}
	}
	return err
}

// read is a copy of a key.
func (l *ledger) read(key int) []entry { return slices.Clone(l.keys[key]) }
