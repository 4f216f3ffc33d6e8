package main

import (
	"bytes"
	"testing"

	"trivet/replica"
)

func TestEnvelopesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	want := []replica.Envelope{{Group: 1, Generation: 300, Data: []byte("one")}, {Group: 32, Data: []byte{}}}
	b := appendEnvelope(appendEnvelope(nil, want[0]), want[1])
	got, err := readEnvelopes(b)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d envelopes, %v", len(got), err)
	}
	for i, e := range got {
		if e.Group != want[i].Group || e.Generation != want[i].Generation || !bytes.Equal(e.Data, want[i].Data) {
			t.Errorf("envelope %d is %v, want %v", i, e, want[i])
		}
	}
	if _, err := readEnvelopes(b[:len(b)-2]); err == nil {
		t.Error("half an envelope was taken for a whole one")
	}
}
