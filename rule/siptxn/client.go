package siptxn

import "time"

// clientInvite is RFC 3261 figure 5 with RFC 6026 8.4.
func (m *Machine) clientInvite(t *Timers, now time.Duration, in Input) Do {
	switch m.state {
	case start:
		if in != Begin {
			return 0
		}
		m.state, m.end = calling, now+t.B
		m.repeat(now, t.T1)
		return Send
	case calling:
		return m.inviteCalling(t, now, in)
	case proceeding, cancelling:
		return m.inviteProceedingClient(t, now, in)
	case accepted:
		switch in {
		case Response2: // every 2xx goes up; forked requests bring several
			return Up
		case Tick: // timer M
			return m.finish(0)
		}
	case completed:
		switch in {
		case Response3:
			return SendAck
		case Tick: // timer D
			return m.finish(0)
		case Broken:
			return m.finish(Failed)
		}
	}
	return 0
}

// inviteCalling waits for the first response: timers A and B. A CANCEL may not
// be sent before that.
func (m *Machine) inviteCalling(t *Timers, now time.Duration, in Input) Do {
	switch in {
	case Cancel:
		m.cancel = true
		return 0
	case Response1:
		m.state, m.resend = proceeding, 0
		if m.cancel {
			return Up | m.beginCancel(t, now)
		}
		m.end = now + t.C
		return Up
	case Tick:
		if now >= m.end {
			return m.finish(TimedOut)
		}
		if m.resend == 0 || now < m.resend {
			return 0
		}
		m.repeat(now, 2*m.interval)
		return Send
	}
	return m.inviteFinal(t, now, in)
}

// beginCancel gives the other side 64*T1 for its 487 (RFC 3261 9.1).
func (m *Machine) beginCancel(t *Timers, now time.Duration) Do {
	m.state, m.end = cancelling, now+64*t.T1
	return SendCancel
}

// inviteProceedingClient waits for the final response: timer C of RFC 3261 16.6,
// which each provisional response starts anew.
func (m *Machine) inviteProceedingClient(t *Timers, now time.Duration, in Input) Do {
	switch in {
	case Response1:
		if m.state == proceeding {
			m.end = now + t.C
		}
		return Up
	case Cancel:
		if m.state == proceeding {
			return m.beginCancel(t, now)
		}
		return 0
	case Tick:
		if now < m.end {
			return 0
		}
		if m.state == proceeding {
			return m.beginCancel(t, now)
		}
		return m.finish(TimedOut)
	}
	return m.inviteFinal(t, now, in)
}

// inviteFinal is what final responses do before there was one.
func (m *Machine) inviteFinal(t *Timers, now time.Duration, in Input) Do {
	switch in {
	case Response2:
		return m.linger(accepted, now, 64*t.T1, Up) // timer M
	case Response3:
		return m.linger(completed, now, m.unlessReliable(t.D), SendAck|Up)
	case Broken:
		return m.finish(Failed)
	}
	return 0
}

// client is RFC 3261 figure 6.
func (m *Machine) client(t *Timers, now time.Duration, in Input) Do {
	switch m.state {
	case start:
		if in != Begin {
			return 0
		}
		m.state, m.end = trying, now+t.F
		m.repeat(now, t.T1)
		return Send
	case trying, proceeding:
		switch in {
		case Response1:
			m.state = proceeding
			return Up
		case Response2, Response3:
			return m.linger(completed, now, m.unlessReliable(t.T4), Up) // timer K
		case Tick:
			return m.clientTick(t, now)
		case Broken:
			return m.finish(Failed)
		}
	case completed:
		if in == Tick {
			return m.finish(0)
		}
	}
	return 0
}

// clientTick is timers E and F.
func (m *Machine) clientTick(t *Timers, now time.Duration) Do {
	if now >= m.end {
		return m.finish(TimedOut)
	}
	if m.resend == 0 || now < m.resend {
		return 0
	}
	next := min(2*m.interval, t.T2)
	if m.state == proceeding {
		next = t.T2
	}
	m.repeat(now, next)
	return Send
}
