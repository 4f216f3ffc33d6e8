package sim

import (
	"time"

	"trivet/replica"
)

// soon lets a server's host go on until only the disk or the database has something to
// do, each of which takes its time.
func (s *server) soon() {
	if s.stirring || !s.runs() || s.host == nil {
		return
	}
	s.stirring = true
	defer func() { s.stirring = false }()
	for s.up && s.host != nil {
		i, n := -1, 0
		parts := s.host.Parts()
		for k, p := range parts {
			switch {
			case p.Writes():
				s.write()
			case p.AsksWitness():
				s.ask()
			default:
				if n++; s.w.chance.IntN(n) == 0 { // each as likely
					i = k
				}
			}
		}
		if i < 0 {
			break
		}
		s.step(parts[i])
	}
	if s.up && s.host != nil {
		s.answer()
		s.w.judge.look(s)
	}
}

// step runs a part of the host.
func (s *server) step(p replica.Part) {
	if err := s.host.Run(p); err != nil && !s.disk.trapped && !s.disk.fails {
		s.w.violated("host", "a part of %s failed: %v", s, err)
	}
	s.weather()
}

// weather does what follows from a disk that failed in what was just done.
func (s *server) weather() {
	switch {
	case s.disk.trapped:
		s.powerOff()
		s.w.after(s.w.chance.between(time.Second, 4*time.Second), s.start)
	case s.host != nil && s.host.Err() != nil:
		s.w.fault(s, "writes", s.host.Err())
	}
}

// write has the logs written in a while.
func (s *server) write() {
	if s.writing {
		return
	}
	s.writing = true
	d := s.w.chance.between(100*time.Microsecond, 3*time.Millisecond)
	if s.w.harm.sluggish[s] {
		d = s.w.chance.between(100*time.Millisecond, 1500*time.Millisecond)
	}
	s.later(d, func() {
		s.writing = false
		for _, p := range s.host.Parts() {
			if p.Writes() {
				s.step(p)
				break
			}
		}
		s.soon()
	})
}

// ask has the witness asked in a while.
func (s *server) ask() {
	if s.asking {
		return
	}
	s.asking = true
	s.later(s.w.chance.between(time.Millisecond, 10*time.Millisecond), func() {
		s.asking = false
		for _, p := range s.host.Parts() {
			if p.AsksWitness() {
				s.step(p)
				break
			}
		}
		s.soon()
	})
}

// fault ends a process that cannot go on, and has it started again: a disk that fails, or
// a fault of the program.
func (w *world) fault(s *server, doing string, err error) {
	if !s.disk.trapped && !s.disk.fails && s.disk.free == plenty {
		w.violated("host", "%s fails when it %s: %v", s, doing, err)
	}
	s.stop("its disk fails")
	if s.disk.trapped {
		s.powerOff()
	}
	w.after(w.chance.between(time.Second, 3*time.Second), s.start)
}
