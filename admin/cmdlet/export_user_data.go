package cmdlet

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/rule/userdata"
)

// ExportUserData writes what users keep into a file.
type ExportUserData struct {
	PoolFqdn   string   `param:"required,pos=1" help:"The pool"`
	FileName   string   `param:"required,pos=2,output=UserData,binary" help:"The ZIP file that gets the data; it is private to the users"`
	UserFilter []string `help:"Users to export; all of the pool without it"`
}

// exportRow is what an export has.
type exportRow struct {
	Users       int
	Contacts    int
	Conferences int
	UserData    string // the file, in base64
}

var exportUserData = Cmdlet{
	Name: "Export-CsUserData", Synopsis: "Writes the contacts, access lists and conferences of users into a file.",
	Example: `Export-CsUserData pool1.example.test -FileName data.zip -UserFilter alice@example.test`,
	Changes: true, Table: []string{"Users", "Contacts", "Conferences", "Output"}, New: func() Runner { return &ExportUserData{} },
}

// Run implements Runner.
func (p *ExportUserData) Run(ctx context.Context, c *Call) error {
	if err := c.ownPool(p.PoolFqdn); err != nil {
		return err
	}
	who, err := c.chosen(ctx, p.UserFilter)
	if err != nil {
		return err
	}
	if !c.ShouldProcess("Export-CsUserData", fmt.Sprintf("%d users of %s", len(who), p.PoolFqdn)) {
		return nil
	}
	var list []*groupstate.Record
	var without []string
	row := exportRow{}
	for _, user := range slices.Sorted(maps.Keys(who)) {
		r, err := c.Deployment.UserData().Record(ctx, user)
		if err != nil {
			return fault.Newf(fault.KindOf(err), "cmdlet.ExportUserData", "nothing was exported, for the data of %s in routing group %d cannot be read: %s", user, who[user].RoutingGroup, problemText(err)).Because(err)
		}
		if r == nil {
			without = append(without, string(user))
			continue
		}
		list = append(list, r)
		row.Users, row.Contacts, row.Conferences = row.Users+1, row.Contacts+userdata.Contacts(r), row.Conferences+len(r.Conferences)
	}
	if len(without) > 0 {
		c.Warn("These users have no data yet, for they never signed in: %s.", listed(without))
	}
	file, err := userdata.Write(list)
	if err == nil {
		row.UserData = base64.StdEncoding.EncodeToString(file)
		c.Write(row)
	}
	return err
}
