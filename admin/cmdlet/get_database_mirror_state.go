package cmdlet

import "context"

// GetDatabaseMirrorState shows how the databases of the Back End are mirrored.
type GetDatabaseMirrorState struct {
	PoolFqdn     string `param:"pos=1" help:"Pool; without it the pool of this server"`
	DatabaseType string `values:"User" help:"Kind of databases; User is the only one with a mirror"`
}

var getDatabaseMirrorState = Cmdlet{
	Name: "Get-CsDatabaseMirrorState", Synopsis: "Shows which server is the principal of each database of the Back End, and whether the mirror has everything.",
	Example: `Get-CsDatabaseMirrorState -PoolFqdn pool1.example.test -DatabaseType User`,
	Roles:   []string{"CsServerAdministrator", "CsViewOnlyAdministrator"},
	Table:   []string{"DatabaseName", "StateOnPrimary", "StateOnMirror", "MirroringStatusOnPrimary", "MirroringStatusOnMirror"},
	New:     func() Runner { return &GetDatabaseMirrorState{} },
}

// Run implements Runner.
func (p *GetDatabaseMirrorState) Run(ctx context.Context, c *Call) error {
	d, err := c.backEnd("cmdlet.GetDatabaseMirrorState", p.PoolFqdn)
	if err != nil {
		return err
	}
	list, err := d.MirrorState(ctx)
	for _, s := range list {
		c.Write(s)
	}
	return err
}
