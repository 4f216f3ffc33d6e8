package admin_test

import (
	"context"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/uc"
)

// fakeFabric is a pool of two and the witness, one of which is down.
type fakeFabric struct{}

func (d *deployment) Fabric() cmdlet.Fabric {
	if !d.backEnd {
		return nil
	}
	return fakeFabric{}
}

func (fakeFabric) GroupOf(uc.UserURI) (uc.GroupID, error) { return 2, nil }

func (fakeFabric) StopServices(_ context.Context, name uc.ServerFQDN, _ bool, _ time.Duration) error {
	return fakeRecovery{}.MachineLost(context.Background(), name)
}

func (fakeFabric) StartServices(_ context.Context, name uc.ServerFQDN) error {
	return fakeRecovery{}.MachineLost(context.Background(), name)
}

func (fakeFabric) Services(context.Context) ([]cmdlet.Service, error) {
	return []cmdlet.Service{
		{Name: "RTCSRV", Role: "Registrar", Computer: "fe1.example.test", Running: true, Activity: "3 connections"},
		{Name: "RTCSRV", Role: "Registrar", Computer: "fe2.example.test", Activity: "unknown", Problem: "It cannot be reached."},
	}, nil
}

// An upgrade of fe1 is under way, until it is cancelled.
func (fakeFabric) BeginUpgrade(_ context.Context, by string, ready, drain time.Duration) error {
	return fault.Newf(fault.Exists, "test", "an upgrade is under way, not that of %s with %s and %s", by, ready, drain)
}

func (fakeFabric) CancelUpgrade(context.Context) error { return nil }

func (fakeFabric) Upgrade(context.Context) (cmdlet.Upgrade, error) {
	return cmdlet.Upgrade{State: "Running", By: "adam", Waits: "fe1.example.test is stopped: replace its program and restart it", Domains: []cmdlet.UpgradeDomain{
		{Name: 1, State: "Stopped", Servers: []uc.ServerFQDN{"fe1.example.test"}, Versions: []string{"1.1"}},
		{Name: 2, State: "Pending", Servers: []uc.ServerFQDN{"fe2.example.test", "fe3.example.test"}, Versions: []string{"", "1.0"}},
	}}, nil
}

func (fakeFabric) State(context.Context) (cmdlet.FabricState, error) {
	copies := []cmdlet.FabricReplica{
		{Server: "fe1.example.test", Role: cmdlet.RolePrimary, Live: true, Known: true},
		{Server: "fe2.example.test", Role: cmdlet.RoleSecondary, Known: true, Behind: 7},
		{Server: "Witness", Role: cmdlet.RoleWitness, Live: true},
	}
	lost := []cmdlet.FabricReplica{{Server: "fe2.example.test", Role: cmdlet.RoleSecondary}, {Server: "fe3.example.test", Role: cmdlet.RoleSecondary}, {Server: "fe1.example.test", Role: cmdlet.RoleObserver, Live: true}}
	return cmdlet.FabricState{Pool: "sip.example.test", Votes: 3, Present: 2, Needed: 2, Witness: "Up", Servers: []cmdlet.FabricServer{{Number: 1, FQDN: "fe1.example.test", Domain: 1, Seed: true, Live: true}, {Number: 2, FQDN: "fe2.example.test", Domain: 2, Seed: true}}, Groups: []cmdlet.FabricGroup{
		{Service: cmdlet.PoolService, Group: uc.PoolGroup, Primary: "fe1.example.test", Replicas: copies},
		{Service: cmdlet.DirectoryService, Group: uc.DirectoryGroup, Primary: "fe1.example.test", Replicas: copies[:1]},
		{Service: cmdlet.RoutingService, Group: 1, Primary: "fe1.example.test", Preferred: "fe1.example.test", Replicas: copies},
		{Service: cmdlet.RoutingService, Group: 2, Preferred: "fe2.example.test", Replicas: lost},
	}}, nil
}

// fakeRecovery has one group without a quorum until it is recovered.
type fakeRecovery struct{ d *deployment }

func (d *deployment) Recovery() cmdlet.Recovery {
	if !d.backEnd {
		return nil
	}
	return fakeRecovery{d}
}

func (f fakeRecovery) Plan(context.Context) ([]cmdlet.RecoveryStep, error) {
	if f.d.recovered {
		return nil, nil
	}
	return []cmdlet.RecoveryStep{{Service: cmdlet.RoutingService, Group: 2, Source: "Replica", Server: "fe1.example.test", Missing: []uc.ServerFQDN{"fe2.example.test", "fe3.example.test"}, MayBeLost: "what only fe2.example.test and fe3.example.test had", Users: 3}}, nil
}

func (f fakeRecovery) QuorumLoss(ctx context.Context) ([]cmdlet.RecoveryStep, error) {
	plan, err := f.Plan(ctx)
	f.d.recovered = true
	return plan, err
}

func (fakeRecovery) Restart(context.Context) error { return nil }

func (fakeRecovery) MachineLost(_ context.Context, name uc.ServerFQDN) error {
	if name != "fe2.example.test" {
		return fault.Newf(fault.NotFound, "test", "the pool has no server %s", name)
	}
	return nil
}

func (f fakeRecovery) Await(context.Context) (string, error) {
	if f.d.recovered {
		return "", nil
	}
	return "group 2, which has no primary", nil
}
