package groupstate

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/uc"
)

// Limits of a contact list. MaxContacts is the hard ceiling for SetContact.Max.
const (
	MaxContacts = 1000
	MaxGroups   = 64
	maxName     = 256
	maxExternal = 512
)

// DefaultGroup is the group that every list has, under the name "~".
const DefaultGroup = 1

// GroupSet is a set of group ids, bit id-1.
type GroupSet uint64

// Groups makes a set. Ids outside 1 to 64 are left out.
func Groups(ids ...uint8) GroupSet {
	var s GroupSet
	for _, id := range ids {
		if 1 <= id && id <= MaxGroups {
			s |= 1 << (id - 1)
		}
	}
	return s
}

// Has reports whether the id is in the set.
func (s GroupSet) Has(id uint8) bool { return s&Groups(id) != 0 }

// IDs lists the set in ascending order.
func (s GroupSet) IDs() []uint8 {
	ids := make([]uint8, 0, bits.OnesCount64(uint64(s)))
	for ; s != 0; s &= s - 1 {
		ids = append(ids, uint8(bits.TrailingZeros64(uint64(s))+1))
	}
	return ids
}

// Contact is an entry of a contact list.
type Contact struct {
	URI         string // sip:user@domain in lower case, or tel:…
	Name        string // own alias, may be ""
	Groups      GroupSet
	Subscribed  bool
	ExternalURI string
}

// ContactGroup is a group of contacts.
type ContactGroup struct {
	ID          uint8
	Name        string
	ExternalURI string
}

// ContactList is the contact list of a user. Delta, never 0, grows by one with
// each change.
type ContactList struct {
	Delta    uint32
	Groups   []ContactGroup // by id
	Contacts []*Contact     // by URI
	last     uint8          // id of the group added last
}

// emptyList is what a user begins with.
var emptyList = ContactList{Delta: 1, Groups: []ContactGroup{{ID: DefaultGroup, Name: "~"}}, last: DefaultGroup}

// Find returns the contact, nil if it is not on the list.
func (l *ContactList) Find(uri string) *Contact {
	if i, ok := l.search(uri); ok {
		return l.Contacts[i]
	}
	return nil
}

func (l *ContactList) search(uri string) (int, bool) {
	return slices.BinarySearchFunc(l.Contacts, uri, func(c *Contact, uri string) int { return cmp.Compare(c.URI, uri) })
}

// Group returns the group, nil if there is none of that id.
func (l *ContactList) Group(id uint8) *ContactGroup {
	if i, ok := l.searchGroup(id); ok {
		return &l.Groups[i]
	}
	return nil
}

func (l *ContactList) searchGroup(id uint8) (int, bool) {
	return slices.BinarySearchFunc(l.Groups, id, func(g ContactGroup, id uint8) int { return cmp.Compare(g.ID, id) })
}

// have is the set of the groups of the list.
func (l *ContactList) have() GroupSet {
	var s GroupSet
	for _, g := range l.Groups {
		s |= Groups(g.ID)
	}
	return s
}

// Contacts returns the contact list.
func (u *User) Contacts() *ContactList {
	if u.contacts == nil {
		return &emptyList
	}
	return u.contacts
}

// The commands on contact lists. Delta is the number that the client believes to
// be current. With the current number (or a higher one: clients count by
// themselves) every fault is told. With an old number the change is made as far
// as it still has a meaning: what is removed already counts as done, groups that
// have gone are left out; fault.Stale only if nothing is left of it. Result of
// all: ContactsResult.
type (
	// SetContact adds a contact or replaces it. More than Max contacts:
	// fault.Limit.
	SetContact struct {
		User    uc.UserURI
		By      uc.EndpointID
		Now     int64
		Delta   uint32
		Max     uint32
		Contact Contact
	}
	// DeleteContact removes a contact.
	DeleteContact struct {
		User  uc.UserURI
		By    uc.EndpointID
		Now   int64
		Delta uint32
		URI   string
	}
	// AddGroup adds a group under the next free id, which the result tells.
	AddGroup struct {
		User        uc.UserURI
		By          uc.EndpointID
		Now         int64
		Delta       uint32
		Name        string
		ExternalURI string
	}
	// ModifyGroup renames a group.
	ModifyGroup struct {
		User        uc.UserURI
		By          uc.EndpointID
		Now         int64
		Delta       uint32
		ID          uint8
		Name        string
		ExternalURI string
	}
	// DeleteGroup removes a group; contacts of no other group go to group 1.
	DeleteGroup struct {
		User  uc.UserURI
		By    uc.EndpointID
		Now   int64
		Delta uint32
		ID    uint8
	}
)

// ContactsResult is the outcome of a command on a contact list. Delta is the
// number of the list afterwards.
type ContactsResult struct {
	Delta   uint32
	Changed bool
	GroupID uint8 // of AddGroup
}

// ContactDelta is the difference between the list at Prev and at Delta.
type ContactDelta struct {
	Delta, Prev      uint32
	AddedGroups      []ContactGroup
	ModifiedGroups   []ContactGroup
	DeletedGroups    []uint8
	AddedContacts    []Contact
	ModifiedContacts []Contact
	DeletedContacts  []string
}

// ContactsChanged tells of a change of a contact list.
type ContactsChanged struct {
	User  uc.UserURI
	By    uc.EndpointID
	Delta ContactDelta
}

func (*SetContact) number() uint16    { return numSetContact }
func (*DeleteContact) number() uint16 { return numDeleteContact }
func (*AddGroup) number() uint16      { return numAddGroup }
func (*ModifyGroup) number() uint16   { return numModifyGroup }
func (*DeleteGroup) number() uint16   { return numDeleteGroup }

func listCommand(c *codec, user *uc.UserURI, by *uc.EndpointID, now *int64, delta *uint32) {
	text(c, "user", user, maxURI)
	text(c, "endpoint", by, maxContact)
	c.i64("now", now)
	c.u32("deltaNum", delta)
}

func (x *SetContact) fields(c *codec) {
	listCommand(c, &x.User, &x.By, &x.Now, &x.Delta)
	number(c, "max", &x.Max, MaxContacts)
	x.Contact.fields(c)
}

func (x *DeleteContact) fields(c *codec) {
	listCommand(c, &x.User, &x.By, &x.Now, &x.Delta)
	text(c, "URI", &x.URI, maxURI)
}

func (x *AddGroup) fields(c *codec) {
	listCommand(c, &x.User, &x.By, &x.Now, &x.Delta)
	text(c, "name", &x.Name, maxName)
	text(c, "externalURI", &x.ExternalURI, maxExternal)
}

func (x *ModifyGroup) fields(c *codec) {
	listCommand(c, &x.User, &x.By, &x.Now, &x.Delta)
	number(c, "groupID", &x.ID, MaxGroups)
	text(c, "name", &x.Name, maxName)
	text(c, "externalURI", &x.ExternalURI, maxExternal)
}

func (x *DeleteGroup) fields(c *codec) {
	listCommand(c, &x.User, &x.By, &x.Now, &x.Delta)
	number(c, "groupID", &x.ID, MaxGroups)
}

func (x *Contact) fields(c *codec) {
	text(c, "URI", &x.URI, maxURI)
	text(c, "displayName", &x.Name, maxName)
	groups := uint64(x.Groups)
	c.u64("groups", &groups)
	x.Groups = GroupSet(groups)
	c.flag("subscribed", &x.Subscribed)
	text(c, "externalURI", &x.ExternalURI, maxExternal)
}

func (g *ContactGroup) fields(c *codec) {
	number(c, "groupID", &g.ID, MaxGroups)
	text(c, "name", &g.Name, maxName)
	text(c, "externalURI", &g.ExternalURI, maxExternal)
}

func (l *ContactList) fields(c *codec) {
	c.u32("deltaNum", &l.Delta)
	number(c, "last group", &l.last, MaxGroups)
	list(c, "groups", &l.Groups, MaxGroups, (*ContactGroup).fields)
	list(c, "contacts", &l.Contacts, MaxContacts, func(p **Contact, c *codec) {
		if c.reading {
			*p = new(Contact)
		}
		(*p).fields(c)
	})
}

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
