package admin_test

import (
	"context"

	"trivet/admin/cmdlet"
	"trivet/fault"
)

// fakeDatabases is a Back End whose mirror has everything.
type fakeDatabases struct{ principal *string }

func (d *deployment) Databases() cmdlet.Databases {
	if !d.backEnd {
		return nil
	}
	return fakeDatabases{&d.principal}
}

func (f fakeDatabases) MirrorState(context.Context) ([]cmdlet.MirrorState, error) {
	s := cmdlet.MirrorState{DatabaseName: "rtcxds", StateOnPrimary: "Principal", StateOnMirror: "Mirror", MirroringStatusOnPrimary: "synchronized", MirroringStatusOnMirror: "synchronized"}
	if *f.principal == "Mirror" {
		s.StateOnPrimary, s.StateOnMirror = "DatabaseInaccessibleOrMirroringNotEnabled", "Principal"
		s.MirroringStatusOnPrimary, s.MirroringStatusOnMirror = s.StateOnPrimary, "disconnected"
	}
	return []cmdlet.MirrorState{s}, nil
}

func (f fakeDatabases) Failover(_ context.Context, principal string) error {
	if *f.principal == principal {
		return fault.Newf(fault.Exists, "test", "%s is the principal already", principal)
	}
	*f.principal = principal
	return nil
}

func (fakeDatabases) Test(context.Context) ([]cmdlet.DatabaseTest, error) {
	return []cmdlet.DatabaseTest{{DatabaseName: "rtcshared", Succeed: true}, {DatabaseName: "rtcxds", Diagnosis: "the Back End has no database rtcxds; run Install-CsDatabase"}}, nil
}

func (fakeDatabases) Install(context.Context) ([]string, error) {
	return []string{"database rtcxds"}, nil
}
