package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/service/poolmanager"
	"trivet/uc"
)

// server is a Front End: what stays of it (name, disk), and the process.
type server struct {
	w    *world
	name uc.ServerFQDN
	disk *disk
	id   identity // is on the disk
	gone bool     // was destroyed, or never installed: cannot be started

	watch watch
	up    bool   // the process runs
	still bool   // and is paused
	life  int    // which process it is
	wakes uint64 // what came while it was paused

	// Of the process.
	host     *replica.Stepped
	view     *poolstate.Pool
	poolLog  *replica.Group
	machines map[uc.GroupID]*ledger
	manager  *poolmanager.Manager
	serving  bool
	ended    time.Duration // when the last process did
	halted   bool          // stopped by command
	agreed   bool          // the pool knows of this start
	claim    *replica.Pending
	led      time.Duration // when the pool had a leader last, as seen here
	heard    map[*server]time.Duration
	met      map[uint64]*server // who spoke under a number that the view does not have yet
	waiting  []*asked           // of people
	writing  bool               // the disk is at work
	asking   bool               // the database is
	missed   []func()           // while it was paused
	stirring bool               // pump is under way
}

// identity is what a server keeps beside the logs.
type identity struct {
	instance int    // of the data folder
	number   uint64 // 0: not in the pool yet
	late     bool   // joined a pool that was open, and was no member then
	claimed  bool   // has its number from the pool
}

// Times of a server, as in role/frontend and link/peer; what takes minutes in a pool is
// shortened, since a run is short.
const (
	tickEvery    = 100 * time.Millisecond
	dutyEvery    = 250 * time.Millisecond
	grace        = 5 * time.Second // without a leader of the pool, before the services stop
	linkPatience = 3 * time.Second // without a sign of another server, before it counts as away
	replaceAfter = 10 * time.Second
)

func (s *server) String() string { return string(s.name) }

// runs reports whether it would answer.
func (s *server) runs() bool { return s.up && !s.still }

// number is this server's.
func (s *server) number() uint64 { return s.id.number }

// later has this process do something in a while, if it still runs.
func (s *server) later(d time.Duration, do func()) {
	life := s.life
	s.w.after(d, func() { s.now(life, do) })
}

// now has a process do something, at once or when it goes on.
func (s *server) now(life int, do func()) {
	switch {
	case !s.up || s.life != life:
	case s.still:
		s.missed = append(s.missed, func() { s.now(life, do) })
	default:
		do()
	}
}

// start starts the process.
func (s *server) start() {
	if s.up || s.gone {
		return
	}
	s.life++
	s.up, s.still = true, false
	s.view, s.host, s.manager, s.poolLog = &poolstate.Pool{}, nil, nil, nil
	s.machines, s.heard = map[uc.GroupID]*ledger{}, map[*server]time.Duration{}
	s.met = map[uint64]*server{}
	s.serving, s.halted, s.agreed, s.claim, s.writing, s.asking, s.missed = false, false, false, nil, false, false, nil
	s.led = -grace
	if s.id.instance == 0 {
		s.id.instance = s.w.chance.IntN(1 << 30)
	}
	s.w.say("%s starts", s)
	s.later(s.watch.tick(dutyEvery), s.duty)
}

// stop ends the process; what it has written stays as far as the disk is concerned.
func (s *server) stop(how string) {
	if !s.up {
		return
	}
	s.w.say("%s ends: %s", s, how)
	s.up, s.serving, s.host, s.poolLog, s.ended = false, false, nil, nil, s.w.now
	for len(s.waiting) > 0 {
		s.waiting[0].lost()
	}
	s.missed = nil
}

// powerOff ends the machine.
func (s *server) powerOff() {
	s.stop("no power")
	lied := s.disk.lies && len(s.disk.loose) > 0
	kept := 0
	if n := len(s.disk.loose); n > 0 && !s.disk.lies {
		kept = s.w.chance.IntN(n + 1)
	}
	s.disk.powerLoss(kept)
	if lied { // whoever operates it takes the disk for what it is
		s.destroy()
	}
}

// destroy loses everything that the server had.
func (s *server) destroy() {
	s.stop("destroyed")
	s.disk, s.id = newDisk(), identity{}
}

// pause stops the process in the middle of what it does.
func (s *server) pause() { s.still = s.up }

// resume lets it go on.
func (s *server) resume() {
	if !s.still {
		return
	}
	s.still = false
	missed := s.missed
	s.missed = nil
	for _, do := range missed {
		do()
	}
}

// duty is what a server looks at now and then: who is there, whether it is in the pool, and
// whether it may serve. It follows role/frontend's member.
func (s *server) duty() {
	s.later(s.watch.tick(dutyEvery), s.duty)
	for _, o := range s.w.servers {
		if o == s || s.w.net.talk(s, o) {
			s.heard[o] = s.w.now
		}
	}
	switch {
	case s.id.number == 0:
		s.join()
	case s.host == nil:
		s.open()
	default:
		s.look()
	}
	s.soon()
}

// live reports whether another server runs and is connected, as seen here.
func (s *server) live(o *server) bool {
	at, ok := s.heard[o]
	return o == s || ok && s.w.now-at < linkPatience
}

// join finds this server's number.
func (s *server) join() {
	w := s.w
	ready, place := 1, slices.Index(w.topology, s.name)
	for _, name := range w.topology {
		o := w.named(name)
		if o == s || !w.net.talk(s, o) {
			continue
		}
		if o.begun() {
			s.askToJoin(o)
			return
		}
		if o.number() != 0 && o.poolLog == nil {
			continue // it does not know yet what it has
		}
		ready++
	}
	if w.base != nil {
		existed, ok := w.base.existed(s)
		if !ok || existed {
			return // it waits for somebody who knows the pool
		}
	}
	if place >= 0 && ready >= quorum.FirstStart(len(w.topology)) {
		s.id.number = uint64(place + 1)
	}
}

// begun reports whether this server knows of a pool that exists.
func (s *server) begun() bool {
	return s.view.Open() || s.id.claimed || s.poolLog != nil && s.poolLog.Status().LastIndex > 1
}

// askToJoin has a server of the pool propose that this one has started.
func (s *server) askToJoin(by *server) {
	if s.claim != nil {
		if result, err, done := s.claim.Done(); done {
			s.claim = nil
			if p, err := poolstate.Result(result, err); err == nil {
				if me := p.Server(s.name); me != nil {
					s.id.number, s.id.late, s.id.claimed = me.Number, !me.First, true
					s.w.say("%s is number %d", s, me.Number)
				}
			}
			return
		}
		if s.w.chance.percent(90) {
			return
		}
	}
	if by.host == nil || by.poolLog == nil {
		return
	}
	s.claim, _ = by.host.Propose(by.poolLog, replica.ID{}, poolstate.Encode(&poolstate.Claim{FQDN: s.name, Instance: s.instance()}))
	by.soon()
}

func (s *server) instance() string { return fmt.Sprintf("folder %d", s.id.instance) }

// open opens the logs and takes part in the pool group.
func (s *server) open() {
	cfg := replica.Config{
		Dir: "groups", NodeID: s.id.number, Clock: &s.watch, FS: folder{s.disk.files, s.disk}, Database: logs{s.disk},
		Transport: wire{s}, Witness: quorum.Witness, TickInterval: tickEvery, SnapshotEntries: 25, ReserveBytes: -1,
		Log: slog.New(slog.DiscardHandler),
	}
	if s.w.base != nil {
		cfg.WitnessStore = desk{s}
	}
	host, err := replica.OpenStepped(context.Background(), cfg)
	if err != nil {
		s.w.fault(s, "opens its logs", err)
		return
	}
	host.Choose = s.w.chance.IntN
	s.host = host
	if s.poolLog, err = host.Start(context.Background(), uc.PoolGroup, &poolMachine{poolstate.New(), s}, s.firstMembers()); err != nil {
		s.w.fault(s, "opens the pool group", err)
		return
	}
	s.manager = poolmanager.New(poolmanager.Config{Pool: managed{s}, Clock: &s.watch, Log: slog.New(slog.DiscardHandler), ReplaceAfter: replaceAfter})
	s.later(s.watch.tick(tickEvery), s.tick)
	s.later(s.watch.tick(500*time.Millisecond), s.manage)
}

// firstMembers are those of the pool group of a pool that is started for the first time.
func (s *server) firstMembers() (first replica.Members) {
	if s.id.late {
		return first
	}
	n := s.w.opts.Servers
	for i := range n {
		if i < quorum.Seeds(n) {
			first.Voters = append(first.Voters, uint64(i+1))
		} else {
			first.Observers = append(first.Observers, uint64(i+1))
		}
	}
	if s.w.base != nil && quorum.HasWitness(n) {
		first.Voters = append(first.Voters, quorum.Witness)
	}
	return first
}

// tick lets the groups' time go on.
func (s *server) tick() {
	s.later(s.watch.tick(tickEvery), s.tick)
	if s.host == nil {
		return
	}
	s.host.Tick()
	s.soon()
}

// manage does a round of the pool manager.
func (s *server) manage() {
	s.later(s.watch.tick(500*time.Millisecond), s.manage)
	if s.host == nil {
		return
	}
	s.host.Look()
	s.manager.Round(context.Background(), func(_ string, f func(context.Context) error) bool {
		return f(context.Background()) == nil
	})
	s.soon()
}

// look opens the groups once the pool has them, and begins and ends to serve.
func (s *server) look() {
	s.rebuild()
	if s.host == nil || !s.view.Open() { // its disk may have failed in that
		return
	}
	for id := uc.GroupID(1); int(id) <= len(s.view.Groups); id++ {
		if s.host.Group(id) != nil {
			continue
		}
		var first replica.Members
		if voters, observers, ok := s.view.FirstMembers(id, s.number()); ok {
			first = replica.Members{Voters: voters, Observers: observers}
		}
		if !s.begin(id, func(m replica.Machine) (*replica.Group, error) {
			return s.host.Start(context.Background(), id, m, first)
		}) {
			return
		}
	}
	if s.leader(uc.PoolGroup) != nil {
		s.led = s.w.now
	}
	switch quorate := s.w.now-s.led < grace; {
	case s.serving && (!quorate || s.halted):
		s.w.say("%s serves no more", s)
		s.serving, s.agreed, s.claim = false, false, nil
	case !s.serving && !s.halted && s.led == s.w.now:
		s.agree()
	}
}

// begin starts a group with an empty state.
func (s *server) begin(id uc.GroupID, do func(replica.Machine) (*replica.Group, error)) bool {
	var machine replica.Machine = &poolMachine{poolstate.New(), s}
	l := &ledger{s: s, group: id}
	if id != uc.PoolGroup {
		machine = l
	}
	g, err := do(machine)
	if err != nil {
		s.w.fault(s, fmt.Sprintf("begins group %d", id), err)
		return false
	}
	if id == uc.PoolGroup {
		s.poolLog = g
	} else {
		s.machines[id] = l
	}
	return true
}

// rebuild gives up copies that the others have recovered a group without.
func (s *server) rebuild() {
	for _, st := range s.host.Status() {
		if !st.Superseded {
			continue
		}
		s.w.say("%s gives up its copy of group %d", s, st.Group)
		if err := s.host.Stop(context.Background(), st.Group, true); err != nil {
			s.w.fault(s, "gives up a copy", err)
			return
		}
		if !s.begin(st.Group, func(m replica.Machine) (*replica.Group, error) {
			return s.host.Start(context.Background(), st.Group, m, replica.Members{})
		}) {
			return
		}
	}
}

// agree tells the pool that this server has started; then it serves.
func (s *server) agree() {
	if s.claim == nil {
		s.claim, _ = s.host.Propose(s.poolLog, replica.ID{}, poolstate.Encode(&poolstate.Claim{FQDN: s.name, Instance: s.instance()}))
		return
	}
	result, err, done := s.claim.Done()
	if !done {
		return
	}
	s.claim = nil
	p, err := poolstate.Result(result, err)
	if err != nil {
		return
	}
	if me := p.Server(s.name); me == nil || me.Number != s.number() {
		s.w.say("%s is known under another number; its folder is emptied", s)
		s.destroy()
		s.w.after(time.Second, s.start)
		return
	}
	if p.Server(s.name).Draining && !s.halted {
		_, _ = s.host.Propose(s.poolLog, replica.ID{}, poolstate.Encode(&poolstate.Drain{FQDN: s.name}))
	}
	s.serving = true
	s.w.say("%s serves", s)
}

// leader is the server that leads a group as known here, nil for none.
func (s *server) leader(id uc.GroupID) *server {
	g := s.host.Group(id)
	if g == nil {
		return nil
	}
	n, primary := g.Leader()
	if n == 0 || n == s.number() && !primary {
		return nil
	}
	return s.numbered(n)
}

// numbered is the server of a number as known here, nil for none.
func (s *server) numbered(n uint64) *server {
	if x := s.view.ByNumber(n); x != nil {
		return s.w.named(x.FQDN)
	}
	if o := s.met[n]; o != nil {
		return o
	}
	if names := s.w.topology; !s.view.Open() && n > 0 && n <= uint64(len(names)) {
		return s.w.named(names[n-1])
	}
	return nil
}

// knows reports whether another server may send under a number; as role/frontend has it.
func (s *server) knows(from *server, n uint64) bool {
	if x := s.view.Server(from.name); x != nil && x.Number == n {
		return true
	}
	if n == 0 || n < s.view.Next || n >= quorum.Witness {
		return false
	}
	s.met[n] = from
	return true
}

// deliver takes what another server sent.
func (s *server) deliver(from *server, number uint64, batch []replica.Envelope) {
	life := s.life
	s.now(life, func() {
		if s.host == nil || !s.knows(from, number) {
			return
		}
		for _, e := range batch {
			s.w.trace.number(uint64(e.Group))
			s.w.trace.bytes(e.Data)
		}
		if err := s.host.Step(number, batch); err != nil {
			s.w.violated("messages", "%s refuses what %s sends: %v", s, from, err)
		}
		s.soon()
	})
}

// poolAt is how far this server's view of the pool is.
func (s *server) poolAt() uint64 {
	if s.poolLog == nil {
		return 0
	}
	return s.poolLog.Status().Applied
}

// poolMachine is the state of the pool group, which the server looks at.
type poolMachine struct {
	*poolstate.State
	s *server
}

var _ replica.Machine = (*poolMachine)(nil)

// Apply implements replica.Machine.
func (m *poolMachine) Apply(index uint64, cmd []byte) (any, []any) {
	was := m.Pool().Open()
	result, events := m.State.Apply(index, cmd)
	m.s.view = m.Pool()
	if !was && m.Pool().Open() {
		m.s.w.judge.opened(m.s)
	}
	return result, events
}

// Restore implements replica.Machine.
func (m *poolMachine) Restore(r io.Reader) error {
	err := m.State.Restore(r)
	m.s.view = m.Pool()
	return err
}
