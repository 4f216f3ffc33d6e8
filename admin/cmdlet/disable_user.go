package cmdlet

import (
	"context"

	"trivet/rule/directory"
)

// DisableUser takes an account off its pool.
type DisableUser struct {
	Identity string `param:"required,pos=1" help:"The user"`
	PassThru bool   `help:"Show the user afterwards"`
}

var disableUser = Cmdlet{
	Name: "Disable-CsUser", Synopsis: "Takes a user's SIP address, contacts and settings away; the account stays. To keep the data use Set-CsUser -Enabled $false.",
	Example: `Disable-CsUser alice@example.test -WhatIf`,
	Changes: true, Asks: true, Roles: userManagers, Table: userTable, New: func() Runner { return &DisableUser{} },
}

// Run implements Runner.
func (p *DisableUser) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil {
		return err
	}
	if u.SipAddress == "" {
		c.Warn("%s is not enabled.", label(u))
	} else {
		if !c.ShouldProcess("Disable-CsUser", label(u)) {
			return nil
		}
		if u, err = c.Deployment.Users().Update(ctx, u.GUID, unhome); err != nil {
			return err
		}
	}
	if p.PassThru {
		c.Write(rowOf(u))
	}
	return nil
}

func unhome(u *directory.User) error {
	u.SipAddress, u.RegistrarPool, u.HomeServer, u.RoutingGroup, u.LineURI = "", "", "", 0, ""
	u.Enabled, u.EnabledForRichPresence, u.EnabledForFederation, u.EnabledForInternet = false, false, false, false
	u.EnterpriseVoiceEnabled = false
	return nil
}
