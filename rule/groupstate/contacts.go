package groupstate

import (
	"cmp"
	"math/bits"
	"slices"

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
