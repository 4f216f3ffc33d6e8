package sim

import (
	"slices"
	"time"

	"trivet/fault"
	"trivet/replica"
	"trivet/uc"
)

// person writes and reads, one thing at a time, over whatever server answers.
type person struct {
	w     *world
	n     int
	seq   uint64
	quiet bool // asks for nothing any more
	op    *asked
}

// asked is one thing that somebody wants.
type asked struct {
	p       *person
	group   uc.GroupID
	key     int
	entry   entry // to be written; 0 for a read
	tries   int
	by      *server
	pending *replica.Pending
	since   time.Duration
	floor   int // entries that were promised before it was asked
	got     []entry
}

const (
	askPatience = 5 * time.Second
	maxTries    = 12
)

// act is a person's next thought.
func (p *person) act() {
	p.w.after(p.w.chance.between(10*time.Millisecond, 150*time.Millisecond), p.act)
	switch {
	case p.op != nil && p.op.pending == nil:
		p.ask()
	case p.op != nil && p.w.now-p.op.since > askPatience:
		p.op.lost()
	case p.op == nil && !p.quiet:
		p.want()
	}
}

// want thinks of something.
func (p *person) want() {
	w := p.w
	op := &asked{p: p, group: uc.GroupID(1 + w.chance.IntN(w.groups)), key: w.chance.IntN(keys)}
	if w.chance.percent(65) {
		p.seq++
		op.entry = entryOf(p.n, p.seq)
		w.book.begun(op)
	} else {
		op.floor = w.book.floor(op.group, op.key)
	}
	p.op = op
	p.ask()
}

// ask asks a server that serves.
func (p *person) ask() {
	var serving []*server
	for _, s := range p.w.servers {
		if s.runs() && s.serving && s.machines[p.op.group] != nil {
			serving = append(serving, s)
		}
	}
	if len(serving) == 0 {
		return
	}
	op := p.op
	if op.tries++; op.tries > maxTries || op.tries > 1 && p.quiet {
		p.op = nil // it may still be written
		return
	}
	s := pick(p.w.chance, serving)
	op.by, op.since = s, p.w.now
	m := s.machines[op.group]
	g := s.host.Group(op.group)
	if op.entry == 0 {
		op.pending = s.host.Read(g, func() { op.got = m.read(op.key) })
	} else {
		var err error
		op.pending, err = s.host.Propose(g, replica.ID{Client: uint64(p.n + 1), Seq: p.seq}, command(op.key, op.entry))
		if err != nil {
			op.pending = nil
			return
		}
	}
	s.waiting = append(s.waiting, op)
	s.soon()
}

// lost says that no answer will come.
func (a *asked) lost() {
	if a.by != nil {
		a.by.waiting = slices.DeleteFunc(a.by.waiting, func(o *asked) bool { return o == a })
	}
	a.pending, a.by = nil, nil
	if a.entry == 0 {
		a.p.op = nil
	}
}

// answer gives people what they have waited for.
func (s *server) answer() {
	for i := 0; i < len(s.waiting); {
		a := s.waiting[i]
		result, err, done := a.pending.Done()
		if !done {
			i++
			continue
		}
		s.waiting = slices.Delete(s.waiting, i, i+1)
		a.pending, a.by = nil, nil
		if err != nil && !fault.Is(err, fault.Gone) {
			if a.entry == 0 {
				a.p.op = nil
			}
			continue // a write is tried again
		}
		a.p.op = nil
		s.w.counts.Answers++
		if a.entry == 0 {
			s.w.book.read(s, a)
			continue
		}
		place, _ := result.(int)
		s.w.book.promised(s, a, place)
	}
}
