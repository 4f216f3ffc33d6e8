package siptrans

import (
	"sync"
	"time"
)

// One goroutine turns the wheels. A wheel has its own lock and serves the
// connections whose id falls into its shard.
const (
	wheelShards = 16
	wheelSlots  = 1024
)

// alarm is a call to come, part of the thing it wakes. Its fields belong to the wheel.
type alarm struct {
	next, prev *alarm
	at         time.Duration // 0: not set
	ring       func(now time.Duration)
}

// wheel is a hashed timing wheel: an alarm hangs in the slot of its tick modulo
// the number of slots and is looked at once per turn.
type wheel struct {
	mu    sync.Mutex // guards the fields below and the alarms hanging here
	tick  time.Duration
	done  int64 // ticks already rung
	slots [wheelSlots]*alarm
}

// set hangs a, or moves it, to ring at the instant at or up to a tick later; 0 takes it off.
func (w *wheel) set(a *alarm, at time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.at != 0 {
		w.unlink(a)
	}
	a.at = at
	if at != 0 {
		w.link(a)
	}
}

func (w *wheel) slot(at time.Duration) **alarm { return &w.slots[int64(at/w.tick)%wheelSlots] }

func (w *wheel) link(a *alarm) {
	a.at = max(a.at, time.Duration(w.done)*w.tick) // a past instant rings at the next tick
	head := w.slot(a.at)
	a.next, a.prev = *head, nil
	if a.next != nil {
		a.next.prev = a
	}
	*head = a
}

func (w *wheel) unlink(a *alarm) {
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		*w.slot(a.at) = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	}
	a.next, a.prev, a.at = nil, nil, 0
}

// turn takes off the alarms due at now and adds them to due.
func (w *wheel) turn(now time.Duration, due []*alarm) []*alarm {
	w.mu.Lock()
	defer w.mu.Unlock()
	target := int64(now / w.tick)
	if target-w.done > wheelSlots { // after a long pause every slot is visited once
		w.done = target - wheelSlots
	}
	for ; w.done < target; w.done++ {
		for a := w.slots[w.done%wheelSlots]; a != nil; {
			next := a.next
			if int64(a.at/w.tick) <= w.done {
				w.unlink(a)
				due = append(due, a)
			}
			a = next
		}
	}
	return due
}

func (l *Layer) wheel(id uint64) *wheel { return &l.wheels[id%wheelShards] }

func (l *Layer) startWheels() {
	tick := max(l.timers.T1/10, time.Millisecond)
	for i := range l.wheels {
		l.wheels[i].tick = tick
	}
	l.task(func() { l.turnWheels(tick) })
}

// turnWheels also has the gate look how busy the processors are.
func (l *Layer) turnWheels(tick time.Duration) {
	t := time.NewTicker(tick)
	defer t.Stop()
	var due []*alarm
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-t.C:
		}
		now := l.now()
		l.gate.tick()
		for i := range l.wheels {
			due = l.wheels[i].turn(now, due[:0])
			for _, a := range due {
				l.ring(a, now)
			}
		}
		clear(due)
	}
}

func (l *Layer) ring(a *alarm, now time.Duration) {
	defer l.recovered(func() {})
	a.ring(now)
}
