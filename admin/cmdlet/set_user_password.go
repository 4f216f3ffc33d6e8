package cmdlet

import (
	"context"

	"trivet/kit/log"
	"trivet/rule/directory"
	"trivet/uc"
)

// SetUserPassword resets a password.
type SetUserPassword struct {
	Identity         string     `param:"required,pos=1" help:"The user"`
	Password         log.Secret `help:"New password; - reads it from standard input; without it a terminal asks"`
	GeneratePassword bool       `help:"Make a password and show it once"`
}

type passwordRow struct {
	Identity   string
	SipAddress uc.UserURI
	Password   string
}

var setUserPassword = Cmdlet{
	Name: "Set-CsUserPassword", Synopsis: "Sets a new password for a user and ends its sessions.",
	Example: `Set-CsUserPassword alice@example.test -GeneratePassword`,
	Changes: true, Roles: userManagers, Table: []string{"Identity", "SipAddress", "Password"},
	New: func() Runner { return &SetUserPassword{} },
}

// Run implements Runner.
func (p *SetUserPassword) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil {
		return err
	}
	password := string(p.Password)
	switch {
	case p.GeneratePassword && password != "":
		return wrong("GeneratePassword", "and -Password exclude each other; give one of them")
	case p.GeneratePassword:
		if password, err = GeneratePassword(); err != nil {
			return err
		}
	case password == "":
		return wrong("Password", "is missing; give it, or -GeneratePassword")
	}
	if err := directory.CheckPassword(&u, password); err != nil {
		return err
	}
	if !c.ShouldProcess("Set-CsUserPassword", label(u)) {
		return nil
	}
	if err := c.Deployment.Users().SetPassword(ctx, u.GUID, password); err != nil {
		return err
	}
	if p.GeneratePassword {
		c.Write(passwordRow{u.UserPrincipalName, u.SipAddress, password})
	}
	return nil
}
