package groupstate

import (
	"cmp"
	"math"
)

// Sweep removes what has expired at Now, for at most Max users (0: all), the
// longest overdue first. Result: SweepResult.
type Sweep struct {
	Now int64
	Max uint32
}

// SweepResult says how many users had something expired and whether more are due.
type SweepResult struct {
	Users int
	More  bool
}

func (*Sweep) number() uint16 { return numSweep }

func (x *Sweep) fields(c *codec) {
	c.i64("now", &x.Now)
	c.u32("max", &x.Max)
}

// NextExpiry is when the next thing expires, Unix milliseconds; ok is false when
// nothing ever does.
func (s *State) NextExpiry() (at int64, ok bool) {
	if len(s.due) == 0 {
		return 0, false
	}
	return s.due[0].due, true
}

func (x *Sweep) apply(t *turn) (any, error) {
	n := 0
	for len(t.due) > 0 && t.due[0].due <= x.Now {
		if x.Max > 0 && n >= int(x.Max) {
			return SweepResult{n, true}, nil
		}
		t.expire(t.due[0], x.Now)
		n++
	}
	return SweepResult{n, false}, nil
}

// expire removes what has expired of one user.
func (t *turn) expire(e *entry, now int64) {
	for _, b := range e.user.bindings {
		if b.Expires <= now {
			t.unbind(e, []Binding{b}, expiryReason(b), now)
		}
	}
	t.endSubscriptions(e, func(s *Subscription) bool { return s.Expires <= now }, RegistrationExpired)
	t.dropPublications(e, func(p *Publication) bool { return p.ExpireType == TimeBound && p.Expires <= now })
	t.dropConferences(e, true, func(c *Conference) bool { return c.Expires <= now })
	t.derive(e, now)
	t.reckon(e)
}

// reckon finds out again when the first thing of the user expires.
func (t *turn) reckon(e *entry) { t.due.set(e, e.user.nextExpiry()) }

// never is the time at which nothing expires.
const never = math.MaxInt64

func (u *User) nextExpiry() int64 {
	at := u.nextConferenceExpiry()
	for i := range u.bindings {
		at = min(at, u.bindings[i].Expires)
	}
	for _, s := range u.watching {
		at = min(at, s.Expires)
	}
	if u.presence != nil {
		for _, p := range u.presence.list {
			if p.ExpireType == TimeBound {
				at = min(at, p.Expires)
			}
		}
	}
	return at
}

// dueHeap has the users of whom something expires, the earliest in front; equal
// times by name, so that the order depends on the state alone.
type dueHeap []*entry

func byName(a, b *entry) int { return cmp.Compare(a.user.uri, b.user.uri) }

func (h dueHeap) less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].due, h[j].due), byName(h[i], h[j])) < 0
}

func (h dueHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}

// set gives e a new time; never takes it out.
func (h *dueHeap) set(e *entry, at int64) {
	if at == never {
		h.drop(e)
		return
	}
	if e.pos < 0 {
		e.pos = int32(len(*h))
		*h = append(*h, e)
	}
	e.due = at
	h.fix(int(e.pos))
}

func (h *dueHeap) drop(e *entry) {
	if e.pos < 0 {
		return
	}
	i, last := int(e.pos), len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	e.pos = -1
	if i < last {
		h.fix(i)
	}
}

func (h dueHeap) fix(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < len(h) && h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
