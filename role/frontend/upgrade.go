package frontend

import (
	"context"
	"slices"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/rule/poolstate"
	"trivet/rule/upgrade"
	"trivet/uc"
)

// driveUpgrade goes on with a rolling upgrade while this server leads the pool group.
func (m *member) driveUpgrade(ctx context.Context) error {
	v := fabricView{m.ground}
	for pause(ctx, m.clock, time.Second) == nil {
		if u := m.fabric.state().Upgrade; u.UnderWay() && m.fabric.groupStarted().Status().Primary {
			if err := v.stepUpgrade(ctx, u); err != nil && ctx.Err() == nil {
				m.log.Warn("the upgrade of the pool could not go on yet", "err", err)
			}
		}
	}
	return nil
}

// stepUpgrade takes the step that is due.
func (v fabricView) stepUpgrade(ctx context.Context, u poolstate.Upgrade) error {
	view, err := v.upgradeView(ctx)
	if err != nil {
		return err
	}
	s := upgrade.Next(u, view, v.clock.Now())
	switch s.Do {
	case upgrade.Note:
		v.log.Info("upgrade of the pool", "step", s.Why)
		return v.putUpgrade(ctx, u, s.New)
	case upgrade.Stop:
		v.log.Info("upgrade of the pool", "step", s.Why, "servers", list(s.Servers))
		for _, name := range s.Servers {
			if err := v.StopServices(ctx, name, true, time.Duration(u.DrainTime)*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// upgradeView is the pool as the rule of upgrades sees it.
func (v fabricView) upgradeView(ctx context.Context) (upgrade.View, error) {
	state, err := v.State(ctx)
	if err != nil {
		return upgrade.View{}, err
	}
	out := upgrade.View{Unfit: map[int]string{}, Copies: copiesOf(state)}
	ready := state.Readiness()
	if ready.PoolUpgradeState == "Busy" {
		out.Busy = ready.Why
	}
	for _, d := range ready.UpgradeDomains {
		if d.Why != "" && !d.ReadyForUpgrade {
			out.Unfit[d.Name] = d.Why
		}
	}
	all := v.fabric.reports(ctx)
	for _, s := range state.Servers {
		r, ok := all[s.FQDN]
		x := upgrade.Server{FQDN: s.FQDN, Domain: s.Domain, Live: s.Live, Serving: r.Serving && !s.Draining, Halted: r.Halted, Waits: r.Waits}
		switch {
		case !ok:
			x.Waits = "something, and does not answer"
		case s.Draining && !r.Halted:
			x.Waits = "Start-CsWindowsService, since it is drained"
		}
		out.Servers = append(out.Servers, x)
	}
	return out, nil
}

// copiesOf sums up what the pool has of its groups.
func copiesOf(s cmdlet.FabricState) (c poolstate.Copies) {
	for _, g := range s.Groups {
		live, _ := g.Redundancy()
		c.Groups++
		c.Voters += live
		if g.Preferred != "" && g.Preferred == g.Primary {
			c.Home++
		}
	}
	return c
}

func (v fabricView) putUpgrade(ctx context.Context, was, is poolstate.Upgrade) error {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := v.fabric.propose(limited, &poolstate.PutUpgrade{Old: was, New: is})
	return err
}

// changeUpgrade has somebody begin or end one.
func (v fabricView) changeUpgrade(ctx context.Context, change func(poolstate.Upgrade) (poolstate.Upgrade, error)) error {
	if v.fabric.groupStarted() == nil {
		return fault.New(fault.Unavailable, "frontend.changeUpgrade", "this server has not found its place in the pool yet")
	}
	was := v.fabric.state().Upgrade
	is, err := change(was)
	if err != nil {
		return err
	}
	return v.putUpgrade(ctx, was, is)
}

// BeginUpgrade implements cmdlet.Fabric.
func (v fabricView) BeginUpgrade(ctx context.Context, by string, ready, drain time.Duration) error {
	return v.changeUpgrade(ctx, func(was poolstate.Upgrade) (poolstate.Upgrade, error) {
		return upgrade.Begin(was, by, ready, drain, v.clock.Now())
	})
}

// CancelUpgrade implements cmdlet.Fabric.
func (v fabricView) CancelUpgrade(ctx context.Context) error {
	return v.changeUpgrade(ctx, func(was poolstate.Upgrade) (poolstate.Upgrade, error) {
		return upgrade.Cancel(was, v.clock.Now())
	})
}

// Upgrade implements cmdlet.Fabric.
func (v fabricView) Upgrade(ctx context.Context) (cmdlet.Upgrade, error) {
	if v.fabric.groupStarted() == nil {
		return cmdlet.Upgrade{}, fault.New(fault.Unavailable, "frontend.Upgrade", "this server has not found its place in the pool yet")
	}
	u := v.fabric.state().Upgrade
	out := cmdlet.Upgrade{State: "None", By: u.By, Domains: domainsOf(u, v.fabric.state().Servers, v.fabric.reports(ctx))}
	switch {
	case u.UnderWay():
		view, err := v.upgradeView(ctx)
		if err != nil {
			return out, err
		}
		out.State, out.Waits = "Running", upgrade.Next(u, view, v.clock.Now()).Why
	case u.Ended && !slices.ContainsFunc(out.Domains, func(d cmdlet.UpgradeDomain) bool { return d.State != "Upgraded" }):
		out.State = "Ended"
	case u.Ended:
		out.State = "Cancelled"
	}
	return out, nil
}

// domainsOf are the upgrade domains with what runs on their servers, by number.
func domainsOf(u poolstate.Upgrade, servers []poolstate.Server, all map[uc.ServerFQDN]serverReport) (list []cmdlet.UpgradeDomain) {
	for _, s := range servers {
		i := slices.IndexFunc(list, func(d cmdlet.UpgradeDomain) bool { return d.Name == s.Domain })
		if i < 0 {
			i = len(list)
			list = append(list, cmdlet.UpgradeDomain{Name: s.Domain, State: stateOf(u, s.Domain)})
		}
		list[i].Servers = append(list[i].Servers, s.FQDN)
		list[i].Versions = append(list[i].Versions, all[s.FQDN].Version)
	}
	slices.SortFunc(list, func(a, b cmdlet.UpgradeDomain) int { return a.Name - b.Name })
	return list
}

func stateOf(u poolstate.Upgrade, domain int) string {
	switch {
	case slices.Contains(u.Done, domain):
		return "Upgraded"
	case u.Domain != domain:
		return "Pending"
	case u.Stopped:
		return "Stopped"
	}
	return "Stopping"
}
