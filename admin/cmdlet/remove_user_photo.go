package cmdlet

import "context"

// RemoveUserPhoto removes the photo of a user.
type RemoveUserPhoto struct {
	Identity string `param:"required,pos=1" help:"The user"`
}

var removeUserPhoto = Cmdlet{
	Name: "Remove-CsUserPhoto", Synopsis: "Removes the photo of a user.",
	Example: `Remove-CsUserPhoto alice@example.test -Force`,
	Changes: true, Asks: true, Roles: userManagers, New: func() Runner { return &RemoveUserPhoto{} },
}

// Run implements Runner.
func (p *RemoveUserPhoto) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil || !c.ShouldProcess("Remove-CsUserPhoto", label(u)) {
		return err
	}
	return c.Deployment.Photos().RemovePhoto(ctx, u.GUID)
}
