package cmdlet

import (
	"context"

	"trivet/rule/directory"
)

// GetUser lists users.
type GetUser struct {
	Identity   string `param:"pos=1" help:"SIP address, sign-in name, account name, GUID or display name; * and ? stand for any text"`
	Filter     string `help:"Condition, like 'Department -eq \"Sales\" -and LineURI -like \"tel:+1*\"'"`
	ResultSize int    `default:"0" help:"Most users to return; 0 returns all"`
}

var getUser = Cmdlet{
	Name: "Get-CsUser", Synopsis: "Shows users of the directory.",
	Example: `Get-CsUser -Filter 'Enabled -eq $true' -ResultSize 10`,
	Roles:   viewers, Table: userTable, New: func() Runner { return &GetUser{} },
}

// Run implements Runner.
func (p *GetUser) Run(ctx context.Context, c *Call) error {
	filter, err := directory.ParseFilter(p.Filter)
	if err != nil {
		return err
	}
	if p.Identity != "" && !directory.IsPattern(p.Identity) {
		u, err := c.Deployment.Users().Find(ctx, p.Identity)
		if err == nil && filter.Fits(&u) {
			c.Write(rowOf(u))
		}
		return err
	}
	list, err := c.Deployment.Users().List(ctx, p.Identity, filter, p.ResultSize)
	for _, u := range list {
		c.Write(rowOf(u))
	}
	return err
}
