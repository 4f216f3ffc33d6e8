package main

import (
	"bytes"
	"testing"
)

func TestSnapshotHasTheLastValues(t *testing.T) {
	t.Parallel()
	m := lastValues{}
	m.Apply(1, appendPut(nil, keyOf(1), []byte("first")))
	m.Apply(2, appendPut(nil, keyOf(1), []byte("last")))
	write := m.Snapshot()
	m.Apply(3, appendPut(nil, keyOf(1), []byte("later")))
	var file bytes.Buffer
	if err := write(&file); err != nil {
		t.Fatal(err)
	}
	restored := lastValues{"gone": nil}
	if err := restored.Restore(&file); err != nil {
		t.Fatal(err)
	}
	if len(restored) != 1 || string(restored[string(keyOf(1))]) != "last" {
		t.Errorf("restored %q", restored)
	}
}
