package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// A server has a number in its pool, under which it votes. It is written into the data
// folder, and a server without one must not take a number that votes already: what it
// promised under it would be forgotten. So a server with an empty folder first asks the
// others. If the pool exists, the pool gives it a number. If none has ever heard of the
// pool, and enough of them run for a first start, its number is its place in the topology.

// identity is what a data folder says of the server it belongs to.
type identity struct {
	Pool     uc.PoolFQDN   `json:"pool"`
	Server   uc.ServerFQDN `json:"server"`
	Instance string        `json:"instance"` // of the folder
	Number   uint64        `json:"number"`   // 0: none yet
	// Late reports that the server joined when the pool ran: it is sent the groups, and
	// does not know who their first members were.
	Late bool `json:"late,omitempty"`
	// Claimed reports that the pool has given the number, so that there is one.
	Claimed bool `json:"claimed,omitempty"`
}

const identityFile = "server.json"

// readIdentity reads that of the data folder, or makes one without a number.
func (g *ground) readIdentity(pool uc.PoolFQDN) (id identity, err error) {
	const op = "frontend.readIdentity"
	b, err := os.ReadFile(g.path(identityFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return identity{Pool: pool, Server: g.fqdn, Instance: uuid.NewString()}, nil
	case err != nil:
		return id, fault.Wrap(op, err)
	}
	if err := json.Unmarshal(b, &id); err != nil || id.Instance == "" || id.Number == 0 {
		return id, fault.New(fault.Invalid, op, "the file does not say which server the data folder belongs to; restore it, or give this server an empty folder").About(g.path(identityFile)).Because(err)
	}
	if id.Pool != pool || id.Server != g.fqdn {
		return id, fault.Newf(fault.Invalid, op, "the data folder belongs to %s of pool %s, not to %s of %s; name the right folder with --data", id.Server, id.Pool, g.fqdn, pool).About(g.set.Data)
	}
	return id, nil
}

func (g *ground) writeIdentity(id identity) error {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return fault.Wrap("frontend.writeIdentity", writeDurably(g.path(identityFile), append(b, '\n')))
}

// Calls between servers about joining.
const (
	callHello = "pool.hello"
	callClaim = "pool.claim"
)

// hello is what a server says of itself to one that has just started.
type hello struct {
	Open   bool   `json:"open"`   // it knows of a pool that was begun
	Fresh  bool   `json:"fresh"`  // it has no number yet
	Number uint64 `json:"number"` // it has
	Names  string `json:"names"`  // of the pool in its document
}

func (f *fabric) serveJoining() {
	f.links.Serve(callHello, func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) {
		if f.joined() != 0 && f.groupStarted() == nil {
			return nil, fault.New(fault.Unavailable, "frontend.hello", "this server does not know yet what it has of the pool")
		}
		return json.Marshal(hello{Open: f.begun(), Fresh: f.joined() == 0, Number: f.joined(), Names: f.documentNames()})
	})
	f.links.Serve(callClaim, func(ctx context.Context, from uc.ServerFQDN, in []byte) ([]byte, error) {
		const op = "frontend.claim"
		if f.joined() == 0 || f.groupStarted() == nil {
			return nil, fault.New(fault.Unavailable, op, "this server has not joined the pool itself yet")
		}
		p, err := f.propose(ctx, &poolstate.Claim{FQDN: from, Instance: string(in)})
		if err != nil {
			return nil, err
		}
		return json.Marshal(p.Server(from))
	})
}

// begun reports whether this server knows of a pool that exists: one that it has seen
// opened, or that has entries in the log here, which it may not know to be committed yet.
// Servers without data that took it for new would begin another pool beside it.
func (f *fabric) begun() bool {
	if f.state().Open() || f.given.Load() {
		return true
	}
	g := f.groupStarted()
	return g != nil && g.Status().LastIndex > 1
}

func (f *fabric) documentNames() string {
	var b strings.Builder
	for _, n := range f.pool.Names() {
		b.WriteString(string(n))
		b.WriteByte(' ')
	}
	return b.String()
}

// greet asks every connected server what it is; those that do not answer are left out.
func (f *fabric) greet(ctx context.Context) map[uc.ServerFQDN]hello {
	out := map[uc.ServerFQDN]hello{}
	for _, name := range f.pool.Names() {
		if name == f.self || !f.links.Up(name) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		b, err := f.links.Call(limited, name, callHello, nil)
		cancel()
		var h hello
		if err == nil && json.Unmarshal(b, &h) == nil {
			out[name] = h
		}
	}
	return out
}

// join finds this server's number, and waits for it as long as it takes; say is told
// what it waits for.
func (m *member) join(ctx context.Context) error {
	f := m.fabric
	if f.id.Number != 0 {
		f.number = f.id.Number
		f.given.Store(f.id.Claimed)
		f.settled.Store(f.number)
		return nil
	}
	again := f.clock.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		changed := f.links.Changed()
		id, wait, err := m.tryJoin(ctx)
		if err != nil {
			return err
		}
		if id.Number != 0 {
			if err := m.writeIdentity(id); err != nil {
				return err
			}
			f.id, f.number = id, id.Number
			f.given.Store(id.Claimed)
			f.settled.Store(f.number)
			f.log.Info("this server has its number in the pool", "number", id.Number, "late", id.Late)
			return nil
		}
		m.wait(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-again.C():
		}
	}
}

// tryJoin returns the identity with a number, or what it waits for.
func (m *member) tryJoin(ctx context.Context) (id identity, wait string, err error) {
	f := m.fabric
	id = f.id
	greetings := f.greet(ctx)
	names := f.pool.Names()
	ready := 1
	for name, h := range greetings {
		if h.Open {
			return m.claim(ctx, name)
		}
		if h.Names != f.documentNames() {
			return id, "the topology of " + string(name) + " names other servers; give all servers the same document", nil
		}
		ready++
	}
	existed, err := m.poolExisted(ctx)
	switch {
	case err != nil:
		return id, "the Back End, which knows whether the pool was opened before: " + err.Error(), nil
	case existed:
		return id, "a server that has data of the pool, which was opened before: " + list(m.missing(greetings)), nil
	case ready < quorum.FirstStart(len(names)):
		return id, "its first start, for which " + count(quorum.FirstStart(len(names)), "server") + " of " + count(len(names), "server") + " must run; missing: " + list(m.missing(greetings)), nil
	}
	id.Number = uint64(slices.Index(names, f.self) + 1)
	return id, "", nil
}

// claim has the pool give this server its number.
func (m *member) claim(ctx context.Context, by uc.ServerFQDN) (id identity, wait string, err error) {
	f := m.fabric
	id = f.id
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	b, err := f.links.Call(limited, by, callClaim, []byte(id.Instance))
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return id, "a topology that has this server; publish one", nil
		}
		return id, "the pool, to be taken in: " + err.Error(), nil
	}
	var s poolstate.Server
	if err := json.Unmarshal(b, &s); err != nil || s.Number == 0 {
		return id, "", fault.New(fault.Internal, "frontend.claim", "the pool gives a number that cannot be read").Because(err)
	}
	id.Number, id.Late, id.Claimed = s.Number, !s.First, true
	return id, "", nil
}

// missing are the servers that have not greeted.
func (m *member) missing(greetings map[uc.ServerFQDN]hello) (names []uc.ServerFQDN) {
	for _, n := range m.fabric.pool.Names() {
		if _, ok := greetings[n]; !ok && n != m.fqdn {
			names = append(names, n)
		}
	}
	return names
}
