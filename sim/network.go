package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"trivet/replica"
	"trivet/rule/quorum"
)

// line is one direction between two servers, or between a server and the database.
type line struct{ from, to *server } // nil: the database

// network carries what servers send to one another.
type network struct {
	w       *world
	cut     map[line]bool
	slow    map[line]time.Duration
	lost    int           // percent
	doubled int           // percent
	wild    time.Duration // by how much messages may overtake one another
}

func newNetwork(w *world) network {
	return network{w: w, cut: map[line]bool{}, slow: map[line]time.Duration{}}
}

// heal makes every line as it should be.
func (n *network) heal() {
	clear(n.cut)
	clear(n.slow)
	n.lost, n.doubled, n.wild = 0, 0, 0
}

// delay is how long something takes on a line; lost is true when it does not come.
func (n *network) delay(l line) (d time.Duration, lost bool) {
	if n.cut[l] || n.lost > 0 && n.w.chance.percent(n.lost) {
		return 0, true
	}
	d = n.w.chance.between(200*time.Microsecond, 2*time.Millisecond) + n.slow[l]
	if n.wild > 0 {
		d += n.w.chance.between(0, n.wild)
	}
	return d, false
}

// talk reports whether a question would be answered.
func (n *network) talk(a, b *server) bool {
	return a == b || b.runs() && !n.cut[line{a, b}] && !n.cut[line{b, a}]
}

// wire is what a server's groups send by.
type wire struct{ s *server }

var _ replica.Transport = wire{}

// Send implements replica.Transport.
func (x wire) Send(to uint64, batch []replica.Envelope) {
	s := x.s
	dest := s.numbered(to)
	if dest == nil || to == quorum.Witness {
		return
	}
	w := s.w
	copies := 1
	if w.net.doubled > 0 && w.chance.percent(w.net.doubled) {
		copies = 2
	}
	batch = append([]replica.Envelope(nil), batch...)
	from := s.number()
	for range copies {
		d, lost := w.net.delay(line{s, dest})
		w.counts.Messages++
		if lost {
			continue
		}
		w.after(d, func() { dest.deliver(s, from, batch) })
	}
}

// Snapshot implements replica.Transport. It takes no time; what it does to raft is in how
// it ends.
func (x wire) Snapshot(ctx context.Context, to uint64, e replica.Envelope, body io.Reader) error {
	s := x.s
	dest := s.numbered(to)
	if dest == nil || !s.w.net.talk(s, dest) || dest.host == nil || !dest.knows(s, s.number()) {
		return errCut
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	s.w.counts.Snapshots++
	if s.w.chance.percent(5) { // the stream breaks
		b = b[:s.w.chance.IntN(len(b))]
	}
	err = dest.host.Receive(ctx, s.number(), e, bytes.NewReader(b))
	dest.soon()
	if s.w.chance.percent(5) { // the answer does not come
		return errCut
	}
	return err
}

var errCut = errors.New("the line is cut")
