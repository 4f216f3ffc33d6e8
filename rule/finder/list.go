package finder

import (
	"cmp"
	"slices"
	"strings"
)

// key is a text under which an entry is found.
type key[T any] struct {
	text string
	e    *entry[T]
}

func compare[T any](a, b key[T]) int {
	if c := strings.Compare(a.text, b.text); c != 0 {
		return c
	}
	return cmp.Compare(a.e.seq, b.e.seq)
}

// chunkSize is how many keys lie together: a change moves about so many.
const chunkSize = 512

// list keeps keys in order, in chunks of at most chunkSize. The zero list is empty.
type list[T any] struct{ chunks [][]key[T] }

// at is a place in a list: a chunk and an index in it.
type at struct{ chunk, index int }

// chunkOf is the chunk in which k is or belongs; 0 for an empty list.
func (l *list[T]) chunkOf(k key[T]) int {
	i, _ := slices.BinarySearchFunc(l.chunks, k, func(c []key[T], k key[T]) int {
		if compare(c[0], k) <= 0 {
			return -1
		}
		return 1
	})
	return max(i-1, 0)
}

func (l *list[T]) insert(k key[T]) {
	if len(l.chunks) == 0 {
		l.chunks = [][]key[T]{{k}}
		return
	}
	c := l.chunkOf(k)
	i, found := slices.BinarySearchFunc(l.chunks[c], k, compare[T])
	if found {
		return
	}
	l.chunks[c] = slices.Insert(l.chunks[c], i, k)
	if n := len(l.chunks[c]); n > chunkSize {
		half := slices.Clone(l.chunks[c][n/2:])
		clear(l.chunks[c][n/2:])
		l.chunks[c] = l.chunks[c][:n/2]
		l.chunks = slices.Insert(l.chunks, c+1, half)
	}
}

func (l *list[T]) remove(k key[T]) {
	if len(l.chunks) == 0 {
		return
	}
	c := l.chunkOf(k)
	i, found := slices.BinarySearchFunc(l.chunks[c], k, compare[T])
	if !found {
		return
	}
	if l.chunks[c] = slices.Delete(l.chunks[c], i, i+1); len(l.chunks[c]) == 0 {
		l.chunks = slices.Delete(l.chunks, c, c+1)
	}
}

// span is the range of keys that begin with p: from the first to before the end.
func (l *list[T]) span(p string) (from, to at) {
	return l.bound(func(text string) bool { return text >= p }),
		l.bound(func(text string) bool { return text >= p && !strings.HasPrefix(text, p) })
}

// bound is the place of the first key whose text is past, which holds for the end
// of the list only.
func (l *list[T]) bound(past func(text string) bool) at {
	c, _ := slices.BinarySearchFunc(l.chunks, 0, func(c []key[T], _ int) int { return before(past(c[len(c)-1].text)) })
	if c == len(l.chunks) {
		return at{c, 0}
	}
	i, _ := slices.BinarySearchFunc(l.chunks[c], 0, func(k key[T], _ int) int { return before(past(k.text)) })
	return at{c, i}
}

func before(past bool) int {
	if past {
		return 1
	}
	return -1
}

// count is the number of keys between two places.
func (l *list[T]) count(from, to at) int {
	n := to.index - from.index
	for c := from.chunk; c < to.chunk; c++ {
		n += len(l.chunks[c])
	}
	return n
}

// each calls f for the keys between two places until it returns false.
func (l *list[T]) each(from, to at, f func(*entry[T]) bool) bool {
	for c := from.chunk; c <= to.chunk && c < len(l.chunks); c++ {
		keys := l.chunks[c]
		if c == to.chunk {
			keys = keys[:to.index]
		}
		if c == from.chunk {
			keys = keys[from.index:]
		}
		for _, k := range keys {
			if !f(k.e) {
				return false
			}
		}
	}
	return true
}
