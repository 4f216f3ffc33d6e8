package sim

import (
	"bytes"
	"testing"
)

// TestSeeds runs pools from a few seeds; trivet sim runs more of them.
func TestSeeds(t *testing.T) {
	for seed := uint64(1); seed <= 80; seed++ {
		if _, err := Run(Options{Seed: seed}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestFoundBefore repeats what seeds have found: docs/simulation.md.
func TestFoundBefore(t *testing.T) {
	for _, seed := range []uint64{2, 22, 29, 42, 83, 113, 119, 250, 855, 1164, 1829} {
		if _, err := Run(Options{Seed: seed}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestAgain repeats a seed: everything happens again.
func TestAgain(t *testing.T) {
	var logs [2]bytes.Buffer
	var results [2]Result
	for i := range results {
		var err error
		if results[i], err = Run(Options{Seed: 7, Log: &logs[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if results[0].Trace != results[1].Trace || !bytes.Equal(logs[0].Bytes(), logs[1].Bytes()) {
		t.Errorf("the same seed gives %x and %x", results[0].Trace, results[1].Trace)
	}
}

// TestTablesOfSmallPools compares who serves with the product's table; trivet sim --tables
// does so for all sizes.
func TestTablesOfSmallPools(t *testing.T) {
	for n := 2; n <= 4; n++ {
		done, err := Tables(n, func(int) bool { return true })
		if err != nil || done != 2<<n {
			t.Errorf("pools of %d: %d states, %v", n, done, err)
		}
	}
}

// TestEveryNemesis has each of them at work.
func TestEveryNemesis(t *testing.T) {
	var all Counts
	for seed := uint64(1); seed <= 80; seed++ {
		for _, name := range Names() {
			if all.Nemeses[name] > 0 {
				continue
			}
			r, err := Run(Options{Seed: seed, Only: []string{name}})
			if err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
			}
			all.Add(r.Counts)
		}
	}
	for _, name := range Names() {
		if all.Nemeses[name] == 0 {
			t.Errorf("nothing was done by: %s", name)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, o := range []Options{{Servers: 1}, {Servers: 13}, {Chaos: -1}, {Only: []string{"rain"}}} {
		if _, err := Run(o); err == nil {
			t.Errorf("%+v is run", o)
		}
	}
}
