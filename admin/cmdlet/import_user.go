package cmdlet

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
)

// ImportUser creates and changes users by a file.
type ImportUser struct {
	Path        string `param:"required,pos=1,file,binary" help:"File of comma separated values whose first line names properties, as Get-CsUser -As csv writes it; a column Password sets passwords"`
	SkipInvalid bool   `help:"Import the rest when rows are wrong; without it the file is imported as a whole or not at all"`
}

// importRow is what became of a row of the file.
type importRow struct {
	Line       int
	Action     string // "Created", "Changed", "Unchanged", "Refused"
	Identity   string
	SipAddress uc.UserURI
	Password   string `json:",omitempty"` // only when it was generated, once
	Problem    string `json:",omitempty"`
}

var importUser = Cmdlet{
	Name: "Import-CsUser", Synopsis: "Creates and changes users by a file of comma separated values.",
	Example: `Import-CsUser -Path users.csv -WhatIf`,
	Changes: true, Roles: userManagers, Largest: 96 << 20, Table: []string{"Line", "Action", "Identity", "SipAddress", "Password", "Problem"},
	New: func() Runner { return &ImportUser{} },
}

// Run implements Runner.
func (p *ImportUser) Run(ctx context.Context, c *Call) error {
	data, err := base64.StdEncoding.DecodeString(p.Path)
	if err != nil {
		return wrong("Path", "needs the file in base64")
	}
	sheet, err := directory.ReadSheet(data)
	if err != nil {
		return err
	}
	known, err := c.acquaint(ctx, sheet)
	if err != nil {
		return err
	}
	x := &importer{call: c, sheet: sheet, people: known}
	for _, r := range sheet.Rows {
		x.read(r)
	}
	return x.run(ctx, p.SkipInvalid)
}

// importer turns rows into changes of the directory.
type importer struct {
	call   *Call
	sheet  *directory.Sheet
	people *acquaintances
	rows   []importRow // one for each row of the sheet
	writes []Import
	rowOf  []int // which row a write is of
}

// read plans one row; what is wrong with it is noted in its result.
func (x *importer) read(r directory.SheetRow) {
	row := importRow{Line: r.Line}
	w, action, err := x.plan(r, &row)
	row.Action = action
	if err != nil {
		row.Action, row.Problem, row.Password = "Refused", problemText(err), ""
	}
	x.rows = append(x.rows, row)
	if row.Action == "Created" || row.Action == "Changed" {
		x.writes, x.rowOf = append(x.writes, w), append(x.rowOf, len(x.rows)-1)
	}
}

// problemText is an error as a part of a sentence.
func problemText(err error) string {
	text := err.Error()
	if e, ok := err.(*fault.Error); ok && e.Text != "" {
		text = e.Text
	}
	return strings.TrimSuffix(strings.TrimPrefix(text, "-"), ".")
}

func (x *importer) plan(r directory.SheetRow, row *importRow) (Import, string, error) {
	k, err := x.keys(r)
	row.Identity, row.SipAddress = k.login, k.address
	if err != nil {
		return Import{}, "", err
	}
	was, err := x.people.whose(k)
	if err != nil {
		return Import{}, "", err
	}
	if err := x.people.once(k, was, r.Line); err != nil {
		return Import{}, "", err
	}
	password, _ := x.sheet.Cell(r, "Password")
	if was == nil {
		u, err := x.newcomer(r, k)
		if err == nil && password == "" {
			password, err = GeneratePassword()
			row.Password = password
		}
		if err == nil {
			err = directory.CheckPassword(&u, password)
		}
		if err == nil {
			row.Identity, row.SipAddress = u.UserPrincipalName, u.SipAddress
		}
		return Import{User: u, Password: password}, "Created", err
	}
	row.Identity, row.SipAddress = was.UserPrincipalName, was.SipAddress
	return x.change(r, k, *was, password)
}

// change plans a row about somebody who is there.
func (x *importer) change(r directory.SheetRow, k keys, was directory.User, password string) (Import, string, error) {
	if len(was.AdminRoles) > 0 && !x.call.Caller.isAdministrator() {
		return Import{}, "", fault.New(fault.Forbidden, "cmdlet.change", "the account is an administrator's, which only CsAdministrator may change").About("Identity")
	}
	edit := func(u *directory.User) error { return x.edit(r, k, u) }
	is := was
	if err := edit(&is); err != nil {
		return Import{}, "", err
	}
	directory.Normalize(&is)
	if err := directory.Validate(&is); err != nil {
		return Import{}, "", err
	}
	if password != "" {
		if err := directory.CheckPassword(&is, password); err != nil {
			return Import{}, "", err
		}
	} else if same(&was, &is) {
		return Import{}, "Unchanged", nil
	}
	return Import{GUID: was.GUID, Change: edit, Password: password}, "Changed", nil
}

// same compares what an import can change.
func same(a, b *directory.User) bool {
	if a.SipAddress != b.SipAddress {
		return false
	}
	for _, f := range directory.Fields() {
		if f.Get(a) != f.Get(b) {
			return false
		}
	}
	return true
}

// edit sets what a row says about somebody who is there.
func (x *importer) edit(r directory.SheetRow, k keys, u *directory.User) error {
	home := u.SipAddress == "" && k.address != ""
	if home {
		x.call.home(u, k.address, x.call.Deployment.Pool().FQDN())
	} else if k.address != "" {
		u.SipAddress = k.address
	}
	if k.login != "" {
		u.UserPrincipalName = k.login
	}
	if err := x.sheet.Apply(r, u); err != nil {
		return err
	}
	return x.manager(r, u)
}

// newcomer is the user of a row about nobody yet, made as New-CsUser makes one.
func (x *importer) newcomer(r directory.SheetRow, k keys) (directory.User, error) {
	cell := func(name string) string { text, _ := x.sheet.Cell(r, name); return text }
	first, last := cell("FirstName"), cell("LastName")
	blank := directory.User{Enabled: true}
	if err := x.sheet.Apply(r, &blank); err != nil {
		return blank, err
	}
	u, err := (&NewUser{
		Identity: or(k.login, k.address.Bare()), SipAddress: string(k.address), UserPrincipalName: k.login, SamAccountName: cell("SamAccountName"),
		DisplayName: cell("DisplayName"), Personal: Personal{FirstName: &first, LastName: &last}, Enabled: blank.Enabled,
	}).user(x.call)
	if err != nil {
		return u, err
	}
	if err := x.sheet.Apply(r, &u); err != nil {
		return u, err
	}
	if err := x.manager(r, &u); err != nil {
		return u, err
	}
	directory.Normalize(&u)
	return u, directory.Validate(&u)
}

func (x *importer) manager(r directory.SheetRow, u *directory.User) error {
	text, given := x.sheet.Cell(r, "Manager")
	if !given {
		return nil
	}
	who, ok := x.people.manager(text)
	if !ok {
		return fault.Newf(fault.Invalid, "cmdlet.manager", "Manager needs a user of the directory or of the file, not %q", clip(text)).About("Manager")
	}
	u.Manager = who
	return nil
}

// run has the directory make the changes.
func (x *importer) run(ctx context.Context, skip bool) error {
	c, mode := x.call, AllOrNothing
	switch {
	case c.WhatIf:
		mode = Trial
	case skip:
		mode = SkipRefused
	case len(x.problems()) > 0:
		mode = Trial // to say at once what else is wrong
	}
	target := fmt.Sprintf("users in the file: %d to create or change", len(x.writes))
	if !c.ShouldProcess("Import-CsUser", target) && mode != Trial {
		return nil
	}
	outcomes, err := c.Deployment.Users().Import(ctx, mode, x.writes)
	if outcomes == nil && err != nil {
		return err
	}
	for i, o := range outcomes {
		row := &x.rows[x.rowOf[i]]
		if o.Refused != nil {
			row.Action, row.Problem, row.Password = "Refused", problemText(o.Refused), ""
		} else {
			row.Identity, row.SipAddress = o.User.UserPrincipalName, o.User.SipAddress
		}
		if c.WhatIf {
			row.Password = ""
		}
	}
	if len(x.sheet.Ignored) > 0 {
		c.Warn("These columns are not imported: %s.", strings.Join(x.sheet.Ignored, ", "))
	}
	problems := x.problems()
	if len(problems) > 0 && !skip && !c.WhatIf {
		c.Targets = nil
		return fault.Newf(fault.Invalid, "cmdlet.Import", "nothing was imported: %s", listed(problems)).About("Path")
	}
	if len(problems) > 0 {
		c.Warn("%d of %d rows are refused.", len(problems), len(x.rows))
	}
	for _, row := range x.rows {
		c.Write(row)
	}
	return err
}

// problems are what is wrong, by line.
func (x *importer) problems() []string {
	var list []string
	for _, row := range x.rows {
		if row.Action == "Refused" {
			list = append(list, fmt.Sprintf("line %d: %s", row.Line, row.Problem))
		}
	}
	return list
}

// listed are the first problems and how many more there are.
func listed(problems []string) string {
	const most = 10
	if len(problems) <= most {
		return strings.Join(problems, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(problems[:most], "; "), len(problems)-most)
}
