package sipauth

// window remembers which of the last 64 numbers were used; what is older counts
// as used. Zero is never fresh.
type window struct {
	top  uint32
	seen uint64 // bit i: top-i was used
}

// take uses n and reports whether it was fresh.
func (w *window) take(n uint32) bool {
	switch {
	case n == 0:
		return false
	case n > w.top:
		w.seen = w.seen<<min(n-w.top, 64) | 1
		w.top = n
		return true
	case w.top-n >= 64 || w.seen&(1<<(w.top-n)) != 0:
		return false
	}
	w.seen |= 1 << (w.top - n)
	return true
}
