package cmdlet

import "context"

// InvokeDatabaseFailover makes the other server of the Back End the principal.
type InvokeDatabaseFailover struct {
	PoolFqdn     string `param:"required,pos=1" help:"The pool"`
	DatabaseType string `param:"required" values:"User" help:"Kind of databases; User is the only one with a mirror"`
	NewPrincipal string `param:"required" values:"Primary|Mirror" help:"The server that is to be the principal, as the topology names it"`
}

var invokeDatabaseFailover = Cmdlet{
	Name: "Invoke-CsDatabaseFailover", Synopsis: "Makes the other server of a mirrored Back End the principal; refused while that lacks something that was acknowledged.",
	Example: `Invoke-CsDatabaseFailover -PoolFqdn pool1.example.test -DatabaseType User -NewPrincipal Mirror`,
	Changes: true, Asks: true, Roles: []string{"CsServerAdministrator"}, New: func() Runner { return &InvokeDatabaseFailover{} },
}

// Run implements Runner.
func (p *InvokeDatabaseFailover) Run(ctx context.Context, c *Call) error {
	d, err := c.backEnd("cmdlet.InvokeDatabaseFailover", p.PoolFqdn)
	if err != nil || !c.ShouldProcess("Make "+p.NewPrincipal+" the principal", p.PoolFqdn) {
		return err
	}
	if err := d.Failover(ctx, p.NewPrincipal); err != nil {
		return err
	}
	c.Warn("the former principal is no mirror yet: bring it back on its machine, see docs/backend.md")
	return nil
}
