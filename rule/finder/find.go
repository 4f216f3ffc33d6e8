package finder

import "math/bits"

// Term is a condition: one of the attributes, given as bits, begins with Text, or
// is equal to it.
type Term struct {
	Attrs uint64
	Text  string
	Exact bool
}

// maxVisits bounds the work of a question whose terms have little in common.
const maxVisits = 100_000

// Find returns up to limit values for which all terms and keep (nil: all) hold, and
// whether there are more. What equals a term comes before what only begins with it.
// A term without text holds for everything; without any other there is no answer.
func (x *Index[T]) Find(terms []Term, limit int, keep func(T) bool) (found []T, more bool) {
	folded := make([]Term, 0, len(terms))
	best, least := -1, 0
	for _, t := range terms {
		t.Attrs &= 1<<len(x.lists) - 1
		if t.Text = Fold(t.Text); t.Text == "" {
			continue
		}
		if n := x.size(t); best < 0 || n < least {
			best, least = len(folded), n
		}
		folded = append(folded, t)
	}
	if best < 0 || limit <= 0 {
		return nil, false
	}
	visits, seen := 0, map[*entry[T]]bool{}
	x.each(folded[best], func(e *entry[T]) bool {
		if visits++; visits > maxVisits {
			more = true
			return false
		}
		if seen[e] || !x.fits(e, folded, best) || folded[best].Exact && !x.holds(e, folded[best]) || keep != nil && !keep(e.value) {
			return true
		}
		if len(found) == limit {
			more = true
			return false
		}
		seen[e] = true
		found = append(found, e.value)
		return true
	})
	return found, more
}

// size is how many keys a term has to offer.
func (x *Index[T]) size(t Term) int {
	n := 0
	for a := t.Attrs; a != 0; a &= a - 1 {
		l := &x.lists[bits.TrailingZeros64(a)]
		n += l.count(l.span(t.Text))
	}
	return n
}

// each calls f for the entries of a term, the exact ones of each attribute first,
// until it returns false.
func (x *Index[T]) each(t Term, f func(*entry[T]) bool) {
	for a := t.Attrs; a != 0; a &= a - 1 {
		l := &x.lists[bits.TrailingZeros64(a)]
		from, to := l.span(t.Text)
		if !l.each(from, to, f) {
			return
		}
	}
}

// fits reports whether all terms but one hold for e.
func (x *Index[T]) fits(e *entry[T], terms []Term, but int) bool {
	for i, t := range terms {
		if i == but {
			continue
		}
		if !x.holds(e, t) {
			return false
		}
	}
	return true
}

func (x *Index[T]) holds(e *entry[T], t Term) bool {
	for a := t.Attrs; a != 0; a &= a - 1 {
		attr := bits.TrailingZeros64(a)
		if t.Exact && e.texts[attr] == t.Text || !t.Exact && x.begins(e, attr, t.Text) {
			return true
		}
	}
	return false
}
