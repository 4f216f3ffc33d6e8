package registrar

import (
	"context"

	"trivet/rule/groupstate"
)

// sweepBatch bounds the users of one Sweep command, so that the expiry of many at
// once does not hold others up.
const sweepBatch = 500

// sweep removes what expires in a group for as long as the service runs, whenever this
// server leads the group. After an error there is another chance next time.
func (r *Registrar) sweep(ctx context.Context, g Group) error {
	tick := r.cfg.Clock.NewTicker(r.cfg.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
		for more := g.Primary() && r.due(ctx, g); more && ctx.Err() == nil; {
			done, err := result[groupstate.SweepResult](g.Propose(ctx, &groupstate.Sweep{Now: r.now(), Max: sweepBatch}))
			more = err == nil && done.More
		}
	}
}

func (r *Registrar) due(ctx context.Context, g Group) (due bool) {
	err := g.Read(ctx, func(s *groupstate.State) {
		at, ok := s.NextExpiry()
		due = ok && at <= r.now()
	})
	return err == nil && due
}
