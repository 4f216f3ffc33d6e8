package siptrans

import "trivet/wire/sip"

// Notifications wait behind everything else while a connection cannot take all
// that is sent: they are kept as messages, and signed and serialised when what was
// sent before is in the kernel. Their own order stays.

// gulp is how many bytes of notifications go to the socket at once.
const gulp = 32 << 10

// headSize is what the headers of a notification are taken for, in bytes.
const headSize = 1 << 10

func patientKind(m *sip.Message) bool { return m.Method == "NOTIFY" || m.Method == "BENOTIFY" }

// postpone keeps m for later, unless too much waits. omu is held.
func (c *Conn) postpone(m *sip.Message) error {
	n := headSize + len(m.Body)
	if err := c.sock.over(n); err != nil {
		return err
	}
	c.later = append(c.later, m.Clone())
	c.sock.owe(n)
	return nil
}

// refill hands the next notifications to the socket. The socket calls it when it
// has written all it had; false: there are none, and it is idle from now on, or c
// has ended.
func (c *Conn) refill() bool {
	c.omu.Lock()
	if c.dead.Load() {
		c.later = nil
		c.omu.Unlock()
		c.sock.abandon()
		return false
	}
	if len(c.later) == 0 {
		idle := c.sock.rest()
		c.omu.Unlock()
		return !idle
	}
	for took := 0; len(c.later) > 0 && took < gulp; {
		m := c.later[0]
		c.later[0] = nil
		c.later = c.later[1:]
		took += headSize + len(m.Body)
		c.sock.owe(-headSize - len(m.Body))
		c.write(m)
	}
	if len(c.later) == 0 {
		c.later = nil
	}
	c.omu.Unlock()
	c.flush()
	return true
}
