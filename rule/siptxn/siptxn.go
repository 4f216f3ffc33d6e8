// Package siptxn is the four transaction machines of RFC 3261 17.1 and 17.2 with
// the Accepted state of RFC 6026. A machine is a small value without pointers: it
// is stepped with an instant and an input and answers with what is to be done.
// Nothing here reads a clock, sends, allocates or locks; a machine belongs to
// whoever steps it, and two goroutines may not step one at the same time.
package siptxn

import "time"

// Role says which of the four machines a Machine is.
type Role uint8

// The four machines.
const (
	ClientInvite Role = iota // RFC 3261 17.1.1
	Client                   // RFC 3261 17.1.2
	ServerInvite             // RFC 3261 17.2.1
	Server                   // RFC 3261 17.2.2
)

// Timers are the settings of RFC 3261 table 4. The zero value is not usable; see Standard.
type Timers struct {
	T1, T2, T4 time.Duration
	D          time.Duration // wait in Completed of an INVITE client on unreliable transports, at least 32 s
	B          time.Duration // an INVITE client without any response gives up after B, 64*T1
	C          time.Duration // an INVITE client whose last provisional response is older than C is cancelled, more than 3 min
	F          time.Duration // every other client without a final response gives up after F, 64*T1
	Trying     time.Duration // an INVITE server without a response after this sends 100 by itself, 200 ms
}

// Standard are the values of the RFC.
func Standard() Timers { return From(500 * time.Millisecond) }

// From derives all timers from T1 in the proportions of the RFC.
func From(t1 time.Duration) Timers {
	return Timers{T1: t1, T2: 8 * t1, T4: 10 * t1, D: 64 * t1, B: 64 * t1, C: 400 * t1, F: 64 * t1, Trying: t1 * 2 / 5}
}

// Input is what happens to a transaction.
type Input uint8

// The inputs.
const (
	Begin     Input = iota // the transaction is made: by the user (client) or by the first request (server)
	Again                  // server: the request came once more
	Ack                    // INVITE server: an ACK that matches
	Response1              // a 1xx: received (client) or given by the user (server)
	Response2              // a 2xx
	Response3              // a final response from 300 on
	Tick                   // Wake was reached
	Cancel                 // INVITE client: the user wants no answer any more (RFC 3261 9.1)
	Broken                 // the transport failed or the connection is gone
)

// ResponseInput is the Input of a status code.
func ResponseInput(status int) Input {
	switch {
	case status < 200:
		return Response1
	case status < 300:
		return Response2
	}
	return Response3
}

// Do is a set of things to be done, in the order of the constants.
type Do uint16

// What a step can ask for.
const (
	Send       Do = 1 << iota // client: send the request; server: send the response just given, or the last one again
	SendAck                   // INVITE client: acknowledge the final response (RFC 3261 17.1.1.3)
	SendCancel                // INVITE client: send a CANCEL in a transaction of its own
	SendTrying                // INVITE server: send 100 Trying
	Up                        // hand the message to the transaction user
	TimedOut                  // tell the user: no answer (client) or no ACK (server)
	Failed                    // tell the user: the transport failed
	Done                      // the transaction has ended; forget it after the rest
)

// Has reports whether d contains x.
func (d Do) Has(x Do) bool { return d&x != 0 }

type state uint8

const (
	start state = iota
	calling
	trying
	proceeding
	cancelling
	completed
	confirmed
	accepted
	terminated
)

var stateNames = [...]string{"start", "calling", "trying", "proceeding", "cancelling", "completed", "confirmed", "accepted", "terminated"}

// Machine is one transaction. Make it with New and give it Begin first. Instants
// are durations since any fixed point, the same one for all steps.
type Machine struct {
	role     Role
	state    state
	reliable bool
	answered bool          // server: a response has been given
	cancel   bool          // INVITE client: to be cancelled as soon as that is allowed
	interval time.Duration // present retransmission interval, timers A, E and G
	resend   time.Duration // when to retransmit, 0 never
	end      time.Duration // when to give up or to end, 0 never
}

// New makes a machine; reliable says that the transport itself repeats lost data.
func New(role Role, reliable bool) Machine { return Machine{role: role, reliable: reliable} }

// State names the state as the RFC does, in lower case.
func (m *Machine) State() string { return stateNames[m.state] }

// Over reports whether the transaction has ended.
func (m *Machine) Over() bool { return m.state == terminated }

// Answered reports whether a final response has been seen or given.
func (m *Machine) Answered() bool { return m.state >= completed }

// Wake is the instant at which the machine wants a Tick, 0 if it needs none.
func (m *Machine) Wake() time.Duration {
	if m.resend != 0 && (m.end == 0 || m.resend < m.end) {
		return m.resend
	}
	return m.end
}

// Step gives the machine an input at the instant now.
func (m *Machine) Step(t *Timers, now time.Duration, in Input) Do {
	if m.state == terminated {
		return 0
	}
	switch m.role {
	case ClientInvite:
		return m.clientInvite(t, now, in)
	case Client:
		return m.client(t, now, in)
	case ServerInvite:
		return m.serverInvite(t, now, in)
	}
	return m.server(t, now, in)
}

// finish ends the transaction.
func (m *Machine) finish(d Do) Do {
	m.state, m.resend, m.end = terminated, 0, 0
	return d | Done
}

// linger enters s for d; with d = 0 the transaction ends at once.
func (m *Machine) linger(s state, now, d time.Duration, do Do) Do {
	if d <= 0 {
		return m.finish(do)
	}
	m.state, m.resend, m.end = s, 0, now+d
	return do
}

// unlessReliable is d on unreliable transports: the form of timers D, I, J, K.
func (m *Machine) unlessReliable(d time.Duration) time.Duration {
	if m.reliable {
		return 0
	}
	return d
}

// repeat arms the retransmission timer on unreliable transports.
func (m *Machine) repeat(now, interval time.Duration) {
	if !m.reliable {
		m.interval, m.resend = interval, now+interval
	}
}
