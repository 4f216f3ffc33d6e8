package replica

import (
	"cmp"
	"context"
	"slices"
	"time"

	"trivet/fault"
)

// proposal waits for its entry to be applied. Several callers may wait for one.
type proposal struct {
	id      ID
	entry   []byte
	since   int           // loop: tick at which it came
	sent    int           // loop: tick at which it was sent to the leader last
	term    uint64        // Group.mu: term in which it was put into the log, 0 if it is not
	waiters int           // Group.mu
	done    chan struct{} // closed when result and err are set
	result  any
	err     error
}

// Propose carries out cmd on all replicas and returns its result once it is
// durable on a majority and applied here, whichever member this server is. Kinds
// of failure: NoQuorum, Overload, Limit, Unavailable (disk full or server
// stopping), Timeout when ctx ends first. After NoQuorum, Timeout
// and Unavailable the command may still be carried out later; use ProposeOnce to
// repeat it safely. The host itself repeats what a change of primary has lost.
func (g *Group) Propose(ctx context.Context, cmd []byte) (any, error) {
	return g.propose(ctx, ID{Client: g.incarnation}, cmd)
}

// ProposeOnce is Propose under an ID of the caller's: however often and on
// whichever server it is repeated, the command is carried out once and each time
// gives the same result. fault.Gone means that it was carried out and its result
// is no longer known (a restart, or more than 1,024 later commands of the client).
func (g *Group) ProposeOnce(ctx context.Context, id ID, cmd []byte) (any, error) {
	if id.Seq == 0 || id.Client>>63 != 0 {
		return nil, fault.New(fault.Invalid, "replica.ProposeOnce", "Client must lie below 1<<63 and Seq above 0")
	}
	return g.propose(ctx, id, cmd)
}

func (g *Group) propose(ctx context.Context, id ID, cmd []byte) (any, error) {
	const op = "replica.Propose"
	p, err := g.begin(id, cmd)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		g.abandon(p)
		return nil, fault.New(fault.Timeout, op, "no answer in time; the command may still be carried out").Because(context.Cause(ctx))
	case <-g.h.store.broken:
		g.abandon(p)
		return nil, storeFault(op, g.h.cfg.Dir, g.h.store.failure())
	case <-g.h.Done():
		g.abandon(p)
		return nil, g.h.usable(op)
	}
}

// begin hands a proposal to the loop.
func (g *Group) begin(id ID, cmd []byte) (*proposal, error) {
	const op = "replica.Propose"
	if len(cmd) > g.h.cfg.MaxCommandBytes {
		return nil, fault.Newf(fault.Limit, op, "the command has %d bytes, %d are allowed", len(cmd), g.h.cfg.MaxCommandBytes)
	}
	if err := g.h.writable(op); err != nil {
		return nil, err
	}
	p, fresh := g.register(id, cmd)
	if p == nil {
		e := fault.Newf(fault.Overload, op, "group %d has %d commands waiting", g.id, g.h.cfg.MaxPending)
		e.RetryAfter = time.Second
		return nil, e
	}
	if fresh {
		g.h.loop.in.push(input{group: g, prop: p})
	}
	return p, nil
}

// register makes a proposal or joins the one under way with the same ID; nil
// when too many wait.
func (g *Group) register(id ID, cmd []byte) (p *proposal, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := id.Seq == 0
	if p := g.pend[id]; p != nil && !own {
		p.waiters++
		return p, false
	}
	if len(g.pend) >= g.h.cfg.MaxPending || own && g.seq+1-g.low >= window {
		return nil, false
	}
	c := command{id: id, body: cmd}
	if own {
		g.seq++
		c.id.Seq, c.low = g.seq, g.low
	}
	p = &proposal{id: c.id, entry: c.encode(), waiters: 1, done: make(chan struct{})}
	g.pend[c.id] = p
	return p, true
}

// forget takes a proposal out of the table; Group.mu is held.
func (g *Group) forget(p *proposal) {
	delete(g.pend, p.id)
	for own := p.id; g.low <= g.seq; g.low++ {
		own.Client, own.Seq = g.incarnation, g.low
		if g.pend[own] != nil {
			return
		}
	}
}

func (g *Group) abandon(p *proposal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.waiters--; p.waiters == 0 && g.pend[p.id] == p {
		g.forget(p)
	}
}

// finish answers a proposal, once.
func (g *Group) finish(p *proposal, result any, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pend[p.id] != p {
		return
	}
	g.forget(p)
	p.result, p.err = result, err
	close(p.done)
}

// resolve answers whoever waits for the ID, with what was applied.
func (g *Group) resolve(id ID, result any) {
	g.mu.Lock()
	p := g.pend[id]
	g.mu.Unlock()
	if p == nil {
		return
	}
	if _, lost := result.(unknown); lost {
		g.finish(p, nil, fault.New(fault.Gone, "replica.Propose", "the command was carried out before; its result is no longer known"))
		return
	}
	g.finish(p, result, nil)
}

// waits reports whether somebody still waits for the proposal.
func (g *Group) waits(p *proposal) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pend[p.id] == p
}

// lostBefore returns the proposals that were put into the log in a term below
// and are not applied: once an entry of term is applied they never will be.
func (g *Group) lostBefore(term uint64) []*proposal {
	g.mu.Lock()
	defer g.mu.Unlock()
	var lost []*proposal
	for _, p := range g.pend {
		if p.term != 0 && p.term < term {
			p.term = 0
			lost = append(lost, p)
		}
	}
	slices.SortFunc(lost, byID)
	return lost
}

// entering marks proposals as put into the log in term, leaving out those that
// nobody waits for or that were answered meanwhile.
func (g *Group) entering(ps []*proposal, term uint64) []*proposal {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := ps[:0]
	for _, p := range ps {
		if g.pend[p.id] == p {
			p.term = term
			kept = append(kept, p)
		}
	}
	clear(ps[len(kept):])
	return kept
}

// refused takes the mark back.
func (g *Group) refused(p *proposal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.term = 0
}

// byID orders proposals as their callers made them; whatever happens to several happens
// in this order.
func byID(a, b *proposal) int {
	return cmp.Or(cmp.Compare(a.id.Client, b.id.Client), cmp.Compare(a.id.Seq, b.id.Seq))
}

// pending returns every proposal that waits.
func (g *Group) pending() []*proposal {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*proposal, 0, len(g.pend))
	for _, p := range g.pend {
		out = append(out, p)
	}
	slices.SortFunc(out, byID)
	return out
}
