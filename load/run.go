package load

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
)

// Config says what to play against which server.
type Config struct {
	Model     *Model
	People    []Person
	Server    string      // "host:port"
	TLS       *tls.Config // nil: TCP without TLS
	Scheme    string      // NTLM or Digest
	Seed      uint64
	Ramp      time.Duration // real time in which everybody signs in; 0 is the model's window
	Length    time.Duration // real time after the ramp
	Speed     float64       // divides the times of the model and of the protocol
	Endpoints float64       // per user; 0 is the model's
	Contacts  int           // of each user; 0 is the model's
	Weight    map[Act]float64
	Fill      bool          // put contacts on the server that it does not have
	Session   time.Duration // of the model's time, 0: nobody signs out before the end
	Away      time.Duration // of the model's time, from a sign-out to the next sign-in
	Stagger   bool          // the first sessions end at any time, so that people come and go evenly
	Patience  time.Duration // how long an answer may take; 0 is 32 s
	Data      string        // data folder of a server on this machine, watched while it runs; "" for none
	Progress  io.Writer     // a line each second; nil for none
	MaxErrors float64       // share of failures beyond which the run has failed
	// AllowMissing lets a run succeed against a server without search or conferences.
	AllowMissing bool
	MaxP99       time.Duration // at the 99th percentile of what succeeded or was open at the end; 0 is no limit
}

// Run is one play of a model.
type Run struct {
	cfg       Config
	id        string // in Call-IDs and branches: differs from run to run
	mark      string // in notes, before the time of publication
	transport string // "TCP" or "TLS"
	loopback  bool
	schedule  *Schedule
	ramp      time.Duration
	began     time.Time
	length    time.Duration // set before ending

	users     []user
	endpoints []endpoint
	offsets   []int32
	places    map[int32]int // of each offset its place
	notes     notes
	agenda    *agenda
	talks     talks
	meetings  meetings
	tally     [acts]tally
	count     counters
	recent    atomic.Pointer[Histogram] // answers of the second under way
	missing   [chance]atomic.Int32      // the status by which the server said that it has none
	ending    atomic.Bool
	tasks     sync.WaitGroup
	buffers   sync.Pool // of *[]byte

	mu    sync.Mutex // guards names
	names map[string]string
}

// New checks a Config and makes the Run.
func New(cfg Config) (*Run, error) {
	const op = "load.New"
	switch {
	case len(cfg.People) < 2:
		return nil, fault.New(fault.Invalid, op, "the run needs at least two users")
	case cfg.Speed <= 0:
		return nil, fault.New(fault.Invalid, op, "the speed must be more than 0")
	case cfg.Scheme != NTLM && cfg.Scheme != Digest:
		return nil, fault.Newf(fault.Invalid, op, "sign-in is by %s or %s, not %q", NTLM, Digest, cfg.Scheme)
	case cfg.Endpoints < 0 || cfg.Endpoints > 0 && cfg.Endpoints < 1:
		return nil, fault.New(fault.Invalid, op, "a user has at least one endpoint")
	}
	host, _, err := net.SplitHostPort(cfg.Server)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "the server must be host:port, not %q", cfg.Server)
	}
	if cfg.Patience == 0 {
		cfg.Patience = 32 * time.Second
	}
	if cfg.Endpoints == 0 {
		cfg.Endpoints = cfg.Model.Endpoints
	}
	if cfg.Contacts == 0 {
		cfg.Contacts = cfg.Model.Contacts
	}
	r := &Run{cfg: cfg, transport: "TCP", agenda: newAgenda(), ramp: cfg.Ramp, names: map[string]string{}}
	if cfg.TLS != nil {
		r.transport = "TLS"
	}
	if r.ramp == 0 {
		r.ramp = r.scaled(cfg.Model.Window)
	}
	var id [4]byte
	rand.Read(id[:])
	r.id = hex.EncodeToString(id[:])
	r.mark = "load " + r.id + " "
	addr, err := netip.ParseAddr(host)
	r.loopback = err == nil && addr.Is4() && addr.IsLoopback()
	r.schedule = NewSchedule(cfg.Model, cfg.Seed, cfg.Speed, cfg.Weight)
	r.talks.open, r.meetings.open = map[uint32]*talk{}, map[uint32]meeting{}
	r.recent.Store(new(Histogram))
	r.buffers.New = func() any { b := make([]byte, 0, 4096); return &b }
	r.notes.list = map[note]*owed{}
	r.populate(cfg.People, cfg.Endpoints)
	return r, nil
}

// now is the time since the run began.
func (r *Run) now() time.Duration { return time.Since(r.began) }

// scaled is a time of the model in this run.
func (r *Run) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / r.cfg.Speed)
}

// jittered is a time between one and one and a half of d, so that those who were
// sent away together do not come back together.
func (r *Run) jittered(d time.Duration) time.Duration {
	return d + time.Duration(mrand.Int64N(int64(d)/2+1))
}

// sessionOf is how long the session of an endpoint that begins lasts.
func (r *Run) sessionOf(e *endpoint) time.Duration {
	d := r.scaled(r.cfg.Session)
	if e.visits++; r.cfg.Stagger && e.visits == 1 {
		return max(r.schedule.Begin(int(e.id)+1<<24, d), d/20)
	}
	return d
}

// intern keeps one copy of a string that many endpoints have.
func (r *Run) intern(b []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(r.names) < 256 {
		r.names[s] = s
	}
	return s
}

// Play plays the model until its end, or until ctx ends, then signs everybody out
// by closing the connections.
func (r *Run) Play(ctx context.Context) (*Report, error) {
	r.began = time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.ramp+r.cfg.Length)
	defer cancel()
	for i := range r.endpoints {
		r.agenda.add(todo{at: r.schedule.Begin(i, r.ramp), what: signIn, who: int32(i), ref: uint32(SignIn)})
	}
	for i := range r.users {
		u := &r.users[i]
		u.stream = r.schedule.Stream(i, r.schedule.Begin(int(u.first), r.ramp))
		r.plan(u)
	}
	r.agenda.add(todo{at: time.Second, what: sweep})
	w := r.watch(ctx)
	r.agenda.follow(ctx, r.now, func(t todo) { r.do(ctx, t) })
	r.length = r.now()
	r.ending.Store(true)
	samples := w.stop()
	own := inUse() / int64(len(r.endpoints))
	r.close()
	rep := r.report(r.length, samples)
	rep.Use.OwnPerEndpoint = own
	return rep, nil
}

// close ends all connections and waits for their readers.
func (r *Run) close() {
	for i := range r.endpoints {
		e := &r.endpoints[i]
		e.mu.Lock()
		if e.link != nil {
			e.link.hangUp()
		}
		e.mu.Unlock()
	}
	r.tasks.Wait()
}

// plan puts a user's next arrival on the agenda.
func (r *Run) plan(u *user) {
	at, act := r.schedule.Next(&u.stream)
	if at == never {
		return
	}
	r.agenda.add(todo{at: at, what: arrive, who: u.number, ref: uint32(act)})
}

// do does what is due.
func (r *Run) do(ctx context.Context, t todo) {
	switch t.what {
	case arrive:
		r.arrived(&r.users[t.who], Act(t.ref), t.at)
		r.plan(&r.users[t.who])
	case signIn:
		r.begin(ctx, &r.endpoints[t.who], Act(t.ref), t.at)
	case signOut:
		r.with(t.who, func(e *endpoint) { e.signOff(t.at) })
	case talkOn:
		r.line(t)
	case talkLate:
		r.lateLine(t)
	case endShort:
		r.endpoints[t.who].unwatch(t.at, t.ref)
	case pollAgain:
		r.act(&r.endpoints[t.who], PollResults, t.at, func(e *endpoint, p pending) { e.poll(p, r.cfg.Model.Found, int(t.ref)) })
	case alive:
		r.endpoints[t.who].keepUp(t.at, t.ref)
	case renew:
		r.with(t.who, func(e *endpoint) {
			if e.life == t.ref && e.link != nil {
				r.tally[Renew].planned.Add(1)
				e.register(pending{act: Renew, due: t.at}, "")
			}
		})
	case resub:
		r.endpoints[t.who].resubscribe(t.at, t.ref)
	case joinMeeting:
		if x, ok := r.meetings.get(t.ref); ok {
			r.act(r.present(r.endpoints[t.who].user), Join, t.at, func(e *endpoint, p pending) { p.ref = t.ref; e.join(p, x) })
		}
	case sayMeeting:
		r.act(&r.endpoints[t.who], Speak, t.at, func(e *endpoint, p pending) { e.speak(p, t.ref) })
	case leaveMeeting:
		r.act(&r.endpoints[t.who], Quit, t.at, func(e *endpoint, p pending) { e.quit(p, t.ref) })
	case endMeeting:
		r.meetings.end(t.ref)
	case sweep:
		now := r.now()
		for i := range r.endpoints {
			r.endpoints[i].silence(now)
		}
		r.agenda.add(todo{at: now + time.Second, what: sweep})
	}
}

// with locks an endpoint for f.
func (r *Run) with(id int32, f func(e *endpoint)) {
	e := &r.endpoints[id]
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

// begin starts a sign-in.
func (r *Run) begin(ctx context.Context, e *endpoint, act Act, due time.Duration) {
	r.tally[act].planned.Add(1)
	r.tasks.Add(1)
	go e.connect(ctx, act, due)
}

// act does something with an endpoint, if it is there and was not told to wait.
func (r *Run) act(e *endpoint, a Act, due time.Duration, f func(e *endpoint, p pending)) {
	r.tally[a].planned.Add(1)
	if e == nil {
		r.tally[a].skipped.Add(1)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link == nil || !e.in.Load() || e.wait > r.now() {
		r.tally[a].skipped.Add(1)
		return
	}
	f(e, pending{act: a, due: due})
}

// arrived plays an arrival of a user.
func (r *Run) arrived(u *user, a Act, due time.Duration) {
	other := &r.users[u.stream.below(len(r.users))]
	if len(r.offsets) > 0 {
		other = r.contact(u, u.stream.below(len(r.offsets)))
	}
	x := u.stream.float()
	if a == Conference && r.missing[a].Load() != 0 {
		return
	}
	if a == Search && r.missing[a].Load() != 0 {
		r.results(todo{at: due, who: u.first, ref: uint32(other.number)}, due)
		return
	}
	if a == Talk && r.present(other) == nil {
		a, other = Talk, u // nobody to talk to
	}
	e := r.present(u)
	if a == Talk && other == u {
		e = nil
	}
	r.act(e, a, due, func(e *endpoint, p pending) {
		switch a {
		case Publish:
			p.ref = pubNote
			if x < 0.75 {
				u.busy = !u.busy
				if p.ref = pubState; u.busy {
					p.ref |= busyBit
				}
			}
			e.publish(p)
		case Talk:
			e.call(p, other)
		case Search:
			e.search(p, other)
		case Short:
			e.watch(p, other)
		case Conference:
			e.convene(p)
		default:
			e.poll(p, 1, int(other.number))
		}
	})
}

// follow says what comes after the answer to an act.
var follow = [acts]func(e *endpoint, m *message, p pending){
	SignIn: welcomed, Again: welcomed, Renew: renewed, SignOut: signedOff,
	Contacts: subscribed, Provisioning: subscribed, Self: subscribed, Batch: batched,
	Publish: publishedNow, FirstPublish: publishedNow,
	Talk: called, Message: said, Typing: said,
	Short: watched, Search: searched,
	Conference: convened, Join: joined, JoinChat: chatting,
}
