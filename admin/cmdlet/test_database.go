package cmdlet

import "context"

// TestDatabase says whether the databases of the Back End can be used.
type TestDatabase struct {
	ConfiguredDatabases bool   `help:"The databases that the topology gives the pool; must be given"`
	PoolFqdn            string `param:"pos=1" help:"Pool; without it the pool of this server"`
}

var testDatabase = Cmdlet{
	Name: "Test-CsDatabase", Synopsis: "Says of each database of the Back End whether it can be used, and what is wrong.",
	Example: `Test-CsDatabase -ConfiguredDatabases`,
	Roles:   []string{"CsServerAdministrator", "CsViewOnlyAdministrator"}, Table: []string{"DatabaseName", "Succeed", "Diagnosis"}, New: func() Runner { return &TestDatabase{} },
}

// Run implements Runner.
func (p *TestDatabase) Run(ctx context.Context, c *Call) error {
	if !p.ConfiguredDatabases {
		return wrong("ConfiguredDatabases", "must be given: it says which databases are meant")
	}
	d, err := c.backEnd("cmdlet.TestDatabase", p.PoolFqdn)
	if err != nil {
		return err
	}
	list, err := d.Test(ctx)
	for _, t := range list {
		c.Write(t)
	}
	return err
}
