package frontend

import (
	"context"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/rule/mirroring"
	"trivet/service/backstore"
	"trivet/store/backend"
)

// Databases are those of the Back End; a Standard Edition server has none.
func (d deployment) Databases() cmdlet.Databases {
	if d.backEnd == nil {
		return nil
	}
	return *d.backEnd
}

// backEnd is the Back End of a pool, for the cmdlets.
type backEnd struct {
	store     *backend.Store
	mirroring *backstore.Mirroring // nil without a mirror
}

var _ cmdlet.Databases = backEnd{}

func (b backEnd) notMirrored(op string) error {
	return fault.New(fault.NotFound, op, "the Back End of the pool has no mirror")
}

// MirrorState implements cmdlet.Databases. Both databases are on the same servers.
func (b backEnd) MirrorState(ctx context.Context) ([]cmdlet.MirrorState, error) {
	if b.mirroring == nil {
		return nil, b.notMirrored("frontend.MirrorState")
	}
	pair, primary, mirror := b.mirroring.State(ctx)
	var list []cmdlet.MirrorState
	for _, name := range backend.Names {
		list = append(list, cmdlet.MirrorState{
			DatabaseName: name, StateOnPrimary: primary.Role(pair), StateOnMirror: mirror.Role(pair),
			MirroringStatusOnPrimary: primary.Status(mirror), MirroringStatusOnMirror: mirror.Status(primary),
		})
	}
	return list, nil
}

// Failover implements cmdlet.Databases.
func (b backEnd) Failover(ctx context.Context, principal string) error {
	if b.mirroring == nil {
		return b.notMirrored("frontend.Failover")
	}
	to := mirroring.Primary
	if principal == mirroring.Mirror.String() {
		to = mirroring.Mirror
	}
	return b.mirroring.Failover(ctx, to)
}

// Test implements cmdlet.Databases.
func (b backEnd) Test(ctx context.Context) ([]cmdlet.DatabaseTest, error) {
	found := b.store.Test(ctx)
	var list []cmdlet.DatabaseTest
	for _, name := range backend.Names {
		t := cmdlet.DatabaseTest{DatabaseName: name, Succeed: found[name] == nil}
		if found[name] != nil {
			t.Diagnosis = found[name].Error()
		}
		list = append(list, t)
	}
	return list, nil
}

// Install implements cmdlet.Databases.
func (b backEnd) Install(ctx context.Context) ([]string, error) { return b.store.Install(ctx, "") }
