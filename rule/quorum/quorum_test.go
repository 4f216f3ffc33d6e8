package quorum

import (
	"math/bits"
	"testing"

	raft "go.etcd.io/raft/v3/quorum"
)

// The product's tables for pools of 2 to 12: Front Ends that must run at the first
// start; those of the first so many that must run to keep the pool functioning, with
// the Back End and without.
var tables = []struct{ n, first, seeds, needed, without int }{
	{2, 1, 2, 1, 2},
	{3, 3, 3, 2, 2},
	{4, 3, 4, 2, 3},
	{5, 4, 5, 3, 3},
	{6, 5, 6, 3, 4},
	{7, 5, 7, 4, 4},
	{8, 6, 7, 4, 4},
	{9, 7, 7, 4, 4},
	{10, 8, 9, 5, 5},
	{11, 9, 9, 5, 5},
	{12, 10, 9, 5, 5},
}

func TestFirstStart(t *testing.T) {
	for _, row := range tables {
		if got := FirstStart(row.n); got != row.first {
			t.Errorf("a pool of %d opens with %d, want %d", row.n, got, row.first)
		}
	}
	if FirstStart(1) != 1 {
		t.Error("a pool of one opens with its server")
	}
}

func TestVoters(t *testing.T) {
	for _, row := range tables {
		votes := row.seeds
		if row.needed != row.without { // the Back End makes a difference
			votes++
		}
		all, needed := Votes(row.n, true)
		if Seeds(row.n) != row.seeds || all != votes || needed != row.without || HasWitness(row.n) != (votes > row.seeds) {
			t.Errorf("pool of %d: %d seeds, %d votes, %d needed, witness %v", row.n, Seeds(row.n), all, needed, HasWitness(row.n))
		}
	}
	if all, needed := Votes(1, true); Seeds(1) != 1 || all != 1 || needed != 1 || HasWitness(1) {
		t.Error("a pool of one votes alone")
	}
}

// running are the seeds among the servers whose bits are set, the first server's the
// lowest.
func running(up, seeds int) int { return bits.OnesCount(uint(up & (1<<seeds - 1))) }

// Every state of the servers and the witness, 16,376 of them: the rule, the product's
// table and the count that the replication of the pool group makes are one.
func TestEveryStateOfAPool(t *testing.T) {
	states := 0
	for _, row := range tables {
		voters := raft.MajorityConfig{}
		for i := range Seeds(row.n) {
			voters[uint64(i+1)] = struct{}{}
		}
		if HasWitness(row.n) {
			voters[Witness] = struct{}{}
		}
		for up := range 1 << row.n {
			seeds := running(up, row.seeds)
			for _, witness := range []bool{false, true} {
				states++
				want := seeds >= row.without
				if witness {
					want = seeds >= row.needed
				}
				if got := Pool(row.n, seeds, true, witness); got != want {
					t.Fatalf("pool of %d, servers %0*b, witness %v: functioning %v, want %v", row.n, row.n, up, witness, got, want)
				}
				if got := voters.VoteResult(votes(row.n, up, witness)) == raft.VoteWon; got != want {
					t.Fatalf("pool of %d, servers %0*b, witness %v: raft elects a leader %v, want %v", row.n, row.n, up, witness, got, want)
				}
			}
		}
	}
	if states != 16_376 {
		t.Errorf("%d states", states)
	}
}

// votes are those for a candidate: of all who run. Others are not heard.
func votes(n, up int, witness bool) map[uint64]bool {
	out := map[uint64]bool{}
	for i := range n {
		if up>>i&1 == 1 {
			out[uint64(i+1)] = true
		}
	}
	if witness {
		out[Witness] = true
	}
	return out
}

// A pool that may open can elect a leader, with any servers that are enough for it; in a
// pool of two only with the witness.
func TestFirstStartIsAQuorum(t *testing.T) {
	for _, row := range tables {
		for up := range 1 << row.n {
			if bits.OnesCount(uint(up)) < FirstStart(row.n) {
				continue
			}
			seeds := running(up, row.seeds)
			if !Pool(row.n, seeds, true, true) {
				t.Errorf("pool of %d opens with servers %0*b, which are no quorum", row.n, row.n, up)
			}
			if both := bits.OnesCount(uint(up)) == 2; Pool(row.n, seeds, true, false) != (row.n > 2 || both) {
				t.Errorf("pool of %d, servers %0*b without the witness: functioning %v", row.n, row.n, up, !both)
			}
		}
	}
}

// A routing group goes on with two of its three voters, the witness being one in a pool
// of two; that of a pool of one with its only one.
func TestRoutingGroup(t *testing.T) {
	for n, row := range map[int]struct{ copies, voters, needed int }{1: {1, 1, 1}, 2: {2, 3, 2}, 3: {3, 3, 2}, 4: {3, 3, 2}, 12: {3, 3, 2}} {
		voters := Copies(n)
		if GroupHasWitness(n) {
			voters++
		}
		if Copies(n) != row.copies || voters != row.voters || Majority(voters) != row.needed {
			t.Errorf("pool of %d: %d copies, %d voters, %d needed", n, Copies(n), voters, Majority(voters))
		}
	}
}

func TestWithoutABackEnd(t *testing.T) {
	for n := 1; n <= MaxFrontEnds; n++ {
		for seeds := range Seeds(n) + 1 {
			for _, witness := range []bool{false, true} {
				if got, want := Pool(n, seeds, false, witness), 2*seeds > Seeds(n); got != want {
					t.Errorf("pool of %d without a Back End, %d seeds: functioning %v, want %v", n, seeds, got, want)
				}
			}
		}
	}
}
