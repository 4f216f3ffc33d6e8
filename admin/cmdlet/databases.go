package cmdlet

import (
	"context"

	"trivet/fault"
)

// Databases are those of the pool's Back End.
type Databases interface {
	// MirrorState tells of each database how it is mirrored, in the product's words.
	MirrorState(ctx context.Context) ([]MirrorState, error)
	// Failover makes the server that the topology calls "Primary" or "Mirror" the
	// principal; it is refused while that lacks something that was acknowledged.
	Failover(ctx context.Context, principal string) error
	// Test says of each database whether it can be used.
	Test(ctx context.Context) ([]DatabaseTest, error)
	// Install makes the databases and the role of the Front Ends where they are
	// missing, and says what it made.
	Install(ctx context.Context) ([]string, error)
}

// MirrorState is how a database is mirrored.
type MirrorState struct {
	DatabaseName             string
	StateOnPrimary           string
	StateOnMirror            string
	MirroringStatusOnPrimary string
	MirroringStatusOnMirror  string
}

// DatabaseTest is whether a database can be used.
type DatabaseTest struct {
	DatabaseName string
	Succeed      bool
	Diagnosis    string // what is wrong, "" for nothing
}

// backEnd returns the databases of a pool, or the error that the pool does not have the
// role.
func (c *Call) backEnd(op, poolFqdn string) (Databases, error) {
	if poolFqdn != "" {
		if _, err := c.pool(poolFqdn); err != nil {
			return nil, wrong("PoolFqdn", "needs a pool of this deployment (%s), not %q", c.Deployment.Pool().FQDN(), clip(poolFqdn))
		}
	}
	if d := c.Deployment.Databases(); d != nil {
		return d, nil
	}
	return nil, fault.Newf(fault.NotFound, op, "the role UserDatabase is not present in the pool %s: a Standard Edition keeps everything on its own disk", c.Deployment.Pool().FQDN()).About("PoolFqdn")
}
