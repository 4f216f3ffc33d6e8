package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// Schedule draws when users act. Every user has a random stream of its own, given
// by the seed and the number of the user, so the arrivals of one user do not
// depend on what others do, on answers or on the machine: an open model. The acts
// of a user are one Poisson process whose rate is the sum of the rates of the
// model; which act an arrival is, is drawn by their shares. That is the same as
// one process for each act and needs a single timer.
//
// A Schedule is read only and safe for concurrent use.
type Schedule struct {
	seed  uint64
	speed float64
	rate  float64         // arrivals per user and second of model time
	upto  [chance]float64 // cumulated shares of the acts
}

// NewSchedule makes the schedule of a model. speed divides all times; weight scales
// the rate of acts, those without an entry have 1.
func NewSchedule(m *Model, seed uint64, speed float64, weight map[Act]float64) *Schedule {
	s := &Schedule{seed: seed, speed: speed}
	var rates [chance]float64
	for _, r := range m.Rows {
		if int(r.Act) < chance && r.Per > 0 && r.Whose == PerUser {
			w, ok := weight[r.Act]
			if !ok {
				w = 1
			}
			rates[r.Act] = w * r.Count / r.Per.Seconds()
			s.rate += rates[r.Act]
		}
	}
	sum := 0.0
	for i, r := range rates {
		sum += r
		if s.rate > 0 {
			s.upto[i] = sum / s.rate
		}
	}
	return s
}

// Stream is the state of one user's random stream.
type Stream struct {
	pcg rand.PCG
	at  time.Duration // of the last arrival
}

// Stream begins the stream of a user at the time given.
func (s *Schedule) Stream(user int, from time.Duration) Stream {
	st := Stream{at: from}
	st.pcg.Seed(s.seed, uint64(user)+1)
	return st
}

// never is when a user acts to whom every act is forbidden.
const never = time.Duration(1<<63 - 1)

// Next is the next arrival: what, and how long after the beginning of the run.
func (s *Schedule) Next(st *Stream) (time.Duration, Act) {
	if s.rate == 0 {
		return never, Publish
	}
	wait := -math.Log1p(-st.float()) / s.rate / s.speed
	st.at += time.Duration(wait * float64(time.Second))
	x := st.float()
	for a := range s.upto {
		if x < s.upto[a] {
			return st.at, Act(a)
		}
	}
	return st.at, Act(chance - 1)
}

// float is uniform in [0, 1).
func (st *Stream) float() float64 { return float64(st.pcg.Uint64()>>11) / (1 << 53) }

// below is uniform in [0, n).
func (st *Stream) below(n int) int { return int(st.float() * float64(n)) }

// Begin is when an endpoint signs in within the window: uniform, by a stream apart
// from that of the user's arrivals.
func (s *Schedule) Begin(endpoint int, window time.Duration) time.Duration {
	var p rand.PCG
	p.Seed(s.seed^0x5167_6e49_6e00, uint64(endpoint)+1)
	return time.Duration(float64(p.Uint64()>>11) / (1 << 53) * float64(window))
}
