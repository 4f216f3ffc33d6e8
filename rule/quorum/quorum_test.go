package quorum

import "testing"

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

// Every state of the servers and the witness, 16,376 of them.
func TestEveryStateOfAPool(t *testing.T) {
	states := 0
	for _, row := range tables {
		for up := range 1 << row.n {
			seeds := 0
			for i := range row.seeds {
				seeds += up >> i & 1
			}
			for _, witness := range []bool{false, true} {
				states++
				want := seeds >= row.without
				if witness {
					want = seeds >= row.needed
				}
				if got := Pool(row.n, seeds, true, witness); got != want {
					t.Fatalf("pool of %d, servers %0*b, witness %v: functioning %v, want %v", row.n, row.n, up, witness, got, want)
				}
				votes := seeds // what the replication of the pool group counts
				if witness && HasWitness(row.n) {
					votes++
				}
				if all, _ := Votes(row.n, true); (votes >= Majority(all)) != want {
					t.Fatalf("pool of %d, servers %0*b, witness %v: the voters' majority says otherwise", row.n, row.n, up, witness)
				}
			}
		}
	}
	if states != 16_376 {
		t.Errorf("%d states", states)
	}
}

func TestWithoutABackEnd(t *testing.T) {
	if Pool(2, 1, false, false) || !Pool(2, 2, false, false) || !Pool(1, 1, false, false) || Pool(4, 2, false, true) {
		t.Error("without a Back End the Front Ends' majority counts")
	}
}
