package registrar

import (
	"context"
	"sync"
	"time"

	"trivet/fault"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
)

const (
	lostWorkers = 8
	lostTries   = 30
	lostPause   = time.Second
	maxTies     = 16384 // endpoints of one connection; a proxy before us may bring many
)

// tie is an endpoint on a connection.
type tie struct {
	user     uc.UserURI
	endpoint uc.EndpointID
}

// tiesKey is the key of *ties in the values of a connection.
type tiesKey struct{}

// ties are the endpoints registered over a connection. They follow the events of
// the routing groups, so that they are those of the bindings whatever ended one.
type ties struct {
	mu  sync.Mutex // guards set
	set map[tie]struct{}
}

// bound notes over which connection an endpoint is registered now: its end
// detaches it. before is what the user had.
func (r *Registrar) bound(e *groupstate.Bound, before []groupstate.Binding) {
	is := bindingOf(e.Bindings, e.Endpoint)
	if is == nil {
		return
	}
	if was := bindingOf(before, e.Endpoint); was != nil && was.Flow != is.Flow {
		r.release(e.User, was)
		if r.tied(was) && is.Flow.Server != r.cfg.FQDN {
			r.drop(was) // the endpoint has gone to another server
		}
	}
	if !r.tied(is) {
		return
	}
	t := tie{e.User, is.Endpoint}
	c := r.cfg.Link.Conn(is.Flow.Conn)
	if c == nil { // it ended while the registration was on its way
		if is.Flow.Transport != "udp" {
			r.cut(t, is.Flow.Conn)
		}
		return
	}
	held := r.ties(c)
	held.mu.Lock()
	held.set[t] = struct{}{}
	held.mu.Unlock()
	if c.Stream() && c.Closed() { // perhaps just now, and nobody will call again
		r.closed(c.ID(), held)
	}
}

func bindingOf(all []groupstate.Binding, endpoint uc.EndpointID) *groupstate.Binding {
	for i := range all {
		if all[i].Endpoint == endpoint {
			return &all[i]
		}
	}
	return nil
}

// tied reports whether a binding hangs on a connection of this run.
func (r *Registrar) tied(b *groupstate.Binding) bool {
	return b.Flow.Server == r.cfg.FQDN && b.Flow.Epoch == r.cfg.Epoch
}

// ties returns what is registered over c. Several routing groups may ask for those
// of one connection.
func (r *Registrar) ties(c *siptrans.Conn) *ties {
	r.tying.Lock()
	defer r.tying.Unlock()
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		held = &ties{set: map[tie]struct{}{}}
		c.SetValue(tiesKey{}, held)
		if c.Stream() { // the end of a UDP address means nothing
			id := c.ID()
			c.OnClose(func() { r.closed(id, held) })
		}
	}
	return held
}

// release forgets the endpoint of a binding that is not over its connection any
// more.
func (r *Registrar) release(user uc.UserURI, b *groupstate.Binding) {
	if !r.tied(b) {
		return
	}
	c := r.cfg.Link.Conn(b.Flow.Conn)
	if c == nil {
		return
	}
	if held, _ := c.Value(tiesKey{}).(*ties); held != nil {
		held.mu.Lock()
		delete(held.set, tie{user, b.Endpoint})
		held.mu.Unlock()
	}
}

// crowded reports whether a connection carries so many endpoints that those named
// would be too many.
func (r *Registrar) crowded(c *siptrans.Conn, user uc.UserURI, contacts []groupstate.BindContact) bool {
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		return false
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	count := len(held.set)
	for i := range contacts {
		if _, known := held.set[tie{user, contacts[i].Endpoint}]; !known && contacts[i].Lifetime > 0 {
			count++
		}
	}
	return count > len(held.set) && count > maxTies
}

// cut has an endpoint detached whose connection has ended.
func (r *Registrar) cut(t tie, conn uint64) {
	r.lost.add(job{lost: &groupstate.Detach{User: t.user, Endpoint: t.endpoint, Server: r.cfg.FQDN, Epoch: r.cfg.Epoch, Conn: conn,
		Grace: r.cfg.Grace.Milliseconds(), Now: r.now()}})
}

func (r *Registrar) closed(conn uint64, held *ties) {
	held.mu.Lock()
	defer held.mu.Unlock()
	for t := range held.set {
		r.cut(t, conn)
	}
	clear(held.set)
}

// drop ends the former connection of an endpoint that has come over another one,
// unless other endpoints live on it.
func (r *Registrar) drop(b *groupstate.Binding) {
	if !r.tied(b) || b.Flow.Transport == "udp" {
		return
	}
	c := r.cfg.Link.Conn(b.Flow.Conn)
	if c == nil {
		return
	}
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		return
	}
	held.mu.Lock()
	alone := len(held.set) == 0
	held.mu.Unlock()
	if alone {
		c.Close("the endpoint has come over a newer connection")
	}
}

// job is work that a connection or a group's goroutine must not wait for.
type job struct {
	lost     *groupstate.Detach
	tries    int
	farewell *farewell
}

// queue holds jobs until a worker has time. It is bounded by the number of
// endpoints.
type queue struct {
	mu   sync.Mutex // guards jobs
	jobs []job
	wake chan struct{}
}

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

func (q *queue) add(j job) {
	q.mu.Lock()
	q.jobs = append(q.jobs, j)
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) take() (job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		q.jobs = nil
		return job{}, false
	}
	j := q.jobs[0]
	q.jobs[0] = job{}
	q.jobs = q.jobs[1:]
	if len(q.jobs) > 0 {
		q.signal() // another worker may help
	}
	return j, true
}

// work does the jobs of the queue until the service ends.
func (r *Registrar) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.lost.wake:
		}
		for j, ok := r.lost.take(); ok && ctx.Err() == nil; j, ok = r.lost.take() {
			if j.farewell != nil {
				r.bid(j.farewell)
				continue
			}
			r.detach(ctx, j)
		}
	}
}

func (r *Registrar) detach(ctx context.Context, j job) {
	_, err := result[groupstate.DetachResult](r.cfg.Groups.Propose(ctx, j.lost.User, j.lost))
	switch {
	case err == nil, ctx.Err() != nil, fault.Is(err, fault.NotFound):
		return
	case j.tries >= lostTries:
		r.cfg.Log.Warn("an endpoint without connection stays registered until it expires", "user", j.lost.User, "endpoint", j.lost.Endpoint, "err", err)
		return
	}
	j.tries++
	r.cfg.Clock.AfterFunc(lostPause, func() { r.lost.add(j) })
}
