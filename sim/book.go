package sim

import (
	"slices"
	"time"

	"trivet/uc"
)

// book is what people know: what they were promised, in which place, and the longest list
// of each key that anybody has seen.
type book struct {
	w    *world
	keys map[page]*known
}

type page struct {
	group uc.GroupID
	key   int
}

// known is what is known of a key.
type known struct {
	seen     []entry // the list as far as anybody has seen it
	promised []promise
	floor    int // the highest place promised
	tried    map[entry]bool
}

// promise is a write that was acknowledged. at is its place from 1, 0 where nobody said.
type promise struct {
	entry entry
	at    int
	when  time.Duration
}

func newBook(w *world) *book { return &book{w, map[page]*known{}} }

func (b *book) of(g uc.GroupID, key int) *known {
	k := b.keys[page{g, key}]
	if k == nil {
		k = &known{tried: map[entry]bool{}}
		b.keys[page{g, key}] = k
	}
	return k
}

func (b *book) begun(a *asked) { b.of(a.group, a.key).tried[a.entry] = true }

func (b *book) floor(g uc.GroupID, key int) int { return b.of(g, key).floor }

// promised notes an acknowledgement.
func (b *book) promised(s *server, a *asked, at int) {
	k := b.of(a.group, a.key)
	b.w.trace.number(uint64(a.entry) ^ uint64(at)<<48)
	b.w.counts.Writes++
	if at > 0 && at <= len(k.seen) && k.seen[at-1] != a.entry {
		b.w.violated("order", "%s says that entry %s is in place %d of key %d of group %d, where entry %s was seen", s, a.entry, at, a.key, a.group, k.seen[at-1])
	}
	k.promised = append(k.promised, promise{a.entry, at, b.w.now})
	k.floor = max(k.floor, at)
}

// read looks at what somebody was shown.
func (b *book) read(s *server, a *asked) {
	b.w.counts.Reads++
	b.w.trace.number(uint64(len(a.got)))
	if len(a.got) < a.floor {
		b.w.violated("stale read", "%s shows %d entries of key %d of group %d; %d had been promised before it was asked", s, len(a.got), a.key, a.group, a.floor)
	}
	b.sees(s, a.group, a.key, a.got)
}

// sees notes a list, which has to be a beginning of the ones seen before, or they of it.
func (b *book) sees(s *server, g uc.GroupID, key int, got []entry) {
	k := b.of(g, key)
	n := min(len(got), len(k.seen))
	for i := range n {
		if got[i] != k.seen[i] {
			b.w.violated("order", "%s has entry %s in place %d of key %d of group %d, where entry %s was seen", s, got[i], i+1, key, g, k.seen[i])
			return
		}
	}
	for _, e := range got[n:] {
		if !k.tried[e] {
			b.w.violated("invention", "%s has entry %s in key %d of group %d, which nobody wrote", s, e, key, g)
		}
	}
	if len(got) > len(k.seen) {
		k.seen = slices.Clone(got)
	}
}

// check compares a whole state with everything that was promised.
func (b *book) check(s *server, l *ledger) {
	for key := range keys {
		got := l.keys[key]
		b.sees(s, l.group, key, got)
		k := b.of(l.group, key)
		if len(got) < len(k.seen) {
			b.w.violated("nothing is lost", "%s has %d entries of key %d of group %d in the end, %d were seen", s, len(got), key, l.group, len(k.seen))
			return
		}
		for _, p := range k.promised {
			if i := slices.Index(got, p.entry); i < 0 || p.at > 0 && i != p.at-1 {
				b.w.violated("nothing is lost", "entry %s of key %d of group %d was promised at %v in place %d, and is in place %d in the end", p.entry, key, l.group, p.when, p.at, i+1)
				return
			}
		}
	}
}

// forget takes back what a group loses that goes on with one copy: everything beyond it.
func (b *book) forget(l *ledger) {
	for key := range keys {
		k, kept := b.of(l.group, key), l.keys[key]
		k.seen = k.seen[:min(len(k.seen), len(kept))]
		b.w.counts.Lost += len(k.promised)
		k.promised = slices.DeleteFunc(k.promised, func(p promise) bool { return !slices.Contains(kept, p.entry) })
		b.w.counts.Lost -= len(k.promised)
		k.floor = 0
		for _, p := range k.promised {
			k.floor = max(k.floor, p.at)
		}
	}
	for _, p := range b.w.people {
		if p.op != nil && p.op.group == l.group {
			p.op.floor = 0
		}
	}
}
