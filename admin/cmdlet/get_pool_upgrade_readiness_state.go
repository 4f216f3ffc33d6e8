package cmdlet

import (
	"context"
	"slices"

	"trivet/rule/quorum"
	"trivet/uc"
)

// GetPoolUpgradeReadinessState says whether an upgrade domain may be taken down.
type GetPoolUpgradeReadinessState struct{}

// Readiness is whether a pool can bear an upgrade domain to be taken down.
type Readiness struct {
	PoolUpgradeState     string // Ready, Busy, InsufficientActiveFrontEnds
	TotalFrontEnds       int
	TotalActiveFrontEnds int
	UpgradeDomains       []DomainReadiness
	Why                  string `json:",omitempty"` // it is Busy
}

// DomainReadiness is an upgrade domain's.
type DomainReadiness struct {
	Name            int
	FrontEnds       []uc.ServerFQDN
	ReadyForUpgrade bool
	Why             string // it is not
}

var getPoolUpgradeReadinessState = Cmdlet{
	Name: "Get-CsPoolUpgradeReadinessState", Synopsis: "Says whether the servers of an upgrade domain may be taken down now without anybody being left without service.",
	Example: `Get-CsPoolUpgradeReadinessState`,
	Roles:   viewers, Table: []string{"PoolUpgradeState", "TotalFrontEnds", "TotalActiveFrontEnds", "UpgradeDomains"},
	New: func() Runner { return &GetPoolUpgradeReadinessState{} },
}

// Run implements Runner.
func (p *GetPoolUpgradeReadinessState) Run(ctx context.Context, c *Call) error {
	f, err := c.fabric("cmdlet.GetPoolUpgradeReadinessState", "")
	if err != nil {
		return err
	}
	s, err := f.State(ctx)
	if err == nil {
		c.Write(s.Readiness())
	}
	return err
}

// Readiness judges a pool. It is Busy while a server is drained or stopped, or a copy is
// missing or behind, which has to be over before more copies are taken away.
func (s FabricState) Readiness() Readiness {
	row := Readiness{PoolUpgradeState: "Ready", TotalFrontEnds: len(s.Servers)}
	domains := map[int]*DomainReadiness{}
	for _, x := range s.Servers {
		if x.Live && !x.Draining {
			row.TotalActiveFrontEnds++
		}
		if x.Draining {
			row.PoolUpgradeState, row.Why = "Busy", string(x.FQDN)+" is being stopped or is stopped"
		}
		if domains[x.Domain] == nil {
			domains[x.Domain] = &DomainReadiness{Name: x.Domain}
		}
		domains[x.Domain].FrontEnds = append(domains[x.Domain].FrontEnds, x.FQDN)
	}
	for _, g := range s.Groups {
		if live, of := g.Redundancy(); !g.Quorum() || live < of || behind(g) {
			row.PoolUpgradeState, row.Why = "Busy", groupsAreNot
		}
	}
	able := 0
	for _, d := range domains {
		d.Why = loses(s, d.FrontEnds)
		if d.Why == "" {
			able++
		}
		if d.ReadyForUpgrade = d.Why == "" && row.PoolUpgradeState == "Ready"; !d.ReadyForUpgrade && d.Why == "" {
			d.Why = row.Why
		}
		row.UpgradeDomains = append(row.UpgradeDomains, *d)
	}
	if able == 0 {
		row.PoolUpgradeState = "InsufficientActiveFrontEnds"
	}
	slices.SortFunc(row.UpgradeDomains, func(a, b DomainReadiness) int { return a.Name - b.Name })
	return row
}

const groupsAreNot = "copies are missing or behind"

// behindTooFar is how many entries a copy may lack of the primary's.
const behindTooFar = 1000

func behind(g FabricGroup) bool {
	return slices.ContainsFunc(g.Replicas, func(r FabricReplica) bool {
		return r.Role == RoleSecondary && r.Known && r.Behind > behindTooFar
	})
}

// loses says what would be without a quorum if servers went, "" for nothing.
func loses(s FabricState, servers []uc.ServerFQDN) string {
	for _, g := range s.Groups {
		votes, left := 0, 0
		for _, r := range g.Replicas {
			if r.Role == RoleObserver {
				continue
			}
			votes++
			if r.Live && !slices.Contains(servers, r.Server) {
				left++
			}
		}
		if left < quorum.Majority(votes) {
			return "a group would lose its quorum: " + g.Service
		}
	}
	return ""
}
