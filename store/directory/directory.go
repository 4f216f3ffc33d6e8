// Package directory joins the databases of a pool's directory group (users, groups
// and photos; the configuration) into one replicated machine: each has a name, and
// an entry of the group's log is a name and an entry of that database's copy
// (kit/rowlog). Machine fits replica.Machine; docs/design/0005-directory-group.md
// tells how it works and why.
package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"trivet/fault"
	"trivet/kit/rowlog"
)

// Group is a replicated log, as a store writes to it.
type Group interface {
	// Propose returns what Apply of this server's machine made of cmd.
	Propose(ctx context.Context, cmd []byte) (any, error)
	// Sync returns when all that was acknowledged anywhere before is applied here.
	Sync(ctx context.Context) error
}

// Machine is the state of the directory group on one server. Apply, Snapshot,
// Restore and Forget are called one after the other.
type Machine struct {
	order  []string
	copies map[string]*rowlog.Copy

	mu    sync.Mutex // guards group
	group Group
}

// New is a machine without databases. The way to a running one: open each store
// with the machine's Log of its name, Join their copies, start the group with the
// machine, Serve.
func New() *Machine { return &Machine{copies: map[string]*rowlog.Copy{}} }

// Join adds a copy. All servers join the same names.
func (m *Machine) Join(name string, c *rowlog.Copy) {
	m.order, m.copies[name] = append(m.order, name), c
}

// Serve has writes go to g from now on. Before, and after Serve(nil), they fail.
func (m *Machine) Serve(g Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.group = g
}

func (m *Machine) serving() (Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.group == nil {
		return nil, fault.New(fault.Unavailable, "directory.Propose", "the directory group is not started yet; try again soon")
	}
	return m.group, nil
}

// Log is the log of the database with that name.
func (m *Machine) Log(name string) rowlog.Log { return share{m, name} }

type share struct {
	m    *Machine
	name string
}

func (s share) Propose(ctx context.Context, entry []byte) (any, error) {
	g, err := s.m.serving()
	if err != nil {
		return nil, err
	}
	return g.Propose(ctx, append(appendName(nil, s.name), entry...))
}

func (s share) Sync(ctx context.Context) error {
	g, err := s.m.serving()
	if err != nil {
		return err
	}
	return g.Sync(ctx)
}

func appendName(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// readName takes a name off b; ok is false when there is none.
func readName(b []byte) (name string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	return string(b[size:][:n]), b[size:][n:], true
}

// Apply carries out an entry: see rowlog.Copy. An entry for a database that nobody
// has joined is refused.
func (m *Machine) Apply(index uint64, cmd []byte) (result any, events []any) {
	name, entry, ok := readName(cmd)
	c := m.copies[name]
	if !ok || c == nil {
		return fault.New(fault.Invalid, "directory.Apply", "the entry is for no database of the directory"), nil
	}
	return c.Apply(index, entry), nil
}

// Snapshot opens views of all copies and returns a function that writes them.
func (m *Machine) Snapshot() func(w io.Writer) error {
	writers := make([]func(io.Writer) error, len(m.order))
	for i, name := range m.order {
		writers[i] = m.copies[name].Snapshot()
	}
	return func(w io.Writer) error {
		var failed error
		for i, write := range writers {
			if failed == nil {
				_, failed = w.Write(appendName(nil, m.order[i]))
			}
			to := w
			if failed != nil {
				to = refusing{failed} // the view is to be closed all the same
			}
			if err := write(to); failed == nil {
				failed = err
			}
		}
		return failed
	}
}

// refusing fails each write.
type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

// Restore has each copy take its part of a snapshot: see rowlog.Copy.
func (m *Machine) Restore(r io.Reader) error {
	for _, name := range m.order {
		want := appendName(nil, name)
		have := make([]byte, len(want))
		if _, err := io.ReadFull(r, have); err != nil || !bytes.Equal(have, want) {
			return fault.Newf(fault.Invalid, "directory.Restore", "the snapshot does not have the database %s where it should be", name).Because(err)
		}
		if err := m.copies[name].Restore(r); err != nil {
			return err
		}
	}
	return nil
}

// Forget makes all copies as new: for a server whose copy of the group's log is
// given up, before the group is started again without that log.
func (m *Machine) Forget(ctx context.Context) error {
	var errs []error
	for _, name := range m.order {
		errs = append(errs, m.copies[name].Forget(ctx))
	}
	return errors.Join(errs...)
}

// Check reports why a copy does not follow the others any more, nil if all do.
func (m *Machine) Check() error {
	for _, name := range m.order {
		if _, _, err := m.copies[name].Position(); err != nil {
			return err
		}
	}
	return nil
}
