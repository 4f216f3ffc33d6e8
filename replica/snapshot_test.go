package replica

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"trivet/fault"
)

// spoil changes one byte in the middle of a file, or cuts its end off.
func spoil(t *testing.T, fs vfs.FS, name string, cut bool) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if cut {
		b = b[:len(b)-9]
	} else {
		b[len(b)/2] ^= 1
	}
	out, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(b); err != nil {
		t.Fatal(err)
	}
	out.Close()
}

func TestDamagedSnapshot(t *testing.T) {
	for name, cut := range map[string]bool{"changed": false, "cut off": true} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			h := open(t, small(fs))
			g, _ := start(t, h, 3)
			want := series("c", 0, 400)
			for _, cmd := range want {
				propose(t, g, cmd)
			}
			await(t, "compaction", func() bool { return g.Status().FirstIndex > 2 })
			closeHost(t, h)
			have, err := g.snaps.list()
			if err != nil || len(have) < 2 {
				t.Fatalf("snapshots %v, %v", have, err)
			}

			spoil(t, fs, g.snaps.file(have[0]), cut)
			h = open(t, small(fs))
			g, m := start(t, h, 3)
			if got := lines(t, g, m); !slices.Equal(got, want) {
				t.Errorf("from the older snapshot: %d lines, want %d", len(got), len(want))
			}
			closeHost(t, h)

			have, err = g.snaps.list()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range have {
				spoil(t, fs, g.snaps.file(s), cut)
			}
			last := g.snaps.file(have[len(have)-1])
			h = open(t, small(fs))
			_, err = h.Start(soon(t), 3, &ledger{}, Alone(1))
			if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), last) || !strings.Contains(err.Error(), "group 3") {
				t.Errorf("without a snapshot Start gives %v; want the file %s and the group", err, last)
			}
		})
	}
}

func TestSessionsOutliveSnapshots(t *testing.T) {
	fs := vfs.NewMem()
	h := open(t, small(fs))
	g, _ := start(t, h, 1)
	if _, err := g.ProposeOnce(soon(t), ID{9, 1}, []byte("once")); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range series("c", 0, 200) {
		propose(t, g, cmd)
	}
	await(t, "compaction", func() bool { return g.Status().FirstIndex > 10 })
	closeHost(t, h)
	h = open(t, small(fs))
	g, m := start(t, h, 1)
	if _, err := g.ProposeOnce(soon(t), ID{9, 1}, []byte("once")); !fault.Is(err, fault.Gone) {
		t.Errorf("a repeated command gives %v, want gone", err)
	}
	if got := lines(t, g, m); len(got) != 201 {
		t.Errorf("%d lines, want 201", len(got))
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSessions()
	for c := range uint64(1000) {
		for seq := uint64(1); seq <= 3; seq++ {
			s.keep(c*3+seq, command{id: ID{c, seq}}, seq)
		}
	}
	if len(s.of) != maxSessions {
		t.Errorf("%d clients are kept, want %d", len(s.of), maxSessions)
	}
	for seq := uint64(1); seq <= 5000; seq++ {
		s.keep(10_000+seq, command{id: ID{1, seq}}, seq)
	}
	if n := len(s.of[1].results); n != window {
		t.Errorf("%d results are kept, want %d", n, window)
	}
	s.keep(20_000, command{id: ID{1, 5001}, low: 5001}, "last")
	if n := len(s.of[1].results); n != 1 {
		t.Errorf("%d results are kept above low, want 1", n)
	}
	if res, ok := s.seen(ID{1, 5001}); !ok || res != "last" {
		t.Errorf("seen = %v, %t", res, ok)
	}
	if res, ok := s.seen(ID{1, 77}); !ok || res != (unknown{}) {
		t.Errorf("an old one: %v, %t", res, ok)
	}
	a := s.encode(nil)
	r := reader{b: a}
	if b := decodeSessions(&r).encode(nil); r.err != nil || !bytes.Equal(a, b) {
		t.Errorf("encoding is not stable: %v", r.err)
	}
}

func FuzzSnapshot(f *testing.F) {
	var b bytes.Buffer
	s := newSessions()
	s.keep(5, command{id: ID{1, 1}}, nil)
	h := &snapHeader{group: 1, index: 5, term: 2, conf: &raftpb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}}, positions: map[string]uint64{"a": 4}, sessions: s}
	if err := writeSnapshot(&b, h.encode(), func(w io.Writer) error { _, err := w.Write(make([]byte, 1000)); return err }); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := openSnapshot(bytes.NewReader(b))
		if err != nil {
			return
		}
		if _, err := decodeSnapHeader(h.encode()); err != nil {
			t.Errorf("a header that was read cannot be read again: %v", err)
		}
		if n, err := io.Copy(io.Discard, body); err == nil && n > int64(len(b)) {
			t.Errorf("%d bytes came out of %d", n, len(b))
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(command{id: ID{1, 2}, low: 1, body: []byte("x")}.encode())
	f.Add(position{name: "feed", index: 9}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCommand(b); err == nil {
			if d, err := decodeCommand(c.encode()); err != nil || d.id != c.id || d.low != c.low || !bytes.Equal(d.body, c.body) {
				t.Errorf("command %v came back as %v, %v", c, d, err)
			}
		}
		if p, err := decodePosition(b); err == nil {
			if q, err := decodePosition(p.encode()); err != nil || p != q {
				t.Errorf("position %v came back as %v, %v", p, q, err)
			}
		}
	})
}
