package replica

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"trivet/fault"
)

// A snapshot that is damaged, cut off, or not what was announced changes nothing and
// leaves no file.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	c := newTrio(t)
	g := c.add(t, 1, Alone(1))
	for _, cmd := range series("1a", 0, 120) {
		propose(t, g, cmd)
	}
	await(t, "a snapshot", func() bool { return g.Status().SnapshotIndex > 50 })
	index := g.Status().SnapshotIndex
	f, err := g.snaps.open(index)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(f)
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	head, err := checkSnapshot(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	c.add(t, 2, Members{})
	joiner := c.host[2].Group(1)
	message := func(change func(*raftpb.Message)) Envelope {
		m := &raftpb.Message{Type: raftpb.MsgSnap.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(head.term), Snapshot: &raftpb.Snapshot{Metadata: head.meta()}}
		change(m)
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return Envelope{Group: 1, Data: b}
	}
	plain := func(*raftpb.Message) {}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for what, try := range map[string]struct {
		env  Envelope
		body []byte
	}{
		"nothing":             {message(plain), nil},
		"cut off":             {message(plain), whole[:len(whole)-9]},
		"a bit is another":    {message(plain), flipped},
		"another index":       {message(func(m *raftpb.Message) { m.Snapshot.Metadata.Index = new(index + 1) }), whole},
		"another sender":      {message(func(m *raftpb.Message) { m.From = new(uint64(3)) }), whole},
		"not for this server": {message(func(m *raftpb.Message) { m.To = new(uint64(3)) }), whole},
		"another kind":        {message(func(m *raftpb.Message) { m.Type = raftpb.MsgApp.Enum() }), whole},
		"no message":          {Envelope{Group: 1, Data: []byte{0xff}}, whole},
	} {
		if err := c.host[2].Receive(soon(t), 1, try.env, bytes.NewReader(try.body)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	if err := c.host[2].Receive(soon(t), 1, Envelope{Group: 9, Data: message(plain).Data}, bytes.NewReader(whole)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a group that is not held: %v", err)
	}
	if err := c.host[2].Step(1, []Envelope{message(plain)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a snapshot without a stream: %v", err)
	}
	names, err := c.fs[2].List(joiner.snaps.path)
	if err != nil || len(names) > 0 {
		t.Errorf("files left: %s %v", strings.Join(names, " "), err)
	}
	if joiner.Status().Applied != 0 {
		t.Errorf("applied up to %d", joiner.Status().Applied)
	}
}
