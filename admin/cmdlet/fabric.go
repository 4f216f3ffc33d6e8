package cmdlet

import (
	"context"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// Fabric is the pool's groups and the servers that hold them.
type Fabric interface {
	// State is the whole picture, as the server that is asked sees it and the leaders of
	// the groups tell.
	State(ctx context.Context) (FabricState, error)
	// GroupOf is the routing group of a user.
	GroupOf(user uc.UserURI) (uc.GroupID, error)
	// StopServices stops the services of a server; gracefully: once it leads nothing and
	// runs no conference, or drain is over. StartServices starts them again.
	StopServices(ctx context.Context, server uc.ServerFQDN, graceful bool, drain time.Duration) error
	StartServices(ctx context.Context, server uc.ServerFQDN) error
	// Services are those of all servers of the pool, which are asked; of one that does
	// not answer it is said why.
	Services(ctx context.Context) ([]Service, error)
	// BeginUpgrade begins a rolling upgrade, CancelUpgrade ends it where it is, Upgrade
	// says how far it has come.
	BeginUpgrade(ctx context.Context, by string, ready, drain time.Duration) error
	CancelUpgrade(ctx context.Context) error
	Upgrade(ctx context.Context) (Upgrade, error)
}

// Upgrade is a rolling upgrade under way, or the last one.
type Upgrade struct {
	State   string // None, Running, Ended, Cancelled
	By      string
	Waits   string // for what, while it runs
	Domains []UpgradeDomain
}

// UpgradeDomain is how far a domain is.
type UpgradeDomain struct {
	Name     int
	State    string // Pending, Stopping, Stopped, Upgraded
	Servers  []uc.ServerFQDN
	Versions []string // of the programs that the servers run, "" for unknown
}

// FabricState is how a pool's groups are.
type FabricState struct {
	Pool    uc.PoolFQDN
	Servers []FabricServer
	Groups  []FabricGroup // the pool group, the directory group, routing groups in order
	// Votes that the pool group has, those that are present, and those it needs.
	Votes, Present, Needed int
	// Witness is "", when the pool has none, "Up", "Down" or "Unknown".
	Witness string
}

// FabricServer is a Front End.
type FabricServer struct {
	Number   uint64
	FQDN     uc.ServerFQDN
	Domain   int // upgrade domain
	Seed     bool
	Live     bool
	Draining bool
	Since    time.Time // up or down since, as far as the server that is asked knows
	Leads    int       // groups
	Votes    int       // groups in which it is a voter
}

// Kinds of groups, by the names under which they are shown.
const (
	PoolService      = "Pool"
	DirectoryService = "Directory"
	RoutingService   = "Routing"
)

// FabricGroup is a group.
type FabricGroup struct {
	Service    string
	Group      uc.GroupID
	Primary    uc.ServerFQDN // "" for none
	Preferred  uc.ServerFQDN // that is to lead; "" where it does not matter
	Generation uint64        // how often it was recovered
	Wanted     int           // copies with a vote that it is to have; 0: as many as it has
	Replicas   []FabricReplica
}

// FabricReplica is a copy of a group.
type FabricReplica struct {
	Server uc.ServerFQDN // or Witness
	Role   string        // Primary, Secondary, Observer, Witness
	Live   bool
	Known  bool   // Behind is known: the primary was asked
	Behind uint64 // entries
}

// Roles of replicas.
const (
	RolePrimary   = "Primary"
	RoleSecondary = "Secondary"
	RoleObserver  = "Observer"
	RoleWitness   = "Witness"
)

// Redundancy is how many voters with data are there, and how many there should be.
func (g FabricGroup) Redundancy() (live, of int) {
	for _, r := range g.Replicas {
		if r.Role == RolePrimary || r.Role == RoleSecondary {
			of++
			if r.Live {
				live++
			}
		}
	}
	return live, max(of, g.Wanted)
}

// Quorum reports whether the group has a primary.
func (g FabricGroup) Quorum() bool { return g.Primary != "" }

// fabric returns the groups of a pool, or the error that there is nothing to ask.
func (c *Call) fabric(op, poolFqdn string) (Fabric, error) {
	if poolFqdn != "" {
		if _, err := c.pool(poolFqdn); err != nil {
			return nil, wrong("PoolFqdn", "needs a pool of this deployment (%s), not %q", c.Deployment.Pool().FQDN(), clip(poolFqdn))
		}
	}
	if f := c.Deployment.Fabric(); f != nil {
		return f, nil
	}
	return nil, fault.Newf(fault.NotFound, op, "%s is a Standard Edition server: it keeps one copy of everything, and there is no fabric", c.Deployment.Pool().FQDN()).About("PoolFqdn")
}
