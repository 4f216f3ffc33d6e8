package aggregate_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trivet/rule/aggregate"
	"trivet/uc"
)

var anyInput = rapid.Custom(func(t *rapid.T) in {
	number := rapid.SampledFrom([]int{aggregate.Unknown, 0, 1, 3500, 4500, 5000, 6500, 6900, 7000, 7500, 8999, 9000, 9500, 12500, 15500, 17999, 18000, 18500, 65535})
	bound := rapid.SampledFrom([]int{0, 3000, 6500, 6900, 8999, 9000, 11999, 12000})
	word := rapid.SampledFrom([]string{"", "a", "b"})
	at := rapid.Int64Range(1, 3)
	return in{
		Kind:         aggregate.Kind(rapid.IntRange(0, 7).Draw(t, "kind")),
		Availability: number.Draw(t, "availability"),
		Activity:     aggregate.Activity{Token: word.Draw(t, "token"), Min: bound.Draw(t, "min"), Max: bound.Draw(t, "max")},
		Published:    at.Draw(t, "published"), Start: rapid.Int64Range(0, 2).Draw(t, "start"), LastActive: rapid.Int64Range(0, 4).Draw(t, "lastActive"),
		Endpoint: uc.EndpointID(word.Draw(t, "endpoint")), Device: rapid.SampledFrom([]string{"", "Mobile"}).Draw(t, "device"),
		MeetingSubject: word.Draw(t, "subject"),
	}
})

func draw(t *rapid.T) (inputs []in, endpoints, container int) {
	return rapid.SliceOfN(anyInput, 0, 7).Draw(t, "inputs"), rapid.IntRange(0, 2).Draw(t, "endpoints"), rapid.IntRange(2, 3).Draw(t, "container")
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs, endpoints, container := draw(t)
		want := aggregate.Compute(inputs, endpoints, container)
		mixed := rapid.Permutation(inputs).Draw(t, "mixed")
		if d := cmp.Diff(want, aggregate.Compute(mixed, endpoints, container)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestResultIsANumberWatchersKnow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs, endpoints, container := draw(t)
		r := aggregate.Compute(inputs, endpoints, container)
		if r.Availability < 3000 || r.Availability > 18500 {
			t.Fatalf("availability %d", r.Availability)
		}
		if container == 3 && r.Availability >= 9000 && r.Availability < 12000 {
			t.Fatalf("the workgroup sees do not disturb, %d", r.Availability)
		}
		if endpoints == 0 && r.Availability != 18500 {
			t.Fatalf("%d without endpoints", r.Availability)
		}
		if !slices.Contains([]int{3500, 5000, 15500, 18500}, r.Machine) {
			t.Fatalf("machine %d", r.Machine)
		}
	})
}

// distance says how far from reach a number is: here, idle, away, gone.
func distance(n int) int {
	switch {
	case n >= 18000:
		return 3
	case n >= 12000:
		return 2
	case n <= 0, n >= 4500 && n < 6000, n >= 7500 && n < 9000:
		return 1
	}
	return 0
}

func TestWithoutAnInputNobodyIsFurtherAwayThanAllInputs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs, endpoints, container := draw(t)
		if len(inputs) == 0 || endpoints == 0 {
			return
		}
		furthest := 0
		for _, in := range inputs {
			if in.Kind == aggregate.UserState || in.Kind == aggregate.MachineState {
				furthest = max(furthest, distance(in.Availability))
			}
		}
		i := rapid.IntRange(0, len(inputs)-1).Draw(t, "removed")
		r := aggregate.Compute(slices.Delete(slices.Clone(inputs), i, i+1), endpoints, container)
		if got := distance(r.Availability); got > furthest {
			t.Fatalf("%d is further than any input", r.Availability)
		}
	})
}

func TestMoreActiveMachineNeverMakesLessAvailable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs, endpoints, container := draw(t)
		hasMachine := slices.ContainsFunc(inputs, func(i in) bool { return i.Kind == aggregate.MachineState })
		if endpoints == 0 || !hasMachine {
			return
		}
		before := aggregate.Compute(inputs, endpoints, container)
		after := aggregate.Compute(append(inputs, machine(3500, 2)), endpoints, container)
		if distance(after.Availability) > distance(before.Availability) {
			t.Fatalf("from %d to %d by an active machine", before.Availability, after.Availability)
		}
	})
}

func TestComputeLeavesInputsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs, endpoints, container := draw(t)
		kept := slices.Clone(inputs)
		aggregate.Compute(inputs, endpoints, container)
		if d := cmp.Diff(kept, inputs); d != "" {
			t.Fatal(d)
		}
	})
}
