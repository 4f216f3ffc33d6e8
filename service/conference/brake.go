package conference

import (
	"slices"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/wire/sip"
)

// Bounds of what one device may send. A message is under way until every device it
// went to has answered. Only a few of one device are; those behind them wait, and
// their answers with them. One is passed on whenever there is a place, and every
// holdFor whether there is or not. So a client is slowed down to what the others can
// take, and one that floods is refused.
const (
	window      = 20        // messages of one device under way
	windowBytes = 256 << 10 // and their bytes; one message is always allowed
	queueLen    = 200       // messages of one device that wait
	queueBytes  = 512 << 10
	holdFor     = 100 * time.Millisecond
	typingBurst = 20 // typing notices at once
	typingEvery = 100 * time.Millisecond
	maxWaiting  = 1000 // messages that a device may owe an answer to; it gets no more meanwhile
	maxMissed   = 3    // messages in a row that it may leave without an answer
)

// brake is what one device has sent. It is guarded by the lock of the focus.
type brake struct {
	messages, bytes int // under way
	queue           []*posted
	queued          int // bytes in queue
	timing, passing bool
	typing          time.Time // when the typing notices so far are paid for
}

// posted is a message of a device with its answer.
type posted struct {
	said
	id  string
	r   *sipmux.Request
	res *sip.Message
}

// open reports whether another message may be under way.
func (b *brake) open() bool { return b.messages == 0 || b.messages < window && b.bytes < windowBytes }

// post passes a message on, now or later, unless too many of the device wait.
func (f *focus) post(x *seat, p *posted) error {
	b := &x.brake
	if len(b.queue) >= queueLen || len(b.queue) > 0 && b.queued+len(p.body) > queueBytes {
		busy := fault.New(fault.Overload, "conference.take", "you write faster than the others can read; wait for the answer to a message before the next one")
		busy.RetryAfter = time.Second
		return busy
	}
	b.queue = append(b.queue, p)
	b.queued += len(p.body)
	f.release(x)
	f.urge(x)
	return nil
}

// release passes on what waits as far as there are places.
func (f *focus) release(x *seat) {
	b := &x.brake
	if b.passing {
		return
	}
	b.passing = true
	for len(b.queue) > 0 && b.open() {
		f.pass(x)
	}
	b.passing = false
}

// pass passes on the first message that waits, and answers it.
func (f *focus) pass(x *seat) {
	p := x.brake.first()
	f.later(func() { p.r.Tx.Respond(p.res) })
	f.spread(x, &p.said, p.id)
}

// first takes the first message that waits out of the queue.
func (b *brake) first() *posted {
	p := b.queue[0]
	b.queue = slices.Delete(b.queue, 0, 1)
	b.queued -= len(p.body)
	return p
}

// urge passes on a message every holdFor, as long as some wait.
func (f *focus) urge(x *seat) {
	b := &x.brake
	if b.timing || len(b.queue) == 0 {
		return
	}
	b.timing = true
	f.s.cfg.Clock.AfterFunc(holdFor, func() {
		f.do(func() {
			if b.timing = false; len(b.queue) > 0 {
				f.pass(x)
				f.urge(x)
			}
		})
	})
}

// settled empties the queue of a device that leaves: what was said before is passed
// on, unless the device is sent away.
func (f *focus) settled(x *seat, pass bool) {
	for b := &x.brake; len(b.queue) > 0; {
		if pass {
			f.pass(x)
			continue
		}
		p := b.first()
		f.later(func() { p.r.Tx.Respond(p.r.Reply(481, "")) })
	}
}

// types reports whether another typing notice of the device is passed on now.
func (b *brake) types(now time.Time) bool {
	if least := now.Add(-typingBurst * typingEvery); b.typing.Before(least) {
		b.typing = least
	}
	if !b.typing.Before(now) {
		return false
	}
	b.typing = b.typing.Add(typingEvery)
	return true
}

// flight is a message under way.
type flight struct {
	from *seat
	id   string
	left int // devices that have not answered
	size int
}

// landed notes that a device has answered, or never will. g is nil for a message that
// nobody waits for.
func (f *focus) landed(g *flight, to *seat, status int) {
	if g == nil {
		return
	}
	if status >= 300 {
		f.failed(g.from, to, g.id, status)
	}
	if g.left--; g.left > 0 {
		return
	}
	b := &g.from.brake
	b.messages--
	b.bytes -= g.size
	f.release(g.from)
}

// debt is what a device owes.
type debt struct {
	waiting int // messages without an answer
	missed  int // answers in a row that did not come in time
}

// note takes an outcome, and reports whether the device has left message after
// message without an answer.
func (d *debt) note(status int) bool {
	d.waiting--
	if d.missed++; status != 408 {
		d.missed = 0
	}
	return d.missed >= maxMissed
}
