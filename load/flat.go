package load

// Trend is how a value went over a time, by the line of least squares.
type Trend struct {
	Mean float64 // of the values
	Rise float64 // of the line, from its beginning to its end
}

// TrendOf fits a line through the samples from the second given on. Values of zero
// were not read and do not count.
func TrendOf(samples []Sample, from float64, value func(Sample) float64) Trend {
	var n, sx, sy, sxx, sxy, first, last float64
	for _, s := range samples {
		y := value(s)
		if s.Second < from || y == 0 {
			continue
		}
		if n == 0 {
			first = s.Second
		}
		x := s.Second - first
		last = x
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if n == 0 {
		return Trend{}
	}
	t := Trend{Mean: sy / n}
	if d := n*sxx - sx*sx; d > 0 {
		t.Rise = (n*sxy - sx*sy) / d * last
	}
	return t
}

// Flat reports whether the line rises by no more than a share of the mean, or than
// floor.
func (t Trend) Flat(share, floor float64) bool { return t.Rise <= max(share*t.Mean, floor) }
