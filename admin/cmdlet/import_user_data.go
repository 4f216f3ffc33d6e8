package cmdlet

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/rule/userdata"
	"trivet/uc"
)

// ImportUserData gives users back what a file has of them.
type ImportUserData struct {
	PoolFqdn   string   `param:"required,pos=1" help:"The pool"`
	FileName   string   `param:"required,pos=2,file,binary" help:"The ZIP file that Export-CsUserData wrote"`
	UserFilter []string `help:"Users to import; all in the file without it"`
}

var importUserData = Cmdlet{
	Name: "Import-CsUserData", Synopsis: "Replaces the contacts, access lists and conferences of users by those in a file.",
	Example: `Import-CsUserData pool1.example.test -FileName data.zip -WhatIf`,
	Changes: true, Asks: true, Largest: 96 << 20, Table: userDataTable, New: func() Runner { return &ImportUserData{} },
}

// Run implements Runner.
func (p *ImportUserData) Run(ctx context.Context, c *Call) error {
	if err := c.ownPool(p.PoolFqdn); err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(p.FileName)
	if err != nil {
		return wrong("FileName", "needs the file in base64")
	}
	file, err := userdata.Read(data)
	if err != nil {
		return err
	}
	who, err := c.chosen(ctx, p.UserFilter)
	if err != nil {
		return err
	}
	list, err := p.among(file, who)
	if err != nil {
		return err
	}
	if c.WhatIf {
		for _, r := range list {
			c.Plans = append(c.Plans, fmt.Sprintf("%s gets %d contacts and %d conferences from the file, in place of what is there.", r.User, userdata.Contacts(r), len(r.Conferences)))
		}
	}
	if !c.ShouldProcess("Import-CsUserData", fmt.Sprintf("%d users of %s", len(list), p.PoolFqdn)) {
		return nil
	}
	for i, r := range list {
		if err := c.Deployment.UserData().ImportRecord(ctx, r); err != nil {
			return fault.Newf(fault.KindOf(err), "cmdlet.ImportUserData", "the data of %s (routing group %d) was not imported; of the others in the file %d were and %d were not, import again: %s",
				r.User, who[r.User].RoutingGroup, i, len(list)-i-1, problemText(err)).Because(err)
		}
		c.Write(userDataRowOf(r))
	}
	return nil
}

// among are the records to import. Nothing is when the file has users whom the
// directory does not know, or lacks one that was asked for.
func (p *ImportUserData) among(file []*groupstate.Record, who map[uc.UserURI]directory.User) (list []*groupstate.Record, err error) {
	var unknown []string
	found := map[uc.UserURI]bool{}
	for _, r := range file {
		_, known := who[r.User]
		switch {
		case known:
			list, found[r.User] = append(list, r), true
		case len(p.UserFilter) == 0:
			unknown = append(unknown, string(r.User))
		}
	}
	if len(unknown) > 0 {
		return nil, fault.Newf(fault.NotFound, "cmdlet.ImportUserData", "nothing was imported: the directory has no %s; create who is missing, or choose with -UserFilter", strings.ReplaceAll(listed(unknown), "; ", ", ")).About("FileName")
	}
	if len(p.UserFilter) == 0 {
		return list, nil
	}
	for user := range who {
		if !found[user] {
			return nil, wrong("UserFilter", "names %s, of whom the file has no data", user)
		}
	}
	return list, nil
}
