// Package clock is time as a value: whatever waits takes a Clock, so that a
// simulation can own the time of everything in it.
package clock

import "time"

// Clock tells the time and calls back later.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own (or of the simulation) after d.
	AfterFunc(d time.Duration, f func()) Timer
	// NewTicker sends the time on its channel every d.
	NewTicker(d time.Duration) Ticker
}

// Timer is a call to come.
type Timer interface {
	// Stop prevents the call and reports whether it did.
	Stop() bool
	Reset(d time.Duration) bool
}

// Ticker is a periodic wake-up.
type Ticker interface {
	C() <-chan time.Time
	Stop()
}

// Real is the machine's clock.
type Real struct{}

// Now returns time.Now.
func (Real) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// NewTicker is time.NewTicker.
func (Real) NewTicker(d time.Duration) Ticker { return ticker{time.NewTicker(d)} }

type ticker struct{ t *time.Ticker }

func (t ticker) C() <-chan time.Time { return t.t.C }
func (t ticker) Stop()               { t.t.Stop() }
