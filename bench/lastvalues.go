package main

import (
	"bufio"
	"encoding/gob"
	"io"
	"maps"

	"trivet/replica"
)

// lastValues is the machine of the duel: the last value of every key.
type lastValues map[string][]byte

var _ replica.Machine = lastValues{}

// Apply implements replica.Machine. The result is the index.
func (m lastValues) Apply(index uint64, cmd []byte) (any, []any) {
	if key, value, err := readPut(cmd); err == nil {
		m[string(key)] = value
	}
	return index, nil
}

// Snapshot implements replica.Machine. Values are never changed, only replaced.
func (m lastValues) Snapshot() func(io.Writer) error {
	frozen := maps.Clone(m)
	return func(w io.Writer) error {
		b := bufio.NewWriter(w)
		if err := gob.NewEncoder(b).Encode(frozen); err != nil {
			return err
		}
		return b.Flush()
	}
}

// Restore implements replica.Machine.
func (m lastValues) Restore(r io.Reader) error {
	var read lastValues
	if err := gob.NewDecoder(bufio.NewReader(r)).Decode(&read); err != nil {
		return err
	}
	clear(m)
	maps.Copy(m, read)
	return nil
}
