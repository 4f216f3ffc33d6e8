package cmdlet

import "context"

// GetAdminRoleAssignment shows the roles of an administrator.
type GetAdminRoleAssignment struct {
	Identity string `param:"required,pos=1" help:"The user"`
}

type roleRow struct {
	Identity string
	Role     string
}

var getAdminRoleAssignment = Cmdlet{
	Name: "Get-CsAdminRoleAssignment", Synopsis: "Shows the administrative roles of a user.",
	Example: `Get-CsAdminRoleAssignment alice@example.test`,
	Roles:   viewers, Table: []string{"Identity", "Role"}, New: func() Runner { return &GetAdminRoleAssignment{} },
}

// Run implements Runner.
func (p *GetAdminRoleAssignment) Run(ctx context.Context, c *Call) error {
	u, err := c.Deployment.Users().Find(ctx, p.Identity)
	for _, r := range u.AdminRoles {
		c.Write(roleRow{label(u), r})
	}
	return err
}
