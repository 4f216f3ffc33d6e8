package registrar

import (
	"context"
	"errors"
	"slices"

	"trivet/rule/groupstate"
	"trivet/uc"
)

// ServerLost detaches the endpoints of a server of the pool that has died, in the groups
// that this server leads: they have the time of grace to come back, to whichever server.
// Every server that learns of the death calls it, and a server that comes to lead a
// group calls it for those that are dead by then.
func (r *Registrar) ServerLost(ctx context.Context, server uc.ServerFQDN) error {
	r.mu.Lock()
	groups := slices.Clone(r.groups)
	r.mu.Unlock()
	var failed error
	for _, g := range groups {
		if server == r.cfg.FQDN || !g.Primary() {
			continue
		}
		newest, some := uint64(0), false
		err := g.Read(ctx, func(s *groupstate.State) { newest, some = newestRun(s, server) })
		if err == nil && some {
			err = r.restarted(ctx, g, server, newest+1)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// newestRun is the newest run of a server over which somebody is registered. A later
// one, that begins meanwhile, is not meant.
func newestRun(s *groupstate.State, server uc.ServerFQDN) (epoch uint64, some bool) {
	for u := range s.Users() {
		bindings := u.Bindings()
		for i := range bindings {
			if b := &bindings[i]; b.Flow.Server == server && !b.Detached && b.Flow.Transport != "udp" {
				epoch, some = max(epoch, b.Flow.Epoch), true
			}
		}
	}
	return epoch, some
}

// restarted detaches what hangs on runs of a server before epoch.
func (r *Registrar) restarted(ctx context.Context, g Group, server uc.ServerFQDN, epoch uint64) error {
	cmd := &groupstate.Restarted{Server: server, Epoch: epoch, Now: r.now(), Grace: r.cfg.Grace.Milliseconds()}
	_, err := result[groupstate.DetachResult](g.Propose(ctx, cmd))
	return err
}
