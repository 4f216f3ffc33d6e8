package cmdlet

import (
	"context"
	"fmt"
	"strings"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// GetPoolFabricState shows where the copies of a pool's groups are.
type GetPoolFabricState struct {
	PoolFqdn     string `param:"pos=1" help:"Pool; without it the pool of this server"`
	Type         string `values:"All|Pool|Directory|Routing|Server" help:"Only groups of that kind; Server: the servers instead"`
	RoutingGroup int    `help:"Only that routing group, each copy on a line of its own"`
	UserUri      string `help:"Only the routing group of that user, each copy on a line of its own"`
	ShowAll      bool   `help:"Each copy on a line of its own"`
}

// fabricRow is a group.
type fabricRow struct {
	Service     string
	Group       uc.GroupID
	State       string // Healthy, Degraded, QuorumLoss
	Primary     uc.ServerFQDN
	Secondaries string
	Missing     string // copies that are not there
	Copies      string // live of wanted
	Behind      uint64 // of the voter that is furthest behind
}

// serverRow is a Front End.
type serverRow struct {
	Server        uc.ServerFQDN
	Number        uint64
	State         string // Up, Draining, Down
	Since         time.Time
	UpgradeDomain int
	Seed          bool
	Leads         int    // groups
	Votes         int    // groups in which it is a voter
	PoolVotes     string // of the pool as a whole: present of all, needed
}

// replicaRow is a copy of a group.
type replicaRow struct {
	Service string
	Group   uc.GroupID
	Server  uc.ServerFQDN
	Role    string
	State   string // Up, Down
	Behind  string
}

var getPoolFabricState = Cmdlet{
	Name: "Get-CsPoolFabricState", Synopsis: "Shows for each group of a pool which server leads it, where its copies are, and what is missing.",
	Example: `Get-CsPoolFabricState -PoolFqdn pool1.example.test -UserUri alice@example.test`,
	Roles:   viewers, Table: []string{"Service", "Group", "Server", "Number", "Role", "State", "Since", "UpgradeDomain", "Seed", "Leads", "Votes", "PoolVotes", "Primary", "Secondaries", "Missing", "Copies", "Behind"},
	New: func() Runner { return &GetPoolFabricState{} },
}

// Run implements Runner.
func (p *GetPoolFabricState) Run(ctx context.Context, c *Call) error {
	f, err := c.fabric("cmdlet.GetPoolFabricState", p.PoolFqdn)
	if err != nil {
		return err
	}
	only := uc.GroupID(p.RoutingGroup)
	if p.UserUri != "" {
		if c.Deployment.Users() == nil {
			return fault.New(fault.Unavailable, "cmdlet.GetPoolFabricState", "users cannot be looked up while the services of this server do not run; ask for -RoutingGroup").About("UserUri")
		}
		u, err := c.Deployment.Users().Find(ctx, p.UserUri)
		if err != nil {
			return err
		}
		if only, err = f.GroupOf(u.SipAddress); err != nil {
			return err
		}
	}
	s, err := f.State(ctx)
	if err != nil {
		return err
	}
	if p.Type == "Server" {
		c.servers(s)
		return nil
	}
	shown := 0
	for _, g := range s.Groups {
		if only != 0 && (g.Service != RoutingService || g.Group != only) || p.Type != "" && p.Type != "All" && p.Type != g.Service {
			continue
		}
		shown++
		if p.ShowAll || only != 0 {
			c.replicas(g)
		} else {
			c.Write(fabricRowOf(g))
		}
	}
	if only != 0 && shown == 0 {
		return wrong("RoutingGroup", "needs a routing group of the pool, 1 to %d, not %d", len(s.Groups)-2, only)
	}
	return nil
}

func (c *Call) servers(s FabricState) {
	for _, x := range s.Servers {
		row := serverRow{
			Server: x.FQDN, Number: x.Number, State: "Up", Since: x.Since, UpgradeDomain: x.Domain, Seed: x.Seed, Leads: x.Leads, Votes: x.Votes,
			PoolVotes: fmt.Sprintf("%d of %d, %d needed", s.Present, s.Votes, s.Needed),
		}
		switch {
		case !x.Live:
			row.State = "Down"
		case x.Draining:
			row.State = "Draining"
		}
		c.Write(row)
	}
}

func (c *Call) replicas(g FabricGroup) {
	for _, r := range g.Replicas {
		row := replicaRow{Service: g.Service, Group: g.Group, Server: r.Server, Role: r.Role, State: "Up", Behind: "unknown"}
		if !r.Live {
			row.State = "Down"
		}
		if r.Known {
			row.Behind = fmt.Sprint(r.Behind)
		}
		c.Write(row)
	}
}

// fabricRowOf sums a group up.
func fabricRowOf(g FabricGroup) fabricRow {
	row := fabricRow{Service: g.Service, Group: g.Group, Primary: g.Primary}
	var secondaries, missing []string
	for _, r := range g.Replicas {
		if r.Role == RoleObserver {
			continue
		}
		if !r.Live {
			missing = append(missing, string(r.Server))
		}
		if r.Role == RoleSecondary {
			secondaries = append(secondaries, string(r.Server))
		}
		if r.Known && r.Live && r.Role == RoleSecondary {
			row.Behind = max(row.Behind, r.Behind)
		}
	}
	live, of := g.Redundancy()
	row.Secondaries, row.Missing, row.Copies = strings.Join(secondaries, ", "), strings.Join(missing, ", "), fmt.Sprintf("%d of %d", live, of)
	switch {
	case !g.Quorum():
		row.State = "QuorumLoss"
	case live < of || len(missing) > 0:
		row.State = "Degraded"
	default:
		row.State = "Healthy"
	}
	return row
}
