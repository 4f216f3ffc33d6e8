package replica

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// TestWhatIsFlushed: entries, snapshots and promises are, news of the commit index are
// not, which come with every answer to a leader.
func TestWhatIsFlushed(t *testing.T) {
	t.Parallel()
	state := func(term, vote, commit uint64) *raftpb.Message {
		return &raftpb.Message{Term: new(term), Vote: new(vote), Commit: new(commit), Responses: []*raftpb.Message{{}}}
	}
	withEntry := state(2, 3, 9)
	withEntry.Entries = []*raftpb.Entry{{Index: new(uint64(9))}}
	withSnapshot := state(2, 3, 12)
	withSnapshot.Snapshot = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(12))}}
	g := &Group{}
	for _, step := range []struct {
		what string
		m    *raftpb.Message
		want bool
	}{
		{"the first term and vote since the start", state(1, 0, 5), true},
		{"an answer alone", &raftpb.Message{Responses: []*raftpb.Message{{}}}, false},
		{"a commit index", state(1, 0, 6), false},
		{"a vote", state(1, 3, 6), true},
		{"the same vote again", state(1, 3, 6), false},
		{"a term, and the vote is the same number", state(2, 3, 6), true},
		{"an entry", withEntry, true},
		{"a commit index after it", state(2, 3, 10), false},
		{"a snapshot", withSnapshot, true},
	} {
		if got := g.mustFlush(step.m); got != step.want {
			t.Errorf("%s: flushed %v, want %v", step.what, got, step.want)
		}
	}
}
