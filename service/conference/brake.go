package conference

import (
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/siptrans"
	"trivet/wire/sip"
)

// Bounds of what one device may send. A message is under way until every device it
// went to has answered. As long as few are, nothing is braked; beyond it a message
// is passed on and its answer waits, for a place or for holdFor; whoever does not
// wait for that answer is refused. So a client that sends one message after the other
// is slowed down to what the others can take, and one that floods gets nowhere.
const (
	window      = 20        // messages of one device under way
	windowBytes = 256 << 10 // and their bytes; one message is always allowed
	holdFor     = 100 * time.Millisecond
	typingBurst = 20 // typing notices at once
	typingEvery = 100 * time.Millisecond
	maxWaiting  = 1000 // messages that a device may owe an answer to; it gets no more meanwhile
	maxMissed   = 3    // messages in a row that it may leave without an answer
)

// brake is what one device has under way. It is guarded by the lock of the focus.
type brake struct {
	messages, bytes int
	held            *heldAnswer
	typing          time.Time // when the typing notices so far are paid for
}

// heldAnswer is the answer to a message that waits.
type heldAnswer struct {
	tx    *siptrans.ServerTx
	res   *sip.Message
	timer clock.Timer
}

// open reports whether another message may be under way.
func (b *brake) open() bool { return b.messages == 0 || b.messages < window && b.bytes < windowBytes }

// brakes refuses a message of a device that has too many under way and does not wait.
func (x *seat) brakes() error {
	if x.brake.held == nil {
		return nil
	}
	busy := fault.New(fault.Overload, "conference.take", "you write faster than the others can read; wait for the answer to a message before the next one")
	busy.RetryAfter = time.Second
	return busy
}

// hold keeps the answer to a message until there is a place, or for holdFor.
func (f *focus) hold(x *seat, tx *siptrans.ServerTx, res *sip.Message) {
	h := &heldAnswer{tx: tx, res: res}
	x.brake.held = h
	h.timer = f.s.cfg.Clock.AfterFunc(holdFor, func() {
		f.do(func() {
			if x.brake.held == h {
				f.release(x)
			}
		})
	})
}

// release sends the answer that waits, if there is one.
func (f *focus) release(x *seat) {
	h := x.brake.held
	if h == nil {
		return
	}
	x.brake.held = nil
	h.timer.Stop()
	f.later(func() { h.tx.Respond(h.res) })
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
	if b.open() {
		f.release(g.from)
	}
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
