package cmdlet

import "context"

// InstallDatabase makes the databases of the Back End.
type InstallDatabase struct {
	ConfiguredDatabases bool   `help:"The databases that the topology gives the pool; must be given"`
	PoolFqdn            string `param:"pos=1" help:"Pool; without it the pool of this server"`
}

type installedRow struct{ Created []string }

var installDatabase = Cmdlet{
	Name: "Install-CsDatabase", Synopsis: "Makes the databases of the Back End, their tables and the role of the Front Ends; what is there stays.",
	Example: `Install-CsDatabase -ConfiguredDatabases`,
	Changes: true, Roles: []string{"CsServerAdministrator"}, Table: []string{"Created"}, New: func() Runner { return &InstallDatabase{} },
}

// Run implements Runner.
func (p *InstallDatabase) Run(ctx context.Context, c *Call) error {
	if !p.ConfiguredDatabases {
		return wrong("ConfiguredDatabases", "must be given: it says which databases are meant")
	}
	d, err := c.backEnd("cmdlet.InstallDatabase", p.PoolFqdn)
	if err != nil || !c.ShouldProcess("Install-CsDatabase", or(p.PoolFqdn, string(c.Deployment.Pool().FQDN()))) {
		return err
	}
	made, err := d.Install(ctx)
	if err != nil {
		return err
	}
	c.Write(installedRow{notNil(made)})
	return nil
}
