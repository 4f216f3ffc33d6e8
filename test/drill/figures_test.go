package drill

import (
	"slices"
	"testing"
	"time"

	"trivet/box"
)

// kills is how often a primary is lost: a few times, many times nightly.
func kills() int {
	if nightly() {
		return 200
	}
	return 3
}

// The time from the death of a user's primary until the others say who leads its group,
// over many deaths.
func TestTimeToANewPrimary(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice)
	var took []time.Duration
	for i := range kills() {
		await(t, "a whole pool, led as it is to be", func() bool { return p.Whole("fe1") && p.Whole("fe2") && p.Whole("fe3") })
		lost := p.Primary("fe1", alice)
		left := map[string]string{"fe1": "fe2", "fe2": "fe3", "fe3": "fe1"}[lost]
		began := time.Now()
		p.must(p.Kill(p.soon(), lost))
		await(t, "a new primary", func() bool { n := p.Primary(left, alice); return n != "" && n != lost })
		took = append(took, time.Since(began))
		p.must(p.Run(p.soon(), lost))
		p.Wait(lost, box.Ready)
		if i%20 == 19 {
			t.Logf("%d deaths, the last one took %v", i+1, took[i].Round(time.Millisecond))
		}
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(time.Millisecond) }
	t.Logf("%d deaths of a primary, until a new one was seen: median %v, 99th of a hundred %v, longest %v", len(took), at(0.5), at(0.99), at(1))
	if at(0.99) > 10*time.Second {
		t.Error("this is no election, but something that hangs")
	}
}
