package replica

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"trivet/rule/witness"
	"trivet/uc"
)

// WitnessStore keeps what the witness remembers of groups. Between reading and writing
// nobody else touches these rows, and what f returned is durable when Update returns
// nil. f runs at most once.
type WitnessStore interface {
	Update(ctx context.Context, groups []uc.GroupID, f func(map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row) error
}

// WitnessState says whether the witness answers this server.
type WitnessState struct {
	Err   error     // of the last call, nil when it was answered
	Since time.Time // that it is so; zero before the first call
}

const (
	witnessWaiting  = 1024            // messages that may wait for the witness; what is dropped is repeated
	witnessPatience = 2 * time.Second // of one call
)

// witnessed carries messages to the witness and its answers back, whatever has come
// for any group in one call: each is a transaction on a database.
type witnessed struct {
	h     *Host
	q     *queue[witnessMsg]
	spare []witnessMsg
	waits atomic.Int64
	state atomic.Pointer[WitnessState]
}

type witnessMsg struct {
	group *Group
	msg   *raftpb.Message
}

// Witness says how the last call to the witness ended.
func (h *Host) Witness() WitnessState {
	if s := h.witness.state.Load(); s != nil {
		return *s
	}
	return WitnessState{}
}

// toWitness takes a message if it is for the witness.
func (h *Host) toWitness(g *Group, m *raftpb.Message) bool {
	if m.GetTo() != h.cfg.Witness || h.cfg.Witness == 0 {
		return false
	}
	if h.cfg.WitnessStore != nil {
		h.witness.post(g, m)
	}
	return true
}

func (w *witnessed) post(g *Group, m *raftpb.Message) {
	if w.waits.Load() < witnessWaiting {
		w.waits.Add(1)
		w.q.push(witnessMsg{g, m})
	}
}

func (w *witnessed) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.q.wake:
		}
		w.callAll(ctx)
	}
}

// callAll hands over what has come.
func (w *witnessed) callAll(ctx context.Context) {
	msgs := w.q.take(w.spare)
	w.spare = msgs
	w.waits.Add(-int64(len(msgs)))
	if len(msgs) > 0 {
		w.call(ctx, msgs)
	}
}

// call has the witness answer messages. Its answers count only once what it
// remembers is durable.
func (w *witnessed) call(ctx context.Context, msgs []witnessMsg) {
	ids := map[uc.GroupID]bool{}
	for _, m := range msgs {
		ids[m.group.id] = true
	}
	var answers []input
	limited, cancel := context.WithTimeout(ctx, witnessPatience)
	defer cancel()
	err := w.h.cfg.WitnessStore.Update(limited, slices.Sorted(maps.Keys(ids)), func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row {
		for _, m := range msgs {
			row, a := answer(rows[m.group.id], m.msg)
			rows[m.group.id] = row
			if a != nil {
				answers = append(answers, input{group: m.group, msg: a})
			}
		}
		return rows
	})
	w.note(ctx, err)
	if err == nil {
		w.h.loop.in.push(answers...)
	}
}

// note keeps the outcome, and says when it is another than before.
func (w *witnessed) note(ctx context.Context, err error) {
	was := w.state.Load()
	if was != nil && (was.Err == nil) == (err == nil) || ctx.Err() != nil {
		return
	}
	w.state.Store(&WitnessState{Err: err, Since: w.h.cfg.Clock.Now()})
	if err != nil {
		w.h.cfg.Log.Warn("the witness does not answer", "err", err)
	} else if was != nil {
		w.h.cfg.Log.Info("the witness answers again")
	}
}

// answer is what the witness says to a message; nil for those that want no answer.
func answer(row witness.Row, m *raftpb.Message) (witness.Row, *raftpb.Message) {
	switch m.GetType() {
	case raftpb.MsgPreVote:
		a := reply(m, raftpb.MsgPreVoteResp, m.GetTerm())
		if !row.WouldVote(candidate(m)) {
			a.Term, a.Reject = new(row.Term), new(true)
		}
		return row, a
	case raftpb.MsgVote:
		next, yes := row.ForVote(candidate(m))
		a := reply(m, raftpb.MsgVoteResp, next.Term)
		if !yes {
			a.Reject = new(true)
		}
		return next, a
	case raftpb.MsgApp:
		term, index := m.GetLogTerm(), m.GetIndex()
		if n := len(m.GetEntries()); n > 0 {
			term, index = m.GetEntries()[n-1].GetTerm(), m.GetEntries()[n-1].GetIndex()
		}
		return appended(row, m, term, index)
	case raftpb.MsgSnap:
		s := m.GetSnapshot().GetMetadata()
		return appended(row, m, s.GetTerm(), s.GetIndex())
	case raftpb.MsgHeartbeat:
		next, yes := row.Heartbeat(m.GetTerm())
		a := reply(m, raftpb.MsgHeartbeatResp, next.Term)
		if !yes {
			a.Type = raftpb.MsgAppResp.Enum() // as a voter tells an outdated leader
		}
		a.Context = m.GetContext()
		return next, a
	}
	return row, nil
}

func appended(row witness.Row, m *raftpb.Message, term, index uint64) (witness.Row, *raftpb.Message) {
	next, yes := row.Append(m.GetTerm(), term, index)
	a := reply(m, raftpb.MsgAppResp, next.Term)
	if yes {
		a.Index = new(index)
	}
	return next, a
}

func candidate(m *raftpb.Message) witness.Candidate {
	return witness.Candidate{Number: m.GetFrom(), Term: m.GetTerm(), LastTerm: m.GetLogTerm(), LastIndex: m.GetIndex()}
}

func reply(m *raftpb.Message, t raftpb.MessageType, term uint64) *raftpb.Message {
	return &raftpb.Message{Type: t.Enum(), From: new(m.GetTo()), To: new(m.GetFrom()), Term: new(term)}
}
