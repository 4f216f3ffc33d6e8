package cmdlet

import (
	"context"
	"strings"

	"trivet/rule/directory"
)

// SetAdminRoleAssignment gives a user administrative roles. The product does
// this with groups of its Active Directory, which the embedded directory lacks.
type SetAdminRoleAssignment struct {
	Identity string    `param:"required,pos=1" help:"The user"`
	Role     *[]string `values:"CsAdministrator|CsUserAdministrator|CsViewOnlyAdministrator|CsHelpDesk" help:"All roles the user is to have; $null takes all away"`
}

var setAdminRoleAssignment = Cmdlet{
	Name: "Set-CsAdminRoleAssignment", Synopsis: "Makes a user an administrator, or ends that.",
	Example: `Set-CsAdminRoleAssignment alice@example.test -Role CsUserAdministrator`,
	Changes: true, New: func() Runner { return &SetAdminRoleAssignment{} },
}

// Run implements Runner.
func (p *SetAdminRoleAssignment) Run(ctx context.Context, c *Call) error {
	if p.Role == nil {
		return wrong("Role", "is missing; give the roles, or $null to take all away")
	}
	u, err := c.subject(ctx, p.Identity)
	if err != nil || !c.ShouldProcess("Set-CsAdminRoleAssignment "+strings.Join(*p.Role, ","), label(u)) {
		return err
	}
	_, err = c.Deployment.Users().Update(ctx, u.GUID, func(u *directory.User) error { u.AdminRoles = *p.Role; return nil })
	return err
}
