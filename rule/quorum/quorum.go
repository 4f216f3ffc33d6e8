// Package quorum has the numbers of a pool of Front Ends: how many must run for its
// first start, who votes for the pool, how many votes it needs to keep functioning
// (the product's two tables).
//
// The seeds are positional: the first Front Ends in the order of the topology. The
// primary Back End database adds a vote, the witness's, to pools of two, four and six.
// Below the number every server stops its services. The product's numbers are exactly
// the majority of these voters, which is what the replication of the pool group asks for,
// so there is no second rule beside it. Two rules of the product are no majorities:
//
//   - The first start counts servers, not votes. From pools of three on the number
//     includes a majority of the voters, whichever servers they are and whether the
//     witness votes or not. In a pool of two it is one, which is a majority with the
//     witness only: while the Back End is away, both have to run.
//   - A routing group of a pool of two has two copies, and one is said to do. Two of two
//     is the majority of these, so the witness has a vote in these groups as well. It
//     gives it to a server that has everything only, so of two servers that stopped one
//     after the other, the one that stopped first does not serve what it has alone.
package quorum

// Witness is the number of the voter without data among those of servers.
const Witness uint64 = 1 << 20

// MaxFrontEnds is the largest pool.
const MaxFrontEnds = 12

// FirstStart is how many of n Front Ends must run before a pool that never ran is
// opened.
func FirstStart(n int) int {
	switch {
	case n <= 2:
		return min(n, 1)
	case n == 3:
		return 3
	}
	return n * 85 / 100
}

// Seeds is how many of n Front Ends have a vote in the pool group, from the first on.
func Seeds(n int) int {
	switch {
	case n >= 10:
		return min(n, 9)
	case n >= 8:
		return 7
	}
	return n
}

// HasWitness reports whether the primary Back End database has a vote in a pool of n.
func HasWitness(n int) bool { return n == 2 || n == 4 || n == 6 }

// Votes is how many votes the pool group of n Front Ends has, and how many of them it
// needs. witness says whether the pool has a Back End.
func Votes(n int, witness bool) (all, needed int) {
	all = Seeds(n)
	if witness && HasWitness(n) {
		all++
	}
	return all, all/2 + 1
}

// Pool reports whether a pool of n Front Ends keeps functioning with so many running
// seeds, and the witness or not. backEnd says whether the pool has one at all.
func Pool(n, seeds int, backEnd, witness bool) bool {
	if backEnd && witness && HasWitness(n) {
		seeds++
	}
	_, needed := Votes(n, backEnd)
	return seeds >= needed
}

// Copies is how many voters with data a routing group of a pool of n Front Ends has.
func Copies(n int) int { return min(n, 3) }

// GroupHasWitness reports whether the witness also votes in the routing groups of a pool
// of n Front Ends that has a Back End: where two copies are no majority without each
// other.
func GroupHasWitness(n int) bool { return Copies(n) == 2 }

// Majority is how many of so many voters a group needs.
func Majority(voters int) int { return voters/2 + 1 }
