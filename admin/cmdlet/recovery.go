package cmdlet

import (
	"context"

	"trivet/fault"
	"trivet/uc"
)

// Recovery brings a pool back that has lost too much to go on by itself.
type Recovery interface {
	// Plan says what QuorumLoss would do: a step for every group without a primary.
	Plan(ctx context.Context) ([]RecoveryStep, error)
	// QuorumLoss has each group without a primary go on with the newest copy that is left.
	QuorumLoss(ctx context.Context) ([]RecoveryStep, error)
	// Restart starts the services of all servers anew, one after the other.
	Restart(ctx context.Context) error
	// MachineLost says that a server's data is lost for good: its copies are replaced at
	// once, and it joins as a new server when it comes back.
	MachineLost(ctx context.Context, name uc.ServerFQDN) error
	// Await waits until the pool and every group can be used; when ctx ends before, it
	// says what is waited for.
	Await(ctx context.Context) (waits string, err error)
}

// RecoveryStep is what is done about a group.
type RecoveryStep struct {
	Service   string
	Group     uc.GroupID
	Source    string        // Replica, BackEnd, None
	Server    uc.ServerFQDN // whose copy it is, or that begins it anew
	Missing   []uc.ServerFQDN
	MayBeLost string
	Users     int // whose data it is
}

// recovery returns what brings the pool back, or the error that there is none.
func (c *Call) recovery(op, poolFqdn string) (Recovery, error) {
	if poolFqdn != "" {
		if _, err := c.pool(poolFqdn); err != nil {
			return nil, wrong("PoolFqdn", "needs a pool of this deployment (%s), not %q", c.Deployment.Pool().FQDN(), clip(poolFqdn))
		}
	}
	if r := c.Deployment.Recovery(); r != nil {
		return r, nil
	}
	return nil, fault.Newf(fault.NotFound, op, "%s is a Standard Edition server: it has one copy of everything, and trivet restore brings it back from a backup", c.Deployment.Pool().FQDN()).About("PoolFqdn")
}
