// Package sim runs a pool of Front Ends, its Back End, the network between them and the
// people who use it on one goroutine, from a seed: whatever happens in a run happens again
// when the run is repeated.
//
// What is real: package replica whole (stepped instead of on goroutines), and with it the
// core of Raft; rule/quorum, rule/placement, rule/poolstate, rule/recovery, rule/witness and
// service/poolmanager. What stands for something else: the disk below the logs (disk.go),
// the network (network.go), clocks, the database (backend.go), and the order in which a
// server starts and stops its services (server.go), which follows role/frontend. The
// state of a routing group is a ledger of what people wrote (ledger.go), so that it can be
// said of each entry whether it was promised.
//
// A run has three parts: the pool starts; nemeses (nemesis.go) do harm while people write
// and read; everything is mended, and the pool has to be whole again within a time. The
// invariants (invariant.go) are looked at all the way.
//
// One goroutine may run one simulation at a time in a process: the core of Raft draws the
// times of its elections from crypto/rand, which a run replaces.
package sim
