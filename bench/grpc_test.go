package main

import (
	"bytes"
	"testing"
)

func TestPutIsReadAsWritten(t *testing.T) {
	t.Parallel()
	key, value := keyOf(7), bytes.Repeat([]byte{9}, writtenBytes)
	framed := appendPut(nil, key, value)
	k, v, err := readPut(framed)
	if err != nil || !bytes.Equal(k, key) || !bytes.Equal(v, value) {
		t.Fatalf("key %q, %d bytes, %v", k, len(v), err)
	}
	for n := range framed {
		if _, _, err := readPut(framed[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken for all", n, len(framed))
		}
	}
}
