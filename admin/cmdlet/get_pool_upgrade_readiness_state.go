package cmdlet

import (
	"context"
	"slices"

	"trivet/rule/quorum"
	"trivet/uc"
)

// GetPoolUpgradeReadinessState says whether an upgrade domain may be taken down.
type GetPoolUpgradeReadinessState struct{}

// readinessRow is the state of the pool.
type readinessRow struct {
	PoolUpgradeState     string // Ready, Busy, InsufficientActiveFrontEnds
	TotalFrontEnds       int
	TotalActiveFrontEnds int
	UpgradeDomains       []domainState
}

// domainState is an upgrade domain.
type domainState struct {
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
		c.Write(readiness(s))
	}
	return err
}

// readiness judges a pool. It is Busy while a copy is missing or behind, which has to be
// over before more copies are taken away.
func readiness(s FabricState) readinessRow {
	row := readinessRow{PoolUpgradeState: "Ready", TotalFrontEnds: len(s.Servers)}
	domains := map[int]*domainState{}
	for _, x := range s.Servers {
		if x.Live && !x.Draining {
			row.TotalActiveFrontEnds++
		}
		if domains[x.Domain] == nil {
			domains[x.Domain] = &domainState{Name: x.Domain}
		}
		domains[x.Domain].FrontEnds = append(domains[x.Domain].FrontEnds, x.FQDN)
	}
	for _, g := range s.Groups {
		if live, of := g.Redundancy(); !g.Quorum() || live < of || behind(g) {
			row.PoolUpgradeState = "Busy"
		}
	}
	able := 0
	for _, d := range domains {
		d.Why = loses(s, d.FrontEnds)
		if d.Why == "" {
			able++
		}
		if d.ReadyForUpgrade = d.Why == "" && row.PoolUpgradeState == "Ready"; !d.ReadyForUpgrade && d.Why == "" {
			d.Why = "copies are missing or behind"
		}
		row.UpgradeDomains = append(row.UpgradeDomains, *d)
	}
	if able == 0 {
		row.PoolUpgradeState = "InsufficientActiveFrontEnds"
	}
	slices.SortFunc(row.UpgradeDomains, func(a, b domainState) int { return a.Name - b.Name })
	return row
}

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
