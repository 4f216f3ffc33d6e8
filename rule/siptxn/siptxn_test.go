package siptxn

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// step is one line of a course: at an instant an input, what is asked for, the state after it.
type step struct {
	at    time.Duration
	in    Input
	do    Do
	state string
}

const ms = time.Millisecond

func TestCourses(t *testing.T) {
	timers := Standard()
	for _, c := range []struct {
		name     string
		role     Role
		reliable bool
		steps    []step
	}{
		{"client, answered", Client, true, []step{
			{1, Begin, Send, "trying"}, {2, Response1, Up, "proceeding"}, {3, Response2, Up | Done, "terminated"}, {4, Response2, 0, "terminated"}}},
		{"client, unreliable, timers E and K", Client, false, []step{
			{0, Begin, Send, "trying"}, {500 * ms, Tick, Send, "trying"}, {600 * ms, Tick, 0, "trying"}, {1500 * ms, Tick, Send, "trying"},
			{1600 * ms, Response1, Up, "proceeding"}, {3500 * ms, Tick, Send, "proceeding"}, {7500 * ms, Tick, Send, "proceeding"},
			{8000 * ms, Response3, Up, "completed"}, {8001 * ms, Response3, 0, "completed"}, {13000 * ms, Tick, Done, "terminated"}}},
		{"client, timer F", Client, true, []step{{1, Begin, Send, "trying"}, {1 + 32000*ms, Tick, TimedOut | Done, "terminated"}}},
		{"client, broken", Client, true, []step{{1, Begin, Send, "trying"}, {2, Broken, Failed | Done, "terminated"}}},
		{"invite client, two 2xx", ClientInvite, true, []step{
			{1, Begin, Send, "calling"}, {2, Response1, Up, "proceeding"}, {3, Response2, Up, "accepted"}, {4, Response2, Up, "accepted"},
			{5, Response3, 0, "accepted"}, {3 + 32000*ms, Tick, Done, "terminated"}}},
		{"invite client, refused, timer D", ClientInvite, false, []step{
			{0, Begin, Send, "calling"}, {500 * ms, Tick, Send, "calling"}, {600 * ms, Response3, SendAck | Up, "completed"},
			{700 * ms, Response3, SendAck, "completed"}, {32600 * ms, Tick, Done, "terminated"}}},
		{"invite client, refused over TCP", ClientInvite, true, []step{{1, Begin, Send, "calling"}, {2, Response3, SendAck | Up | Done, "terminated"}}},
		{"invite client, timer B", ClientInvite, true, []step{{1, Begin, Send, "calling"}, {1 + 32000*ms, Tick, TimedOut | Done, "terminated"}}},
		{"invite client, cancelled early", ClientInvite, true, []step{
			{1, Begin, Send, "calling"}, {2, Cancel, 0, "calling"}, {3, Response1, Up | SendCancel, "cancelling"},
			{4, Cancel, 0, "cancelling"}, {5, Response3, SendAck | Up | Done, "terminated"}}},
		{"invite client, cancelled, silent", ClientInvite, true, []step{
			{1, Begin, Send, "calling"}, {2, Response1, Up, "proceeding"}, {3, Cancel, SendCancel, "cancelling"},
			{3 + 32000*ms, Tick, TimedOut | Done, "terminated"}}},
		{"invite client, CANCEL meets 2xx", ClientInvite, true, []step{
			{1, Begin, Send, "calling"}, {2, Response1, Up, "proceeding"}, {3, Cancel, SendCancel, "cancelling"}, {4, Response2, Up, "accepted"}}},
		{"invite client, timer C", ClientInvite, true, []step{
			{1, Begin, Send, "calling"}, {2, Response1, Up, "proceeding"}, {100000 * ms, Response1, Up, "proceeding"},
			{200001 * ms, Tick, 0, "proceeding"}, {300000 * ms, Tick, SendCancel, "cancelling"}}},
		{"server over TCP", Server, true, []step{{1, Begin, Up, "trying"}, {2, Response1, Send, "proceeding"}, {3, Response2, Send | Done, "terminated"}}},
		{"server over UDP, timer J", Server, false, []step{
			{1, Begin, Up, "trying"}, {2, Again, 0, "trying"}, {3, Response1, Send, "proceeding"}, {4, Again, Send, "proceeding"},
			{5, Response3, Send, "completed"}, {6, Again, Send, "completed"}, {5 + 32000*ms, Tick, Done, "terminated"}}},
		{"invite server, refused, timers G, H, I", ServerInvite, false, []step{
			{0, Begin, Up, "proceeding"}, {200 * ms, Tick, SendTrying, "proceeding"}, {300 * ms, Again, Send, "proceeding"},
			{1000 * ms, Response3, Send, "completed"}, {1500 * ms, Tick, Send, "completed"}, {2500 * ms, Tick, Send, "completed"},
			{2600 * ms, Ack, 0, "confirmed"}, {2700 * ms, Ack, 0, "confirmed"}, {7600 * ms, Tick, Done, "terminated"}}},
		{"invite server, never acknowledged", ServerInvite, true, []step{
			{1, Begin, Up, "proceeding"}, {2, Response3, Send, "completed"}, {2 + 32000*ms, Tick, TimedOut | Done, "terminated"}}},
		{"invite server, accepted", ServerInvite, true, []step{
			{1, Begin, Up, "proceeding"}, {2, Response1, Send, "proceeding"}, {3, Response2, Send, "accepted"}, {4, Again, 0, "accepted"},
			{5, Response2, Send, "accepted"}, {6, Ack, Up, "accepted"}, {3 + 32000*ms, Tick, Done, "terminated"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(c.role, c.reliable)
			for i, s := range c.steps {
				if do := m.Step(&timers, s.at, s.in); do != s.do || m.State() != s.state {
					t.Fatalf("step %d at %v, input %d: asks %b and is %s, want %b and %s", i, s.at, s.in, do, m.State(), s.do, s.state)
				}
			}
		})
	}
}

// TestEveryCourseEnds steps machines at random: one that is given its Ticks never
// asks for anything after its end, and ends by itself once it was answered.
func TestEveryCourseEnds(t *testing.T) {
	timers := Standard()
	rapid.Check(t, func(t *rapid.T) {
		m := New(Role(rapid.IntRange(0, 3).Draw(t, "role")), rapid.Bool().Draw(t, "reliable"))
		now := time.Duration(1)
		m.Step(&timers, now, Begin)
		for _, in := range rapid.SliceOfN(rapid.IntRange(int(Again), int(Cancel)), 0, 20).Draw(t, "inputs") {
			now += time.Duration(rapid.IntRange(1, 3000).Draw(t, "wait")) * ms
			over := m.Over()
			if do := m.Step(&timers, now, Input(in)); over && do != 0 {
				t.Fatalf("an ended machine asks for %b", do)
			}
		}
		if m.State() == "trying" || m.State() == "proceeding" {
			now += ms
			m.Step(&timers, now, Response3)
		}
		for n := 0; m.Wake() != 0; n++ {
			if n > 400 {
				t.Fatalf("state %s wakes for ever", m.State())
			}
			now = max(now, m.Wake())
			m.Step(&timers, now, Tick)
		}
		if !m.Over() {
			t.Fatalf("state %s has no end", m.State())
		}
	})
}

func BenchmarkNonInvite(b *testing.B) {
	timers := Standard()
	for b.Loop() {
		m := New(Client, true)
		m.Step(&timers, 1, Begin)
		m.Step(&timers, 2, Response2)
	}
}
