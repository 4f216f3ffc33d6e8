package siptrans

import (
	"errors"

	"trivet/fault"
	"trivet/wire/sip"
)

// Send writes m to c without a transaction (ACK of a 2xx, BENOTIFY, a response
// of somebody else's transaction).
func (l *Layer) Send(c *Conn, m *sip.Message) error {
	_, err := c.send(nil, m)
	return err
}

// SendIn is Send with the output held back by b.
func (l *Layer) SendIn(b *Batch, c *Conn, m *sip.Message) error {
	_, err := c.send(b, m)
	return err
}

// send signs and writes m. For UDP it returns the bytes, for retransmission.
func (c *Conn) send(b *Batch, m *sip.Message) (sent []byte, err error) {
	if c.udp != nil {
		return c.sendDatagram(m)
	}
	c.count(m)
	c.omu.Lock()
	if c.dead.Load() {
		c.omu.Unlock()
		return nil, errGone
	}
	if c.sock.behind.Load() && patientKind(m) {
		err := c.postpone(m)
		c.omu.Unlock()
		if err != nil {
			c.writeFailed(err)
			return nil, errGone
		}
		return nil, nil
	}
	c.write(m)
	c.settle(b)
	return nil, nil
}

// write signs m and adds it to the output. omu is held.
func (c *Conn) write(m *sip.Message) {
	if c.signer != nil {
		c.signer.Sign(m)
	}
	p := c.output()
	if c.ws {
		*p = appendFrame(*p, m)
	} else {
		*p = m.Append(*p)
	}
}

func (c *Conn) count(m *sip.Message) {
	if m.IsRequest() {
		c.layer.methodOut(m.Method)
	} else {
		c.layer.stats.replyOut[class(m.Status)].Add(1)
	}
}

// output is where the next message is serialised. omu is held.
func (c *Conn) output() *[]byte {
	if c.pending == nil {
		c.pending = borrowOutput()
	}
	return c.pending
}

// settle has what was added to the output written, now or with the batch. It
// unlocks omu.
func (c *Conn) settle(b *Batch) {
	full := len(*c.pending) > keepBuffer
	if !full && (c.held || c.writing) {
		c.omu.Unlock()
		return
	}
	if !full && b.hold(c) {
		c.held = true
		c.omu.Unlock()
		return
	}
	c.omu.Unlock()
	c.flush()
}

// resend writes bytes that were sent before, or a keep-alive.
func (c *Conn) resend(b *Batch, raw []byte) {
	if c.udp != nil {
		c.udp.write(raw, c.remote)
		return
	}
	c.omu.Lock()
	if c.dead.Load() {
		c.omu.Unlock()
		return
	}
	p := c.output()
	if c.ws {
		*p = appendFrameHead(*p, wsText, len(raw))
	}
	*p = append(*p, raw...)
	c.settle(b)
}

// flush writes the output unless another goroutine is at it, which then takes
// this too.
func (c *Conn) flush() {
	c.omu.Lock()
	c.held = false
	if c.writing {
		c.omu.Unlock()
		return
	}
	c.writing = true
	for c.pending != nil && !c.dead.Load() {
		p := c.pending
		c.pending = nil
		c.omu.Unlock()
		err := c.emit(*p)
		returnOutput(p)
		if err != nil {
			c.writeFailed(err)
		}
		c.omu.Lock()
	}
	c.writing = false
	c.omu.Unlock()
}

func (c *Conn) emit(b []byte) (err error) {
	if c.tls != nil {
		_, err = c.tls.Write(b)
	} else {
		_, err = c.sock.Write(b)
	}
	return err
}

func (c *Conn) writeFailed(err error) {
	switch {
	case errors.Is(err, errQueue):
		c.closeSlow(queueFull)
	case errors.Is(err, errCrowd):
		c.closeSlow(crowdedOut)
	default:
		c.Close("writing failed: " + err.Error())
	}
}

// sendDatagram writes m to the UDP peer.
func (c *Conn) sendDatagram(m *sip.Message) ([]byte, error) {
	raw, err := c.pack(m)
	if err != nil {
		return nil, err
	}
	return raw, c.udp.write(raw, c.remote)
}

// pack counts, signs and serialises m as one datagram.
func (c *Conn) pack(m *sip.Message) ([]byte, error) {
	c.count(m)
	c.omu.Lock()
	if c.signer != nil {
		c.signer.Sign(m)
	}
	c.omu.Unlock()
	raw := m.Append(make([]byte, 0, 1500))
	if len(raw) > maxDatagram {
		return nil, fault.New(fault.Limit, "siptrans.Send", "the message does not fit a datagram; the client should use TCP or TLS")
	}
	return raw, nil
}
