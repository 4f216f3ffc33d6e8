package sipproxy

import (
	"sync"

	"trivet/link/siptrans"
	"trivet/wire/sip"
)

// fork is the response context of RFC 3261 16.7: one request, several branches.
type fork struct {
	proxy *Proxy
	tx    *siptrans.ServerTx
	fwd   Forward

	mu       sync.Mutex // guards the fields below and those of the branches
	branches []*branch
	waiting  int    // branches without a final response
	winner   string // To tag of the 2xx that went back
	stopped  bool   // no more answers are wanted: a 2xx, a 6xx or a CANCEL came
	sent     bool   // a final response went back
}

// branch is one target's part of a fork.
type branch struct {
	fork  *fork
	req   *sip.Message
	tx    *siptrans.ClientTx // nil until it was sent
	final *sip.Message
}

// fork sends a copy of the request to each target.
func (p *Proxy) fork(tx *siptrans.ServerTx, f Forward) {
	k := &fork{proxy: p, tx: tx, fwd: f, waiting: len(f.Targets)}
	req := tx.Req()
	if req.Method == "INVITE" {
		tx.Respond(sip.NewResponse(req, 100, ""))
	}
	for range f.Targets {
		k.branches = append(k.branches, &branch{fork: k})
	}
	for i, b := range k.branches {
		b.req = req.Clone()
		t := &f.Targets[i]
		params := p.address(b.req, tx.Conn(), t, &f)
		b.sent(p.cfg.Layer.Relay(tx.Batch(), t.Conn, b.req, params, b))
	}
	tx.OnCancel(k.cancelAll)
}

// sent notes the transaction and ends it if nobody wants it any more.
func (b *branch) sent(t *siptrans.ClientTx) {
	b.fork.mu.Lock()
	b.tx = t
	late := b.fork.stopped && b.final == nil
	b.fork.mu.Unlock()
	if late {
		t.Cancel()
	}
}

// cancelAll gives up every branch that is still open.
func (k *fork) cancelAll() {
	k.mu.Lock()
	k.stopped = true
	var open []*siptrans.ClientTx
	for _, b := range k.branches {
		if b.final == nil && b.tx != nil {
			open = append(open, b.tx)
		}
	}
	k.mu.Unlock()
	for _, t := range open {
		t.Cancel()
	}
}

// Response handles what a branch brings, RFC 3261 16.7.
func (b *branch) Response(out *siptrans.Batch, t *siptrans.ClientTx, res *sip.Message, err error) {
	if err != nil {
		b.finish(out, failed(b.fork.tx.Req(), err))
		return
	}
	var raw *sip.Message // as it came, for the route of ACK and BYE
	if res.Status/100 == 2 && b.req.Method == "INVITE" {
		raw = res.Clone()
	}
	if !back(res) {
		return
	}
	switch {
	case res.Status == 100:
	case res.Status < 200:
		b.fork.provisional(out, res)
	case res.Status < 300:
		b.success(out, t, res, raw)
	default:
		b.finish(out, res)
	}
}

// provisional passes a 1xx on while no final response went back.
func (k *fork) provisional(out *siptrans.Batch, res *sip.Message) {
	k.mu.Lock()
	pass := !k.sent
	k.mu.Unlock()
	if pass {
		k.tx.RespondIn(out, res)
	}
}

// success passes the first 2xx on at once and gives the other branches up. A
// further one from another endpoint is acknowledged and ended here.
func (b *branch) success(out *siptrans.Batch, t *siptrans.ClientTx, res, raw *sip.Message) {
	k := b.fork
	to, _ := res.To()
	tag := to.Tag()
	k.mu.Lock()
	first := !k.sent
	if b.final == nil {
		b.final = res
		k.waiting--
	}
	if first {
		k.sent, k.stopped, k.winner = true, true, tag
	}
	won := k.winner == tag && raw != nil // a retransmission of the winner goes back too
	k.mu.Unlock()
	switch {
	case first:
		k.tx.RespondIn(out, k.fwd.final(res))
		k.cancelAll()
	case won:
		k.tx.RespondIn(out, res)
	case raw != nil:
		k.proxy.hangUp(t, b.req, raw)
	}
}

// finish notes a final response from 300 on; with the last one the best goes back.
func (b *branch) finish(out *siptrans.Batch, res *sip.Message) {
	k := b.fork
	k.mu.Lock()
	if b.final != nil {
		k.mu.Unlock()
		return
	}
	b.final = res
	k.waiting--
	stop := res.Status >= 600 && !k.stopped
	answer := k.waiting == 0 && !k.sent
	if answer {
		k.sent = true
	}
	k.mu.Unlock()
	if stop {
		k.cancelAll()
	}
	if answer {
		k.tx.RespondIn(out, k.fwd.final(k.best()))
	}
}

// best chooses among the final responses, RFC 3261 16.7 step 6. All branches have
// ended, so nothing changes any more.
func (k *fork) best() *sip.Message {
	var best *sip.Message
	for _, b := range k.branches {
		if best == nil || rank(b.final.Status) < rank(best.Status) {
			best = b.final
		}
	}
	if best.Status == 503 && !k.fwd.Ours { // it speaks of the other server, not of us
		best.Status, best.Reason = 500, sip.Reason(500)
	}
	if best.Status == 401 || best.Status == 407 {
		for _, b := range k.branches {
			if b.final != best && (b.final.Status == 401 || b.final.Status == 407) {
				copyChallenges(best, b.final)
			}
		}
	}
	return best
}

func copyChallenges(to, from *sip.Message) {
	for _, name := range [...]string{"WWW-Authenticate", "Proxy-Authenticate"} {
		for v := range from.All(name) {
			to.Add(name, v)
		}
	}
}

// telling are the 4xx that say what a new attempt needs.
var telling = map[int]bool{401: true, 407: true, 415: true, 420: true, 484: true}

// rank orders final responses, the best first: 6xx, then the lowest class, in it
// those that tell the caller what to do, then what a person has said, last what
// only means that nobody was there.
func rank(status int) int {
	switch {
	case status >= 600:
		return 0
	case telling[status]:
		return 401
	case status == 487:
		return 489
	case status == 408, status == 480:
		return 490
	case status == 503:
		return 599
	case status/100 == 4:
		return 450
	}
	return status
}
