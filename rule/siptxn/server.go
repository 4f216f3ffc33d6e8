package siptxn

import "time"

// serverInvite is RFC 3261 figure 7 with RFC 6026 8.5.
func (m *Machine) serverInvite(t *Timers, now time.Duration, in Input) Do {
	switch m.state {
	case start:
		if in != Begin {
			return 0
		}
		m.state = proceeding
		m.end = now + t.Trying
		return Up
	case proceeding:
		return m.inviteProceeding(t, now, in)
	case accepted:
		switch in {
		case Ack: // of a client that uses the INVITE's own branch, or none, for the ACK of a 2xx
			return Up
		case Response2: // the user repeats 2xx itself, and a proxy passes further ones
			return Send
		case Tick: // timer L
			return m.finish(0)
		case Broken:
			return m.finish(Failed)
		}
	case completed:
		return m.inviteCompleted(t, now, in)
	case confirmed:
		if in == Tick { // timer I
			return m.finish(0)
		}
	}
	return 0
}

func (m *Machine) inviteProceeding(t *Timers, now time.Duration, in Input) Do {
	switch in {
	case Again:
		if m.answered {
			return Send
		}
	case Tick:
		if m.answered {
			return 0
		}
		m.answered, m.end = true, 0
		return SendTrying
	case Response1:
		m.answered, m.end = true, 0
		return Send
	case Response2:
		m.answered = true
		return m.linger(accepted, now, 64*t.T1, Send) // timer L
	case Response3:
		m.answered = true
		m.linger(completed, now, 64*t.T1, 0) // timer H
		m.repeat(now, t.T1)                  // timer G
		return Send
	case Broken:
		return m.finish(Failed)
	}
	return 0
}

func (m *Machine) inviteCompleted(t *Timers, now time.Duration, in Input) Do {
	switch in {
	case Again:
		return Send
	case Ack:
		return m.linger(confirmed, now, m.unlessReliable(t.T4), 0)
	case Tick:
		if now >= m.end {
			return m.finish(TimedOut)
		}
		if m.resend == 0 || now < m.resend {
			return 0
		}
		m.repeat(now, min(2*m.interval, t.T2))
		return Send
	case Broken:
		return m.finish(Failed)
	}
	return 0
}

// server is RFC 3261 figure 8.
func (m *Machine) server(t *Timers, now time.Duration, in Input) Do {
	switch m.state {
	case start:
		if in != Begin {
			return 0
		}
		m.state = trying
		return Up
	case trying, proceeding:
		switch in {
		case Again:
			if m.answered {
				return Send
			}
		case Response1:
			m.state, m.answered = proceeding, true
			return Send
		case Response2, Response3:
			m.answered = true
			return m.linger(completed, now, m.unlessReliable(64*t.T1), Send) // timer J
		case Broken:
			return m.finish(Failed)
		}
	case completed:
		switch in {
		case Again:
			return Send
		case Tick, Broken:
			return m.finish(0)
		}
	}
	return 0
}
