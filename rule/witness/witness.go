// Package witness is the voter without data that the primary Back End database gives
// to pools of two, four and six Front Ends: what it remembers of a group, and how it
// answers.
//
// It votes like any voter of raft (Ongaro's dissertation, 3.4 and 3.6.1), comparing the
// candidate's last entry with the position up to which it has acknowledged the log, and
// it acknowledges every append of a leader that is not outdated without keeping the
// entries. Its position never goes back in the order of the log, so whoever gets its
// vote has every entry that was committed with its help. Nobody can be given an entry
// by it, so it never leads.
package witness

// Row is the memory of the witness about one group. The zero Row is that of a group it
// has never heard of.
type Row struct {
	Term uint64 // the newest term it has heard of
	Vote uint64 // number of the server that has its vote in that term, 0 for none
	// LastTerm and LastIndex are the position up to which it has acknowledged the log.
	// It never goes back in the order of the log: term, then index.
	LastTerm, LastIndex uint64
}

// Candidate asks for a vote.
type Candidate struct {
	Number              uint64 // of the server
	Term                uint64 // in which it wants to lead
	LastTerm, LastIndex uint64 // its last entry
}

// upToDate reports whether a log that ends there has everything the witness has
// acknowledged.
func (r Row) upToDate(term, index uint64) bool {
	return term > r.LastTerm || term == r.LastTerm && index >= r.LastIndex
}

// seen is the row once the witness has heard of a term.
func (r Row) seen(term uint64) Row {
	if term > r.Term {
		r.Term, r.Vote = term, 0
	}
	return r
}

// ForVote answers a candidate: one vote per term, only for a log that is up to date.
func (r Row) ForVote(c Candidate) (Row, bool) {
	if c.Term < r.Term {
		return r, false
	}
	r = r.seen(c.Term)
	if r.Vote != 0 && r.Vote != c.Number || !r.upToDate(c.LastTerm, c.LastIndex) {
		return r, false
	}
	r.Vote = c.Number
	return r, true
}

// WouldVote answers a server that asks whether it is worth to stand; nothing is
// remembered of that (PreVote, 9.6).
func (r Row) WouldVote(c Candidate) bool {
	return (c.Term > r.Term || c.Term == r.Term && r.Vote == c.Number) && r.upToDate(c.LastTerm, c.LastIndex)
}

// Append answers a leader of a term whose log, with what it sends, ends in an entry:
// acknowledged, unless a newer term is known.
func (r Row) Append(term, lastTerm, lastIndex uint64) (Row, bool) {
	if term < r.Term {
		return r, false
	}
	r = r.seen(term)
	if r.upToDate(lastTerm, lastIndex) {
		r.LastTerm, r.LastIndex = lastTerm, lastIndex
	}
	return r, true
}

// Heartbeat answers a leader that asks whether it still leads.
func (r Row) Heartbeat(term uint64) (Row, bool) {
	if term < r.Term {
		return r, false
	}
	return r.seen(term), true
}
