package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in log-linear buckets: every power of two of
// microseconds is cut into 32 equal parts, so a bucket is at most 1/32 (3.1 %) of
// its lower bound wide; below 64 µs each microsecond has its own. The greatest
// value is kept exactly. Safe for concurrent use; adding costs no allocation.
type Histogram struct {
	count, sum, max atomic.Int64 // sum and max in microseconds
	buckets         [bucketCount]atomic.Uint32
}

const (
	subBits     = 5 // 32 parts of a power of two
	topBits     = 33
	bucketCount = (topBits - subBits + 1) << subBits // up to 2^33 µs, 2.4 h
)

// Add counts one duration; a negative one counts as none.
func (h *Histogram) Add(d time.Duration) {
	us := max(d.Microseconds(), 0)
	h.buckets[bucketOf(us)].Add(1)
	h.count.Add(1)
	h.sum.Add(us)
	for {
		was := h.max.Load()
		if us <= was || h.max.CompareAndSwap(was, us) {
			return
		}
	}
}

// bucketOf is the bucket of a value in microseconds.
func bucketOf(us int64) int {
	n := bits.Len64(uint64(us))
	if n <= subBits+1 {
		return int(us)
	}
	shift := n - subBits - 1
	return min(shift<<subBits+int(us>>shift), bucketCount-1)
}

// lowerBound is the least value in microseconds of a bucket.
func lowerBound(i int) int64 {
	if i < 2<<subBits {
		return int64(i)
	}
	shift := i>>subBits - 1
	return int64(i-shift<<subBits) << shift
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 { return h.count.Load() }

// Max is the greatest of them.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) * time.Microsecond }

// Mean is their average.
func (h *Histogram) Mean() time.Duration {
	n := h.count.Load()
	if n == 0 {
		return 0
	}
	return time.Duration(h.sum.Load()/n) * time.Microsecond
}

// Quantile is a value that the share q of all durations does not exceed: the
// highest of the bucket in which that one lies, never more than Max.
func (h *Histogram) Quantile(q float64) time.Duration {
	n := h.count.Load()
	if n == 0 {
		return 0
	}
	rank := int64(q*float64(n) + 0.9999999)
	rank = min(max(rank, 1), n)
	for i := range h.buckets {
		if rank -= int64(h.buckets[i].Load()); rank <= 0 && i+1 < bucketCount { // the last bucket has no upper bound
			return min(time.Duration(lowerBound(i+1)-1)*time.Microsecond, h.Max())
		}
	}
	return h.Max()
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i := range o.buckets {
		if n := o.buckets[i].Load(); n > 0 {
			h.buckets[i].Add(n)
		}
	}
	h.count.Add(o.count.Load())
	h.sum.Add(o.sum.Load())
	if m := o.max.Load(); m > h.max.Load() {
		h.max.Store(m)
	}
}

// Bucket is a bucket that is not empty, for reports.
type Bucket struct {
	From  int64 `json:"from_us"` // least value, microseconds
	Count uint32
}

// Buckets lists those that are not empty, in order.
func (h *Histogram) Buckets() (list []Bucket) {
	for i := range h.buckets {
		if n := h.buckets[i].Load(); n > 0 {
			list = append(list, Bucket{lowerBound(i), n})
		}
	}
	return list
}
