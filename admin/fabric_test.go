package admin_test

import (
	"context"

	"trivet/admin/cmdlet"
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

func (fakeFabric) State(context.Context) (cmdlet.FabricState, error) {
	copies := []cmdlet.FabricReplica{
		{Server: "fe1.example.test", Role: cmdlet.RolePrimary, Live: true, Known: true},
		{Server: "fe2.example.test", Role: cmdlet.RoleSecondary, Known: true, Behind: 7},
		{Server: "Witness", Role: cmdlet.RoleWitness, Live: true},
	}
	lost := []cmdlet.FabricReplica{{Server: "fe2.example.test", Role: cmdlet.RoleSecondary}, {Server: "fe3.example.test", Role: cmdlet.RoleSecondary}, {Server: "fe1.example.test", Role: cmdlet.RoleObserver, Live: true}}
	return cmdlet.FabricState{Pool: "sip.example.test", Votes: 3, Present: 2, Needed: 2, Witness: "Up", Groups: []cmdlet.FabricGroup{
		{Service: cmdlet.PoolService, Group: uc.PoolGroup, Primary: "fe1.example.test", Replicas: copies},
		{Service: cmdlet.DirectoryService, Group: uc.DirectoryGroup, Primary: "fe1.example.test", Replicas: copies[:1]},
		{Service: cmdlet.RoutingService, Group: 1, Primary: "fe1.example.test", Preferred: "fe1.example.test", Replicas: copies},
		{Service: cmdlet.RoutingService, Group: 2, Preferred: "fe2.example.test", Replicas: lost},
	}}, nil
}
