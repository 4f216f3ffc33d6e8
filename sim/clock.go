package sim

import (
	"time"

	"trivet/kit/clock"
)

// watch is a server's clock: it may go wrong, and be set.
type watch struct {
	w      *world
	rate   float64       // seconds of the watch in a second
	offset time.Duration // by which it was set
	read   time.Duration // by the watch, when the rate was changed last
	since  time.Duration // when that was
}

var _ clock.Clock = (*watch)(nil)

var begin = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// Now implements clock.Clock.
func (c *watch) Now() time.Time {
	return begin.Add(c.offset + c.read + time.Duration(float64(c.w.now-c.since)*c.rate))
}

// drift makes it fast or slow from now on.
func (c *watch) drift(rate float64) {
	c.read += time.Duration(float64(c.w.now-c.since) * c.rate)
	c.since, c.rate = c.w.now, rate
}

// tick is how long d of the watch takes.
func (c *watch) tick(d time.Duration) time.Duration { return time.Duration(float64(d) / c.rate) }

// AfterFunc implements clock.Clock; nothing of a stepped host needs it.
func (c *watch) AfterFunc(time.Duration, func()) clock.Timer { return idle{} }

// NewTicker implements clock.Clock, likewise.
func (c *watch) NewTicker(time.Duration) clock.Ticker { return still{} }

// idle is a timer that never comes.
type idle struct{}

func (idle) Stop() bool               { return true }
func (idle) Reset(time.Duration) bool { return true }

// still is a ticker that never ticks.
type still struct{}

func (still) C() <-chan time.Time { return nil }
func (still) Stop()               {}
