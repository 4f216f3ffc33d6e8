package backstore

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/rule/mirroring"
)

// pair is two servers and the pool, as a test wants them.
type pair struct {
	now     time.Time
	known   mirroring.Pair
	servers [3]mirroring.Server
	follow  mirroring.Side
	lost    int
}

func (p *pair) Look(_ context.Context, side mirroring.Side) mirroring.Server { return p.servers[side] }
func (p *pair) Follow(side mirroring.Side)                                   { p.follow = side }
func (p *pair) Wait(_ context.Context, side mirroring.Side, wait bool) error {
	p.servers[side].Waiting, p.servers[side].Synchronized = wait, wait && p.servers[side].Attached
	return nil
}
func (p *pair) Promote(_ context.Context, side mirroring.Side) error {
	p.servers[side] = mirroring.Server{Side: side, Reached: true, Principal: true}
	return nil
}
func (p *pair) Pair() mirroring.Pair { return p.known }
func (p *pair) SetPair(_ context.Context, from, to mirroring.Pair) error {
	if from != p.known {
		return fault.New(fault.Stale, "test", "another pair")
	}
	p.known = to
	return nil
}
func (p *pair) Leads() bool                       { return true }
func (p *pair) Survey(context.Context) (int, int) { return 3, p.lost }

// watch is a clock whose time the test sets.
type watch struct {
	clock.Real
	*pair
}

func (w watch) Now() time.Time { return w.now }

func TestAPairFailsOver(t *testing.T) {
	t.Parallel()
	p := &pair{now: time.UnixMilli(0)}
	p.servers[mirroring.Primary] = mirroring.Server{Side: mirroring.Primary, Reached: true, Principal: true, Attached: true}
	p.servers[mirroring.Mirror] = mirroring.Server{Side: mirroring.Mirror, Reached: true, Attached: true}
	m := NewMirroring(p, p, watch{pair: p}, slog.New(slog.DiscardHandler))
	step := func(want mirroring.Action) {
		t.Helper()
		if a, err := m.Step(t.Context()); a != want || err != nil {
			t.Fatalf("%v %v, want %v", a, err, want)
		}
		p.now = p.now.Add(mirrorInterval)
	}
	if err := m.Failover(t.Context(), mirroring.Mirror); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("to a mirror that lacks something: %v", err)
	}
	step(mirroring.Wait)
	step(mirroring.MarkSynchronized)
	step(mirroring.Nothing)
	p.servers[mirroring.Primary] = mirroring.Server{Side: mirroring.Primary}
	step(mirroring.Nothing)
	if m.Lost() {
		t.Error("lost after a moment")
	}
	p.now = p.now.Add(patience)
	if !m.Lost() {
		t.Error("not lost after a while")
	}
	p.lost = 2
	step(mirroring.MarkFailover)
	if p.follow != mirroring.Mirror || !p.servers[mirroring.Mirror].Principal || p.known != (mirroring.Pair{OnMirror: true}) {
		t.Errorf("after the failover: %+v", p)
	}
	p.lost = 0
	step(mirroring.Nothing)
	if err := m.Failover(t.Context(), mirroring.Mirror); fault.KindOf(err) != fault.Exists {
		t.Errorf("to where it is: %v", err)
	}
}
