package cmdlet

import (
	"context"
	"strings"

	"trivet/rule/directory"
	"trivet/uc"
)

// EnableUser homes an account on a pool.
type EnableUser struct {
	Identity       string `param:"required,pos=1" help:"The user"`
	RegistrarPool  string `help:"Pool that serves the user; without it the pool of this server"`
	SipAddress     string `help:"Address to sign in with"`
	SipAddressType string `values:"UserPrincipalName|SamAccountName|EmailAddress|FirstLastName" help:"What to make the address from, instead of -SipAddress"`
	SipDomain      string `help:"Domain of an address made from SamAccountName or FirstLastName"`
	PassThru       bool   `help:"Show the user afterwards"`
}

var enableUser = Cmdlet{
	Name: "Enable-CsUser", Synopsis: "Gives an account a SIP address on a pool and lets it sign in.",
	Example: `Enable-CsUser alice -RegistrarPool sip.example.test -SipAddressType SamAccountName -SipDomain example.test`,
	Changes: true, Roles: userManagers, Table: userTable, New: func() Runner { return &EnableUser{} },
}

// Run implements Runner.
func (p *EnableUser) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil {
		return err
	}
	pool, err := c.pool(p.RegistrarPool)
	if err != nil {
		return err
	}
	a, err := p.address(c, u)
	if err != nil {
		return err
	}
	if u.Enabled && u.SipAddress == a && u.RegistrarPool == pool {
		c.Warn("%s is enabled already.", a)
	} else {
		if !c.ShouldProcess("Enable-CsUser", string(a)) {
			return nil
		}
		if u, err = c.Deployment.Users().Update(ctx, u.GUID, func(u *directory.User) error { c.home(u, a, pool); return nil }); err != nil {
			return err
		}
	}
	if p.PassThru {
		c.Write(rowOf(u))
	}
	return nil
}

// sources are what an address can be made from. Those without a domain of their
// own need -SipDomain.
var sources = map[string]struct {
	property string
	whole    bool
	of       func(u directory.User) string
}{
	"UserPrincipalName": {"UserPrincipalName", true, func(u directory.User) string { return u.UserPrincipalName }},
	"EmailAddress":      {"WindowsEmailAddress", true, func(u directory.User) string { return u.WindowsEmailAddress }},
	"SamAccountName":    {"SamAccountName", false, func(u directory.User) string { return u.SamAccountName }},
	"FirstLastName": {"FirstName and a LastName", false, func(u directory.User) string {
		if u.FirstName == "" || u.LastName == "" {
			return ""
		}
		return strings.ReplaceAll(u.FirstName+"."+u.LastName, " ", "")
	}},
}

func (p *EnableUser) address(c *Call, u directory.User) (uc.UserURI, error) {
	switch {
	case p.SipAddress != "" && p.SipAddressType != "":
		return "", wrong("SipAddress", "and -SipAddressType exclude each other; give one of them")
	case p.SipAddress != "":
		return c.sipAddress(p.SipAddress)
	case p.SipAddressType == "" && u.SipAddress != "":
		return u.SipAddress, nil
	case p.SipAddressType == "":
		return "", wrong("SipAddress", "is missing; give it, or -SipAddressType")
	}
	source := sources[p.SipAddressType]
	text := source.of(u)
	if text == "" {
		return "", wrong("SipAddressType", "needs a user with a %s, which this one lacks; set it, or give -SipAddress", source.property)
	}
	if !source.whole {
		if p.SipDomain == "" {
			return "", wrong("SipDomain", "is missing; -SipAddressType %s needs it", p.SipAddressType)
		}
		text += "@" + p.SipDomain
	}
	return c.sipAddress(text)
}
