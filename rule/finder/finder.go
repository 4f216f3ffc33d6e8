// Package finder finds people by the beginnings of their attributes: "an mü" for
// Anna Müller, in any case and with or without accents. An Index keeps every
// attribute of every value in order, so that a question costs what its narrowest
// term costs and not what the directory holds.
//
// It is pure and does not lock: whoever shares an Index guards it.
package finder

import "strings"

// Index finds values of type T by attributes, which have numbers from 0 on.
type Index[T any] struct {
	lists   []list[T] // one for each attribute
	words   uint64    // attributes in which every word counts, as bits
	entries map[string]*entry[T]
	seq     uint64
}

// entry is a value with its folded attributes.
type entry[T any] struct {
	seq   uint64 // tells entries with the same text apart, in the lists
	value T
	texts []string
}

// New makes an index of n attributes, at most 64. In those whose bit is set in words
// each word counts; in the others only the beginning does.
func New[T any](n int, words uint64) *Index[T] {
	return &Index[T]{lists: make([]list[T], n), words: words, entries: map[string]*entry[T]{}}
}

// Len is the number of values.
func (x *Index[T]) Len() int { return len(x.entries) }

// All returns every value, in no order.
func (x *Index[T]) All() []T {
	list := make([]T, 0, len(x.entries))
	for _, e := range x.entries {
		list = append(list, e.value)
	}
	return list
}

// Get returns the value stored under id.
func (x *Index[T]) Get(id string) (T, bool) {
	if e := x.entries[id]; e != nil {
		return e.value, true
	}
	var none T
	return none, false
}

// Put stores v under id in place of what was there. texts are its attributes by
// number; empty ones are not found.
func (x *Index[T]) Put(id string, v T, texts []string) {
	x.Remove(id)
	x.seq++
	e := &entry[T]{seq: x.seq, value: v, texts: make([]string, len(x.lists))}
	for i := range min(len(texts), len(x.lists)) {
		e.texts[i] = Fold(texts[i])
		x.eachKey(e, i, func(k key[T]) { x.lists[i].insert(k) })
	}
	x.entries[id] = e
}

// Remove forgets what is stored under id.
func (x *Index[T]) Remove(id string) {
	e := x.entries[id]
	if e == nil {
		return
	}
	for i := range x.lists {
		x.eachKey(e, i, func(k key[T]) { x.lists[i].remove(k) })
	}
	delete(x.entries, id)
}

// maxWords bounds the keys of one attribute.
const maxWords = 8

// eachKey calls f with the keys of an attribute: the text from its beginning, and
// from the beginning of each later word.
func (x *Index[T]) eachKey(e *entry[T], attr int, f func(key[T])) {
	text := e.texts[attr]
	if text == "" {
		return
	}
	f(key[T]{text, e})
	if x.words>>attr&1 == 0 {
		return
	}
	for n := 1; n < maxWords; n++ {
		i := strings.IndexAny(text, " -")
		if i < 0 || i+1 == len(text) {
			return
		}
		if text = text[i+1:]; text[0] != ' ' && text[0] != '-' {
			f(key[T]{text, e})
		}
	}
}

// begins reports whether attribute attr of e, or a word of it, begins with the
// folded text p.
func (x *Index[T]) begins(e *entry[T], attr int, p string) bool {
	found := false
	x.eachKey(e, attr, func(k key[T]) { found = found || strings.HasPrefix(k.text, p) })
	return found
}
