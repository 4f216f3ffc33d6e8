// Package replica keeps state machines alike on several servers: the host of
// many raft groups in one process (go.etcd.io/raft, Ongaro's dissertation), one
// store for all their logs, one flush for whatever all of them have to write.
// It knows nothing of users: a Machine gets bytes and gives results and events.
// docs/design/0002-replica.md tells the way of a write and what was decided.
//
// What it promises:
//   - Propose returns nil only after the command is on disk on a majority of the
//     group's voters and applied here. A command is applied at most once, however
//     often it is repeated under the same ID.
//   - Machine.Apply, Observe functions and the functions given to Read run on the
//     group's own goroutine, one at a time, in log order. They may not call back
//     into the group and wait.
//   - Read sees every command acknowledged, on any server, before Read was called.
//   - A Feed sees the events of every entry after its stored position at least
//     once, in log order; what it can no longer be given is announced by Lost.
//   - Nothing is buffered without bound: above the limits of Config proposals are
//     refused with fault.Overload and messages from other servers are dropped.
//   - All methods may be called from any goroutine.
//
// Goroutines of a host: one loop that steps every group, one that writes the log
// of every group, one per group that applies, one per running feed, one that
// watches the disk, and short ones that write or send a snapshot.
package replica
