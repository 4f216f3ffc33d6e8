package registrar

import (
	"context"
	"slices"
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
)

// tie is an endpoint on a connection.
type tie struct {
	user     uc.UserURI
	endpoint uc.EndpointID
}

// tiesKey is the key of *ties in the values of a connection.
type tiesKey struct{}

// ties are the endpoints registered over a connection.
type ties struct {
	mu   sync.Mutex // guards list
	list []tie
}

// hold notes that an endpoint lives on a connection, whose end detaches it. A UDP
// address has no end that means anything.
func (r *Registrar) hold(c *siptrans.Conn, t tie) {
	held := r.ties(c)
	held.mu.Lock()
	if !slices.Contains(held.list, t) {
		held.list = append(held.list, t)
	}
	held.mu.Unlock()
	if c.Stream() && c.Closed() { // perhaps just now, and nobody will call again
		r.closed(c, held)
	}
}

// ties returns what is registered over c. Several requests of one connection may
// be on their way when they are of several users.
func (r *Registrar) ties(c *siptrans.Conn) *ties {
	r.tying.Lock()
	defer r.tying.Unlock()
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		held = &ties{}
		c.SetValue(tiesKey{}, held)
		if c.Stream() {
			c.OnClose(func() { r.closed(c, held) })
		}
	}
	return held
}

// release forgets an endpoint that has signed out.
func (r *Registrar) release(c *siptrans.Conn, t tie) {
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		return
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	held.list = slices.DeleteFunc(held.list, func(o tie) bool { return o == t })
}

func (r *Registrar) closed(c *siptrans.Conn, held *ties) {
	held.mu.Lock()
	defer held.mu.Unlock()
	for _, t := range held.list {
		r.lost.add(job{lost: &groupstate.Detach{User: t.user, Endpoint: t.endpoint, Server: r.cfg.FQDN, Epoch: r.cfg.Epoch, Conn: c.ID(),
			Grace: r.cfg.Grace.Milliseconds(), Now: r.now()}})
	}
	held.list = nil
}

// drop ends the former connection of an endpoint that has come over another one,
// unless other endpoints live on it.
func (r *Registrar) drop(user uc.UserURI, b *groupstate.Binding) {
	if b.Flow.Server != r.cfg.FQDN || b.Flow.Epoch != r.cfg.Epoch || b.Flow.Transport == "udp" {
		return
	}
	c := r.cfg.Link.Conn(b.Flow.Conn)
	if c == nil {
		return
	}
	r.release(c, tie{user, b.Endpoint})
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		return
	}
	held.mu.Lock()
	alone := len(held.list) == 0
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
// connections.
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
