package peer

import (
	"context"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// noPatience is how long a call of a caller that names no end may be served.
const noPatience = time.Hour

// Call asks a server and waits for its answer. A call to this server itself is
// served here. Failures of the other side come as they were made there
// (fault.Error with kind, text, diagnostics, server and time to retry); others
// are fault.Unavailable when the server is not connected or is lost meanwhile,
// fault.Timeout when ctx ends first, fault.Overload and fault.Limit when there is
// no room or the argument is too large.
func (n *Net) Call(ctx context.Context, to uc.ServerFQDN, name string, in []byte) ([]byte, error) {
	const op = "peer.Call"
	if to == n.cfg.Self {
		return n.answer(ctx, n.cfg.Self, name, in)
	}
	if len(name) == 0 || len(name) > maxName || 1+callHead+len(name)+len(in) > n.cfg.MaxFrame {
		return nil, fault.Newf(fault.Limit, op, "a call to a server has at most %d bytes and a name of 1 to %d", n.cfg.MaxFrame, maxName).About(name)
	}
	l := n.link(to)
	if l == nil {
		return nil, fault.New(fault.Unavailable, op, "the server is not one of the pool's that this server knows").About(string(to))
	}
	c := call{name: name, in: in}
	if end, ok := ctx.Deadline(); ok {
		c.patience = uint32(min(max(end.Sub(n.cfg.Clock.Now()).Milliseconds(), 1), 1<<31))
	}
	via, ch, err := l.submit(&c)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-ch:
		return r.out, r.err
	case <-ctx.Done():
		l.abandon(c.id)
		via.queue(0, false, func(b []byte) []byte { return appendStamp(b, frameCancel, c.id) })
		return nil, fault.New(fault.Timeout, op, "the server did not answer in time").About(string(to)).Because(ctx.Err())
	}
}

// submit gives the call its number and queues it.
func (l *link) submit(c *call) (*conn, chan reply, error) {
	const op = "peer.Call"
	l.mu.Lock()
	defer l.mu.Unlock()
	via := l.conn.Load()
	if via == nil {
		return nil, nil, fault.New(fault.Unavailable, op, "the server is not connected").About(string(l.to))
	}
	if len(l.waiting) >= l.n.cfg.MaxCalls {
		return nil, nil, fault.Newf(fault.Overload, op, "%d calls wait for the server's answer already", l.n.cfg.MaxCalls).About(string(l.to))
	}
	l.nextID++
	c.id = l.nextID
	ch := make(chan reply, 1)
	l.waiting[c.id] = ch // fall fails it, should the link have ended just now
	if !via.queue(frameHead+callHead+len(c.name)+len(c.in), true, func(b []byte) []byte { return appendCall(b, *c) }) && via.reason() == nil {
		delete(l.waiting, c.id)
		return nil, nil, fault.New(fault.Overload, op, "the link to the server is full").About(string(l.to))
	}
	return via, ch, nil
}

func (l *link) abandon(id uint64) {
	l.mu.Lock()
	delete(l.waiting, id)
	l.mu.Unlock()
}

// begin serves a call on a goroutine of its own, if there is room for it.
func (in *inbound) begin(c call) {
	patience := time.Duration(c.patience) * time.Millisecond
	if patience == 0 {
		patience = noPatience
	}
	ctx, cancel := context.WithTimeout(in.n.ctx, patience)
	in.mu.Lock()
	full := len(in.serving) >= in.n.cfg.MaxServing
	if !full {
		in.serving[c.id] = cancel
	}
	in.mu.Unlock()
	if full {
		cancel()
		in.reply(c.id, nil, fault.Newf(fault.Overload, "peer.serve", "%d calls of this server are being served already", in.n.cfg.MaxServing))
		return
	}
	if !in.n.begin(func() {
		out, err := in.n.answer(ctx, in.from, c.name, c.in)
		in.mu.Lock()
		delete(in.serving, c.id)
		in.mu.Unlock()
		cancel()
		in.reply(c.id, out, err)
	}) {
		cancel()
	}
}

// answer runs the handler of a call.
func (n *Net) answer(ctx context.Context, from uc.ServerFQDN, name string, in []byte) (out []byte, err error) {
	h, ok := n.calls.Load(name)
	if !ok {
		return nil, fault.New(fault.Unsupported, "peer.serve", "the server does not know this call; it may run an older release").About(name)
	}
	defer n.rescue(name, &err)
	return h.(CallHandler)(ctx, from, in)
}

// reply sends an answer, or that there is no room for it.
func (in *inbound) reply(id uint64, out []byte, err error) {
	if err == nil {
		if 1+idHead+len(out) > in.n.cfg.MaxFrame {
			err = fault.Newf(fault.Limit, "peer.serve", "the answer is larger than %d bytes", in.n.cfg.MaxFrame)
		} else if in.conn.queue(frameHead+idHead+len(out), true, func(b []byte) []byte { return appendReply(b, frameAnswer, id, out) }) {
			return
		} else {
			err = fault.New(fault.Overload, "peer.serve", "the call was carried out, but the answer does not fit into the link")
		}
	}
	in.conn.queue(0, false, func(b []byte) []byte { return appendReply(b, frameFailure, id, encodeFault(err)) })
}
