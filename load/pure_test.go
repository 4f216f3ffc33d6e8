package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The arithmetic of the published Front End: 6,660 users with 12,654 endpoints for
// one hour, each figure worked out by hand.
func TestModelArithmetic(t *testing.T) {
	t.Parallel()
	m := Lync2013()
	if n := m.EndpointCount(6660); n != 12654 {
		t.Errorf("6,660 users have %d endpoints, want 12,654", n)
	}
	s := Scale{Users: 6660, Endpoints: 12654, Length: time.Hour}
	for act, want := range map[Act]float64{
		SignIn: 12654, Publish: 26640, Talk: 3330, Message: 33300, Typing: 66600, EndTalk: 3330,
		Search: 39960, PollResults: 119880, Short: 39960, EndShort: 39960, KeepAlive: 151848,
		PollMail: 133200, Conference: 34.7637, Join: 158.175, Speak: 416.25, PollClick: 6660, PollCard: 1110, Batch: 12654,
	} {
		if got := m.Expected(m.row(act), s); math.Abs(got-want) > 1e-4*want {
			t.Errorf("%s: %.1f, want %.1f", m.row(act).Name, got, want)
		}
	}
	total := 0.0
	for _, act := range []Act{PollCard, PollClick, PollMail, PollRest, PollResults} {
		total += m.Expected(m.row(act), Scale{Users: 1, Length: time.Hour})
	}
	if math.Abs(total-60) > 1e-9 {
		t.Errorf("a user polls %.3f times an hour, want 60", total)
	}
}

func TestScheduleIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	type arrival struct {
		at  time.Duration
		act Act
	}
	draw := func(seed uint64, user int) (list []arrival) {
		s := NewSchedule(Lync2013(), seed, 1, nil)
		st := s.Stream(user, time.Minute)
		for range 1000 {
			at, act := s.Next(&st)
			list = append(list, arrival{at, act})
		}
		return list
	}
	a := draw(7, 3)
	if !slices.Equal(a, draw(7, 3)) {
		t.Error("the same seed and user give other arrivals")
	}
	if slices.Equal(a, draw(8, 3)) || slices.Equal(a, draw(7, 4)) {
		t.Error("another seed or user gives the same arrivals")
	}
	if !slices.IsSortedFunc(a, func(x, y arrival) int { return int(x.at - y.at) }) || a[0].at <= time.Minute {
		t.Error("the arrivals are not in order from the beginning given")
	}
}

// The counts of many users come out as the table says, within five times the
// spread of a Poisson process.
func TestScheduleKeepsTheRates(t *testing.T) {
	t.Parallel()
	const users = 500
	for _, speed := range []float64{1, 24} {
		m := Lync2013()
		s := NewSchedule(m, 1, speed, nil)
		var counts [chance]float64
		length := time.Duration(float64(2*time.Hour) / speed)
		for u := range users {
			st := s.Stream(u, 0)
			for at, act := s.Next(&st); at < length; at, act = s.Next(&st) {
				counts[act]++
			}
		}
		for a := range chance {
			want := 0.0
			if r := m.row(Act(a)); r != nil {
				want = m.Expected(r, Scale{Users: users, Length: 2 * time.Hour})
			}
			if math.Abs(counts[a]-want) > 5*math.Sqrt(want) {
				t.Errorf("speed %v, act %d: %v arrivals, want about %.0f", speed, a, counts[a], want)
			}
		}
	}
}

func TestScheduleWeights(t *testing.T) {
	t.Parallel()
	s := NewSchedule(Lync2013(), 1, 1, map[Act]float64{Talk: 0, Search: 0})
	st := s.Stream(0, 0)
	for range 10000 {
		if _, act := s.Next(&st); act == Talk || act == Search {
			t.Fatalf("act %d was switched off", act)
		}
	}
}

func TestSignInsFillTheWindow(t *testing.T) {
	t.Parallel()
	s := NewSchedule(Lync2013(), 1, 1, nil)
	var tenths [10]int
	for e := range 10000 {
		tenths[s.Begin(e, time.Hour)*10/time.Hour]++
	}
	for i, n := range tenths {
		if n < 850 || n > 1150 {
			t.Errorf("tenth %d of the window has %d of 10,000 sign-ins", i, n)
		}
	}
}

func TestHistogramAgainstSortedData(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, draw := range []func() float64{
		func() float64 { return rng.ExpFloat64() * 3000 }, func() float64 { return math.Exp(rng.NormFloat64()*3 + 8) }, func() float64 { return float64(rng.IntN(60)) },
	} {
		var h Histogram
		data := make([]time.Duration, 20000)
		for i := range data {
			data[i] = time.Duration(draw()) * time.Microsecond
			h.Add(data[i])
		}
		slices.Sort(data)
		for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
			exact := data[max(int(math.Ceil(q*float64(len(data))))-1, 0)]
			got := h.Quantile(q)
			if got < exact || float64(got-exact) > float64(exact)/32+1 {
				t.Errorf("quantile %v is %v, want %v and up to 1/32 more", q, got, exact)
			}
		}
		if h.Max() != data[len(data)-1] || h.Count() != int64(len(data)) {
			t.Errorf("max %v count %d", h.Max(), h.Count())
		}
	}
}

func TestHistogramBucketsMeet(t *testing.T) {
	t.Parallel()
	for i := range bucketCount - 1 {
		low, next := lowerBound(i), lowerBound(i+1)
		if bucketOf(low) != i || bucketOf(next-1) != i || next <= low {
			t.Fatalf("bucket %d from %d to %d: holds %d and %d", i, low, next, bucketOf(low), bucketOf(next-1))
		}
	}
	var a, b Histogram
	a.Add(time.Hour * 24 * 365)
	a.Add(-time.Second)
	b.Add(time.Millisecond)
	b.Merge(&a)
	if b.Count() != 3 || b.Max() != time.Hour*24*365 || b.Quantile(1) != b.Max() || b.Quantile(0) != 0 {
		t.Errorf("count %d max %v", b.Count(), b.Max())
	}
	n := uint32(0)
	for _, x := range b.Buckets() {
		n += x.Count
	}
	if n != 3 {
		t.Errorf("the buckets hold %d", n)
	}
}

func TestTrend(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	samples := make([]Sample, 1000)
	for i := range samples {
		rss := 100e6 + 20e6*float64(i%50)/50 + rng.NormFloat64()*1e6 // a sawtooth, as of a garbage collector
		samples[i] = Sample{Second: float64(i), ServerRSS: int64(rss), Heap: int64(rss + float64(i)*50e3)}
		if i < 300 {
			samples[i].ServerRSS = int64(float64(i) * 300e3)
		}
		if i%5 != 0 {
			samples[i].Heap = 0
		}
	}
	rss := TrendOf(samples, 300, func(s Sample) float64 { return float64(s.ServerRSS) })
	if !rss.Flat(0.1, 0) || math.Abs(rss.Mean-110e6) > 2e6 {
		t.Errorf("a sawtooth is not flat: %+v", rss)
	}
	heap := TrendOf(samples, 300, func(s Sample) float64 { return float64(s.Heap) })
	if heap.Flat(0.1, 0) || math.Abs(heap.Rise-35e6) > 3e6 {
		t.Errorf("a leak of 50 KB a second is flat: %+v", heap)
	}
	if x := TrendOf(nil, 0, func(Sample) float64 { return 1 }); !x.Flat(0, 0) {
		t.Errorf("%+v", x)
	}
}
