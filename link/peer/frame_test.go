package peer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"trivet/fault"
)

// What is read is what was written, and whatever else comes is refused or read
// within the bound.
func FuzzReadFrame(f *testing.F) {
	f.Add(appendStamp(nil, frameBeat, 7))
	f.Add(appendPost(nil, 3, []byte("payload")))
	f.Add(appendCall(nil, call{9, 1000, "name", []byte("in")}))
	f.Add(appendReply(appendStamp(nil, frameCancel, 9), frameFailure, 9, encodeFault(fault.New(fault.Stale, "a.b", "old"))))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 16
		r := bufio.NewReader(bytes.NewReader(b))
		for at := 0; ; {
			got, err := readFrame(r, most)
			if err != nil {
				return
			}
			if len(got.body) >= most {
				t.Fatalf("%d bytes", len(got.body))
			}
			again := append(startFrame(nil, got.kind, len(got.body)), got.body...)
			if !bytes.Equal(again, b[at:at+len(again)]) {
				t.Fatalf("%x becomes %x", b[at:at+len(again)], again)
			}
			at += len(again)
			if c, err := parseCall(got.body); err == nil && got.kind == frameCall && !bytes.Equal(appendCall(nil, c), again) {
				t.Fatalf("a call becomes %+v", c)
			}
			if id, body, err := parseID(got.body); err == nil && !bytes.Equal(appendReply(nil, got.kind, id, body), again) {
				t.Fatalf("an answer becomes %d %x", id, body)
			}
			if decodeFault(got.body) == nil {
				t.Fatal("a failure that is none")
			}
		}
	})
}

func FuzzReadOpening(f *testing.F) {
	f.Add(opening{forFrames, "fe1.example.test", "fe2.example.test"}.append(nil))
	f.Add(appendHeader(opening{forStream, "a", "b"}.append(nil), "snapshot", []byte("header")))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		o, err := readOpening(r)
		if err != nil {
			return
		}
		want := o.append(nil)
		name, header, err := readHeader(r)
		if err == nil {
			want = appendHeader(want, name, header)
			for {
				n, err := readChunk(r)
				if err != nil {
					break
				}
				if n < 1 || n > maxChunk {
					t.Fatalf("a chunk of %d", n)
				}
				if _, err := r.Discard(n); err != nil {
					break
				}
			}
		}
		if !bytes.HasPrefix(b, want) {
			t.Fatalf("%x becomes %x", b, want)
		}
	})
}

func TestBrokenFrames(t *testing.T) {
	t.Parallel()
	read := func(b []byte) error { _, err := readFrame(bufio.NewReader(bytes.NewReader(b)), 100); return err }
	whole := appendPost(nil, 1, make([]byte, 98))
	for i := range len(whole) {
		want := io.ErrUnexpectedEOF
		if i == 0 {
			want = io.EOF
		}
		if err := read(whole[:i]); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
	if err := read(whole); err != nil {
		t.Error(err)
	}
	for _, b := range [][]byte{appendPost(nil, 1, make([]byte, 99)), {0, 0, 0, 0, 1}} {
		if err := read(b); !fault.Is(err, fault.Invalid) {
			t.Errorf("%x: %v", b, err)
		}
	}
	if err := decodeFault(encodeFault(fmt.Errorf("x: %w", io.EOF))); fault.KindOf(err) != fault.Internal {
		t.Error(err)
	}
}
