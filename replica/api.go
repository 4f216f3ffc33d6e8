package replica

import (
	"context"
	"io"

	"trivet/uc"
)

// Machine is a state that is kept alike on all voters of a group. All methods
// are called on the group's goroutine.
type Machine interface {
	// Apply carries out a command and says what the proposer gets and what the
	// feeds see. It depends on nothing but the state, index and cmd. cmd is never
	// changed afterwards, so the machine may keep slices of it. Neither result nor
	// events may be changed once returned.
	Apply(index uint64, cmd []byte) (result any, events []any)
	// Snapshot freezes the state (copy on write) and returns a function that writes
	// it; that function runs on another goroutine while Apply goes on.
	Snapshot() func(w io.Writer) error
	// Restore replaces the whole state by what a Snapshot wrote.
	Restore(r io.Reader) error
}

// Lost is the only event a feed gets when the events of entries From to To can
// no longer be made for it: it was away for longer than the backlog allows, or
// the snapshot that would have given them was damaged. The reader starts afresh
// from the state (Group.Read) and returns nil.
type Lost struct{ From, To uint64 }

// ID names a proposal for safe repetition: a client below 1<<63 of the caller's
// choice and its sequence number, rising from 1. Repeating the same ID gives the
// result of the first time, as long as it is among the client's last 1,024.
type ID struct{ Client, Seq uint64 }

// Status is a group as seen from this server, without asking the others.
type Status struct {
	Group         uc.GroupID
	Primary       bool   // leads, and has committed an entry of its term
	Leader        uint64 // number of the leading server, 0 when none is known
	Term          uint64
	Applied       uint64            // index of the last entry applied here
	SnapshotIndex uint64            // index of the newest snapshot here
	FirstIndex    uint64            // of the log kept here
	LastIndex     uint64            // of the log on this server's disk
	LastTerm      uint64            // of that entry
	Generation    uint64            // how often the group was recovered
	Superseded    bool              // the others have recovered the group without this copy: Stop and forget it
	Members                         // as of what is applied here, sorted
	Leaving       []uint64          // voters of before, while a change of membership is under way: it needs their majority as well
	Feeds         map[string]uint64 // position of each feed
}

// FeedFunc takes the events of one entry. After nil its position is behind
// index; after an error it gets the same events again, later. It runs on a
// goroutine of the feed's own, only while this server is the group's primary.
type FeedFunc = func(ctx context.Context, index uint64, events []any) error

// Envelope is one raft message of one group on its way to another server.
type Envelope struct {
	Group      uc.GroupID
	Generation uint64 // of the sender's copy
	Data       []byte // raftpb.Message; belongs to the receiver of the envelope
}

// Transport carries messages to other servers. Send is called from several
// goroutines and never blocks: what cannot be sent soon is dropped (raft repeats
// it). Batches to one server keep their order where possible. What arrives there
// is handed to Host.Step.
//
// Snapshot carries one message and what follows it, which may be large, beside the
// others; it returns once the other side's Host.Receive has, with its failure.
type Transport interface {
	Send(to uint64, batch []Envelope)
	Snapshot(ctx context.Context, to uint64, e Envelope, body io.Reader) error
}
