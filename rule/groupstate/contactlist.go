package groupstate

import (
	"slices"
	"strings"

	"trivet/fault"
	"trivet/uc"
)

// draft is a contact list being changed by a command.
type draft struct {
	turn  *turn
	entry *entry
	list  ContactList
	delta ContactDelta
	old   bool // the client's number is behind
}

func (t *turn) draft(op string, user uc.UserURI, delta uint32) (*draft, error) {
	e, err := t.active(op, user)
	if err != nil {
		return nil, err
	}
	d := &draft{turn: t, entry: e, list: *e.user.Contacts()}
	d.old = delta < d.list.Delta
	d.delta = ContactDelta{Prev: d.list.Delta, Delta: d.list.Delta + 1}
	return d, nil
}

// save makes the draft the list of the user.
func (d *draft) save(by uc.EndpointID, group uint8) (any, error) {
	d.list.Delta = d.delta.Delta
	next := d.list
	u := d.turn.edit(d.entry)
	u.contacts = &next
	d.turn.emit(ContactsChanged{User: u.uri, By: by, Delta: d.delta})
	return ContactsResult{Delta: next.Delta, Changed: true, GroupID: group}, nil
}

// done is the answer to an old command whose purpose is fulfilled already.
func (d *draft) done() (any, error) { return ContactsResult{Delta: d.list.Delta}, nil }

// missing is the answer to a command about something that is not there.
func (d *draft) missing(op, what string) error {
	user := string(d.entry.user.uri)
	if d.old {
		return fault.Newf(fault.Stale, op, "%s has been removed from another endpoint; read the contact list again", what).About(user)
	}
	return fault.Newf(fault.NotFound, op, "%s is not on the contact list", what).About(user)
}

// contactURI is the canonical form of a contact's address.
func contactURI(op, s string) (string, error) {
	if len(s) > 4 && strings.EqualFold(s[:4], "tel:") && !strings.ContainsAny(s, " <>\"") {
		return "tel:" + strings.ToLower(s[4:]), nil
	}
	uri, err := uc.ParseUserURI(s)
	return string(uri), fault.Wrap(op, err)
}

func (x *SetContact) apply(t *turn) (any, error) {
	const op = "groupstate.SetContact"
	d, err := t.draft(op, x.User, x.Delta)
	if err != nil {
		return nil, err
	}
	next := x.Contact
	if next.URI, err = contactURI(op, next.URI); err != nil {
		return nil, err
	}
	if next.Groups == 0 {
		next.Groups = Groups(DefaultGroup)
	}
	if lost := next.Groups &^ d.list.have(); lost != 0 {
		if next.Groups &^= lost; !d.old || next.Groups == 0 {
			return nil, d.missing(op, "a group of the contact")
		}
	}
	i, found := d.list.search(next.URI)
	switch {
	case found && *d.list.Contacts[i] == next && d.old:
		return d.done()
	case found:
		d.list.Contacts = slices.Clone(d.list.Contacts)
		d.list.Contacts[i] = &next
		d.delta.ModifiedContacts = []Contact{next}
	case len(d.list.Contacts) >= int(x.Max):
		return nil, fault.Newf(fault.Limit, op, "the contact list is full with %d contacts; remove some first", x.Max).About(string(x.User))
	default:
		d.list.Contacts = slices.Insert(slices.Clone(d.list.Contacts), i, &next)
		d.delta.AddedContacts = []Contact{next}
	}
	return d.save(x.By, 0)
}

func (x *DeleteContact) apply(t *turn) (any, error) {
	const op = "groupstate.DeleteContact"
	d, err := t.draft(op, x.User, x.Delta)
	if err != nil {
		return nil, err
	}
	uri, err := contactURI(op, x.URI)
	if err != nil {
		return nil, err
	}
	i, found := d.list.search(uri)
	if !found {
		if d.old {
			return d.done()
		}
		return nil, d.missing(op, "the contact")
	}
	d.list.Contacts = slices.Delete(slices.Clone(d.list.Contacts), i, i+1)
	d.delta.DeletedContacts = []string{uri}
	return d.save(x.By, 0)
}

// named finds another group of the same name.
func (d *draft) named(name string, but uint8) *ContactGroup {
	i := slices.IndexFunc(d.list.Groups, func(g ContactGroup) bool { return g.ID != but && strings.EqualFold(g.Name, name) })
	if i < 0 {
		return nil
	}
	return &d.list.Groups[i]
}

func groupName(op, name string) error {
	if strings.TrimSpace(name) == "" || name == "~" {
		return fault.New(fault.Invalid, op, `name must not be empty or "~"; choose another`)
	}
	return nil
}

func (x *AddGroup) apply(t *turn) (any, error) {
	const op = "groupstate.AddGroup"
	d, err := t.draft(op, x.User, x.Delta)
	if err != nil {
		return nil, err
	}
	if err := groupName(op, x.Name); err != nil {
		return nil, err
	}
	if g := d.named(x.Name, 0); g != nil {
		if d.old { // two endpoints had the same idea
			return ContactsResult{Delta: d.list.Delta, GroupID: g.ID}, nil
		}
		return nil, fault.New(fault.Exists, op, "a group of that name is on the list already; choose another name").About(string(x.User))
	}
	id := d.freeID()
	if id == 0 {
		return nil, fault.Newf(fault.Limit, op, "the contact list has %d groups, the most allowed; remove one first", MaxGroups).About(string(x.User))
	}
	g := ContactGroup{ID: id, Name: x.Name, ExternalURI: x.ExternalURI}
	i, _ := d.list.searchGroup(id)
	d.list.Groups = slices.Insert(slices.Clone(d.list.Groups), i, g)
	d.list.last = id
	d.delta.AddedGroups = []ContactGroup{g}
	return d.save(x.By, id)
}

// freeID is the next id after the one given last, so that an id is not used again
// while an endpoint may still mean the old group; 0 when all are taken.
func (d *draft) freeID() uint8 {
	have := d.list.have()
	for i := range MaxGroups {
		if id := uint8((int(d.list.last)+i)%MaxGroups + 1); !have.Has(id) {
			return id
		}
	}
	return 0
}

func (x *ModifyGroup) apply(t *turn) (any, error) {
	const op = "groupstate.ModifyGroup"
	d, err := t.draft(op, x.User, x.Delta)
	if err != nil {
		return nil, err
	}
	if err := groupName(op, x.Name); err != nil {
		return nil, err
	}
	i, found := d.list.searchGroup(x.ID)
	switch {
	case x.ID == DefaultGroup:
		return nil, fault.New(fault.Forbidden, op, "group 1 cannot be renamed").About(string(x.User))
	case !found:
		return nil, d.missing(op, "the group")
	case d.named(x.Name, x.ID) != nil:
		return nil, fault.New(fault.Exists, op, "a group of that name is on the list already; choose another name").About(string(x.User))
	}
	g := ContactGroup{ID: x.ID, Name: x.Name, ExternalURI: x.ExternalURI}
	if d.old && d.list.Groups[i] == g {
		return d.done()
	}
	d.list.Groups = slices.Clone(d.list.Groups)
	d.list.Groups[i] = g
	d.delta.ModifiedGroups = []ContactGroup{g}
	return d.save(x.By, x.ID)
}

func (x *DeleteGroup) apply(t *turn) (any, error) {
	const op = "groupstate.DeleteGroup"
	d, err := t.draft(op, x.User, x.Delta)
	if err != nil {
		return nil, err
	}
	i, found := d.list.searchGroup(x.ID)
	switch {
	case x.ID == DefaultGroup:
		return nil, fault.New(fault.Forbidden, op, "group 1 cannot be removed").About(string(x.User))
	case !found && d.old:
		return d.done()
	case !found:
		return nil, d.missing(op, "the group")
	}
	d.list.Groups = slices.Delete(slices.Clone(d.list.Groups), i, i+1)
	d.delta.DeletedGroups = []uint8{x.ID}
	d.list.Contacts = slices.Clone(d.list.Contacts)
	for i, c := range d.list.Contacts {
		if !c.Groups.Has(x.ID) {
			continue
		}
		next := *c
		if next.Groups &^= Groups(x.ID); next.Groups == 0 {
			next.Groups = Groups(DefaultGroup)
		}
		d.list.Contacts[i] = &next
		d.delta.ModifiedContacts = append(d.delta.ModifiedContacts, next)
	}
	return d.save(x.By, 0)
}
