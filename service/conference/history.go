package conference

import (
	"slices"
	"time"

	"trivet/uc"
)

// Bounds of what was said just now and is told to those who join.
const (
	historyLen   = 50
	historyTime  = 40 * time.Second
	historyBytes = 256 << 10 // of one conference
	historyAll   = 64 << 20  // of all conferences
	forgetEvery  = 20 * time.Second
)

// said is an instant message.
type said struct {
	by          uc.UserURI
	contentType string
	body        []byte
	at          time.Time
	plain       []byte // the body with the name in front, once it was needed
}

// size is what a message is counted as, in bytes.
func (m *said) size() int { return len(m.body) + len(m.contentType) + 128 }

// remember keeps a message for those who join, as far as there is room.
func (f *focus) remember(m said) {
	f.forgetOld()
	n := m.size()
	for len(f.history) > 0 && (len(f.history) == historyLen || f.historySize+n > historyBytes) {
		f.forgetFirst(1)
	}
	if f.s.remembered.Add(int64(n)) > historyAll {
		f.s.remembered.Add(-int64(n))
		return
	}
	f.history = append(f.history, m)
	f.historySize += n
}

// forgetOld drops what was said too long ago to be told to those who join.
func (f *focus) forgetOld() {
	least := f.s.cfg.Clock.Now().Add(-historyTime)
	n := 0
	for n < len(f.history) && f.history[n].at.Before(least) {
		n++
	}
	f.forgetFirst(n)
}

// forgetFirst drops the oldest n messages.
func (f *focus) forgetFirst(n int) {
	freed := 0
	for i := range f.history[:n] {
		freed += f.history[i].size()
	}
	f.historySize -= freed
	f.s.remembered.Add(-int64(freed))
	if f.history = slices.Delete(f.history, 0, n); len(f.history) == 0 {
		f.history = nil
	}
}

// recount tells what was said to somebody who has just joined.
func (f *focus) recount(x *seat) {
	f.forgetOld()
	for i := range f.history {
		if m := f.history[i]; m.by != x.person.user || x.page {
			f.deliver(x, &m, nil)
		}
	}
}
