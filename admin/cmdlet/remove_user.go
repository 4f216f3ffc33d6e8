package cmdlet

import "context"

// RemoveUser deletes an account.
type RemoveUser struct {
	Identity string `param:"required,pos=1" help:"The user"`
}

var removeUser = Cmdlet{
	Name: "Remove-CsUser", Synopsis: "Deletes a user from the embedded directory with all its data.",
	Example: `Remove-CsUser alice@example.test -Force`,
	Changes: true, Asks: true, Roles: userManagers, New: func() Runner { return &RemoveUser{} },
}

// Run implements Runner.
func (p *RemoveUser) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil || !c.ShouldProcess("Remove-CsUser", label(u)) {
		return err
	}
	return c.Deployment.Users().Delete(ctx, u.GUID)
}
