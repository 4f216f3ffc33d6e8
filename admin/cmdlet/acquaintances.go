package cmdlet

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
)

// keys say whom a row of a file is about.
type keys struct {
	login   string // UserPrincipalName
	address uc.UserURI
}

// keys reads the keys of a row; one of them is needed.
func (x *importer) keys(r directory.SheetRow) (k keys, err error) {
	k.login, _ = x.sheet.Cell(r, "UserPrincipalName")
	if k.login == "" {
		k.login, _ = x.sheet.Cell(r, "Identity")
	}
	if text, _ := x.sheet.Cell(r, "SipAddress"); text != "" {
		if k.address, err = x.call.sipAddress(text); err != nil {
			return k, err
		}
	}
	if k.login == "" && k.address == "" {
		return k, fault.New(fault.Invalid, "cmdlet.keys", "SipAddress or UserPrincipalName is needed").About("SipAddress")
	}
	if _, err := directory.Address(k.login); k.login != "" && err != nil {
		return k, fault.Newf(fault.Invalid, "cmdlet.keys", "UserPrincipalName needs a name like alice@example.test, not %q", clip(k.login)).About("UserPrincipalName")
	}
	return k, nil
}

// acquaintances are the users of the directory and of a file, by their names.
type acquaintances struct {
	byLogin   map[string]*directory.User // lower case
	byAddress map[uc.UserURI]*directory.User
	byGUID    map[string]bool
	inFile    map[string]int        // line of a login, address or GUID
	coming    map[string]uc.UserURI // address by login or address
}

// acquaint reads the directory once, which for many rows is quicker than asking
// for each, and the addresses of the file.
func (c *Call) acquaint(ctx context.Context, sheet *directory.Sheet) (*acquaintances, error) {
	all, err := c.Deployment.Users().List(ctx, "", directory.Filter{}, 0)
	if err != nil {
		return nil, err
	}
	a := &acquaintances{
		byLogin: make(map[string]*directory.User, len(all)), byAddress: make(map[uc.UserURI]*directory.User, len(all)),
		byGUID: make(map[string]bool, len(all)), inFile: map[string]int{}, coming: map[string]uc.UserURI{},
	}
	for i := range all {
		u := &all[i]
		a.byLogin[strings.ToLower(u.UserPrincipalName)], a.byGUID[u.GUID] = u, true
		if u.SipAddress != "" {
			a.byAddress[u.SipAddress] = u
		}
	}
	for _, r := range sheet.Rows {
		a.expect(sheet, r)
	}
	return a, nil
}

// expect notes the address that somebody of the file will have. Without one in the
// file it is made from the login.
func (a *acquaintances) expect(sheet *directory.Sheet, r directory.SheetRow) {
	cell := func(name string) string { text, _ := sheet.Cell(r, name); return text }
	login := or(cell("UserPrincipalName"), cell("Identity"))
	address, err := directory.Address(or(cell("SipAddress"), login))
	if err != nil {
		return
	}
	a.coming[string(address)] = address
	if login != "" {
		a.coming[strings.ToLower(login)] = address
	}
}

// whose returns whom the keys mean, nil for nobody yet.
func (a *acquaintances) whose(k keys) (*directory.User, error) {
	byLogin, byAddress := a.byLogin[strings.ToLower(k.login)], a.byAddress[k.address]
	switch {
	case byLogin == nil:
		return byAddress, nil
	case byAddress == nil || byAddress == byLogin:
		return byLogin, nil
	}
	return nil, fault.Newf(fault.Exists, "cmdlet.whose", "SipAddress %s is another user's than UserPrincipalName %s", k.address, clip(k.login)).About("SipAddress")
}

// once refuses a second row about one user.
func (a *acquaintances) once(k keys, was *directory.User, line int) error {
	names := []string{strings.ToLower(k.login), string(k.address)}
	if was != nil {
		names = append(names, was.GUID)
	}
	for _, name := range names {
		if first, twice := a.inFile[name]; twice && name != "" {
			return fault.Newf(fault.Invalid, "cmdlet.once", "the user is in line %d already", first).About("Identity")
		}
	}
	for _, name := range names {
		a.inFile[name] = line
	}
	return nil
}

// manager is the stored form of a cell, false for nobody we know.
func (a *acquaintances) manager(text string) (string, bool) {
	if text == "" {
		return "", true
	}
	if guid := strings.ToLower(text); a.byGUID[guid] {
		return guid, true
	}
	address, err := directory.Address(text)
	if err != nil {
		return "", false
	}
	if a.byAddress[address] != nil {
		return string(address), true
	}
	bare := address.Bare()
	if u := a.byLogin[bare]; u != nil {
		return or(string(u.SipAddress), u.GUID), true
	}
	if who, ok := a.coming[bare]; ok {
		return string(who), true
	}
	who, ok := a.coming[string(address)]
	return string(who), ok
}
