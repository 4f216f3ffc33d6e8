// Package witness is the voter without data that the primary Back End database gives
// to pools of two, four and six Front Ends: what it remembers of a group.
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
