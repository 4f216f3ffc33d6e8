package cmdlet

import (
	"context"

	"trivet/fault"
	"trivet/uc"
)

// GetUserPoolInfo says which servers serve a user.
type GetUserPoolInfo struct {
	Identity string `param:"required,pos=1" help:"The user"`
}

type poolInfoRow struct {
	Identity                            uc.UserURI
	PrimaryPoolFqdn                     uc.PoolFQDN
	PrimaryPoolMachinesInPreferredOrder []uc.ServerFQDN
	PrimaryPoolPrimaryRegistrar         uc.ServerFQDN
	PrimaryPoolPrimaryUserService       uc.ServerFQDN
	BackupPoolFqdn                      uc.PoolFQDN
	BackupPoolMachinesInPreferredOrder  []uc.ServerFQDN
	BackupPoolPrimaryRegistrar          uc.ServerFQDN
	BackupPoolPrimaryUserService        uc.ServerFQDN
	RoutingGroupId                      uc.GroupID
}

var getUserPoolInfo = Cmdlet{
	Name: "Get-CsUserPoolInfo", Synopsis: "Shows which pool and which servers serve a user, in the order of preference.",
	Example: `Get-CsUserPoolInfo alice@example.test`,
	Roles:   viewers, Table: []string{"Identity", "PrimaryPoolFqdn", "PrimaryPoolPrimaryRegistrar", "RoutingGroupId"},
	New: func() Runner { return &GetUserPoolInfo{} },
}

// Run implements Runner.
func (p *GetUserPoolInfo) Run(ctx context.Context, c *Call) error {
	u, err := c.Deployment.Users().Find(ctx, p.Identity)
	if err != nil {
		return err
	}
	if u.SipAddress == "" {
		return fault.New(fault.NotFound, "cmdlet.GetUserPoolInfo", "-Identity names a user that no pool serves; run Enable-CsUser").About("Identity")
	}
	at, err := c.Deployment.Pool().Placement(ctx, u.SipAddress)
	if err != nil {
		return err
	}
	c.Write(poolInfoRow{
		Identity: u.SipAddress, PrimaryPoolFqdn: at.Pool, PrimaryPoolMachinesInPreferredOrder: notNil(at.Machines),
		PrimaryPoolPrimaryRegistrar: at.Primary, PrimaryPoolPrimaryUserService: at.Primary,
		BackupPoolFqdn: at.BackupPool, BackupPoolMachinesInPreferredOrder: notNil(at.BackupMachines),
		BackupPoolPrimaryRegistrar: at.BackupPrimary, BackupPoolPrimaryUserService: at.BackupPrimary, RoutingGroupId: u.RoutingGroup,
	})
	return nil
}

// notNil keeps lists lists in JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
