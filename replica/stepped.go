package replica

import (
	"context"
	"slices"

	"go.etcd.io/raft/v3"

	"trivet/fault"
	"trivet/uc"
)

// Stepped is a Host without goroutines: its parts run when they are told to, on the
// goroutine of the caller, so that a simulation decides in which order things happen.
// Everything else is the Host's own code. Config.Database has to be given.
//
// What waits in a Host (Change, Propose, Read, Feed) is begun here by Stepped's own
// methods, and not waited for. Host.Start, Stop, Recover, Renew, Receive and Step may be
// called; they run what they have to wait for. One goroutine may use it at a time.
type Stepped struct {
	*Host
	// Choose picks one of n parts that can go on while something is waited for; nil: the
	// first.
	Choose func(n int) int

	tasks []task
	busy  map[Part]bool
	spare []Part

	leaving []*Group // out of the loop, and not ended
}

// task is what a Host has a goroutine of its own for, once.
type task struct {
	name string
	run  func(context.Context) error
}

// Part names what can go on in a Stepped host.
type Part struct {
	kind  partKind
	group *Group // of an applyPart
}

type partKind uint8

const (
	loopPart partKind = iota + 1
	appendPart
	applyPart
	witnessPart
	taskPart
)

// Writes reports whether running the part may write to the Database.
func (p Part) Writes() bool { return p.kind == appendPart }

// AsksWitness reports whether running the part calls the WitnessStore.
func (p Part) AsksWitness() bool { return p.kind == witnessPart }

// OpenStepped is Open.
func OpenStepped(ctx context.Context, cfg Config) (*Stepped, error) {
	const op = "replica.OpenStepped"
	if cfg.Database == nil {
		return nil, fault.New(fault.Invalid, op, "Database is missing; one on a disk has goroutines of its own")
	}
	s := &Stepped{busy: map[Part]bool{}}
	h, err := openHost(ctx, cfg, s)
	if err != nil {
		return nil, err
	}
	s.Host = h
	return s, nil
}

// Tick lets one Config.TickInterval pass.
func (s *Stepped) Tick() {
	s.loop.tick()
	s.loop.drain()
}

// Look looks at the free space of the disk.
func (s *Stepped) Look() { s.space.look() }

// Parts are those that can go on now, in an order that depends on the groups' numbers
// alone. The list is good until the next call.
func (s *Stepped) Parts() []Part {
	list := s.spare[:0]
	add := func(p Part, waits bool) {
		if waits && !s.busy[p] {
			list = append(list, p)
		}
	}
	add(Part{kind: loopPart}, s.loop.in.holds())
	if s.store.failure() == nil {
		add(Part{kind: appendPart}, s.app.q.holds())
	}
	add(Part{kind: witnessPart}, s.witness.q.holds())
	for _, g := range s.loop.groups {
		add(Part{applyPart, g}, g.queue.holds() && !g.work.over)
	}
	for _, g := range s.leaving {
		add(Part{applyPart, g}, g.queue.holds() && !g.work.over)
	}
	add(Part{kind: taskPart}, len(s.tasks) > 0)
	s.spare = list
	return list
}

// Run lets a part do all that has come for it. An error means that a Host would have
// ended with it.
func (s *Stepped) Run(p Part) error {
	s.busy[p] = true
	defer delete(s.busy, p)
	ctx := s.life.Context()
	switch p.kind {
	case loopPart:
		s.loop.drain()
	case appendPart:
		s.app.writeAll()
	case witnessPart:
		s.witness.callAll(ctx)
	case applyPart:
		if err := p.group.doAll(ctx); err != nil {
			return err
		}
		if p.group.work.over {
			close(p.group.ended)
			s.leaving = slices.DeleteFunc(s.leaving, func(g *Group) bool { return g == p.group })
		}
	case taskPart:
		t := s.tasks[0]
		s.tasks = s.tasks[1:]
		return t.run(ctx)
	}
	return nil
}

// until runs parts until done is closed, or nothing that could close it can go on.
func (s *Stepped) until(done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		parts := s.Parts()
		if len(parts) == 0 {
			return fault.New(fault.Internal, "replica.Stepped", "something is waited for that cannot come")
		}
		i := 0
		if s.Choose != nil {
			i = s.Choose(len(parts))
		}
		if err := s.Run(parts[i]); err != nil {
			return err
		}
	}
}

// Pending is a proposal or a read that was begun.
type Pending struct {
	p *proposal
	r *read
}

// Done returns the outcome once there is one.
func (p *Pending) Done() (result any, err error, done bool) {
	if p.p != nil {
		select {
		case <-p.p.done:
			return p.p.result, p.p.err, true
		default:
			return nil, nil, false
		}
	}
	select {
	case <-p.r.done:
		return nil, p.r.err, true
	default:
		return nil, nil, false
	}
}

// Propose begins a Group.ProposeOnce, or a Group.Propose with the zero ID.
func (s *Stepped) Propose(g *Group, id ID, cmd []byte) (*Pending, error) {
	if id == (ID{}) {
		id.Client = g.incarnation
	}
	p, err := g.begin(id, cmd)
	if err != nil {
		return nil, err
	}
	return &Pending{p: p}, nil
}

// Read begins a Group.Read.
func (s *Stepped) Read(g *Group, f func()) *Pending {
	r := &read{f: f, done: make(chan struct{})}
	s.loop.in.push(input{group: g, read: r})
	return &Pending{r: r}
}

// Change begins a Group.Change: what is refused now may be taken when it is asked again.
func (s *Stepped) Change(id uc.GroupID, want Members) {
	if g := s.Group(id); g != nil {
		s.loop.in.push(input{group: g, call: func(g *Group) { _ = g.beginChange(want) }})
	}
}

// Leads reports whether this server leads a group by its own knowledge, however old, and
// in which term.
func (s *Stepped) Leads(g *Group) (term uint64, leads bool) {
	st := g.loop.node.BasicStatus()
	return st.GetTerm(), st.RaftState == raft.StateLeader
}

// NewestSnapshot is the file with the newest snapshot of a group, if there are two at
// least, so that one may be lost.
func (s *Stepped) NewestSnapshot(id uc.GroupID) (path string, ok bool) {
	g := s.Group(id)
	if g == nil {
		return "", false
	}
	have, err := g.snaps.indexes()
	if err != nil || len(have) < keepNewest {
		return "", false
	}
	return g.snaps.file(have[0]), true
}
