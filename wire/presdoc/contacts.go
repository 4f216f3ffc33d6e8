package presdoc

import (
	"strconv"
	"strings"

	"trivet/wire/xmlpull"
)

// ContactGroup is a group of a contact list. The name "~" is shown as "Other
// Contacts".
type ContactGroup struct {
	ID          uint32
	Name        string
	ExternalURI string
}

// Contact is an entry of a contact list. An empty Name makes clients show the
// name of the contact card.
type Contact struct {
	URI         string
	Name        string
	Groups      []uint32
	Subscribed  bool
	ExternalURI string
}

// ContactList is the whole list of a user, a body of TypeContacts. DeltaNum counts
// changes from 1; 0, which clients ignore, is written as 1.
type ContactList struct {
	DeltaNum uint32
	Groups   []ContactGroup
	Contacts []Contact
}

// ContactDelta is what changed between two numbers, a body of TypeContacts too.
type ContactDelta struct {
	DeltaNum         uint32
	PrevDeltaNum     uint32
	AddedGroups      []ContactGroup
	ModifiedGroups   []ContactGroup
	DeletedGroups    []uint32
	AddedContacts    []Contact
	ModifiedContacts []Contact
	DeletedContacts  []string // URIs
}

// Append writes the list. Contacts are without "sip:" in it; ucsmode="none" tells
// Lync 2013 clients that the list is kept here and not in Exchange.
func (l ContactList) Append(b []byte) []byte {
	b = xmlpull.AppendUint(append(b, "<contactList"...), "deltaNum", uint64(max(l.DeltaNum, 1)))
	b = append(b, ` ucsmode="none">`...)
	for _, g := range l.Groups {
		b = g.append(b, "group")
	}
	for _, c := range l.Contacts {
		b = c.append(b, "contact", bare(c.URI))
	}
	return append(b, "</contactList>"...)
}

// Append writes the change. Contacts are with "sip:" in it.
func (d ContactDelta) Append(b []byte) []byte {
	b = xmlpull.AppendUint(append(b, "<contactDelta"...), "deltaNum", uint64(max(d.DeltaNum, 1)))
	b = append(xmlpull.AppendUint(b, "prevDeltaNum", uint64(max(d.PrevDeltaNum, 1))), '>')
	for _, g := range d.AddedGroups {
		b = g.append(b, "addedGroup")
	}
	for _, g := range d.ModifiedGroups {
		b = g.append(b, "modifiedGroup")
	}
	for _, id := range d.DeletedGroups {
		b = append(xmlpull.AppendUint(append(b, "<deletedGroup"...), "id", uint64(id)), "/>"...)
	}
	for _, c := range d.AddedContacts {
		b = c.append(b, "addedContact", withScheme(c.URI))
	}
	for _, c := range d.ModifiedContacts {
		b = c.append(b, "modifiedContact", withScheme(c.URI))
	}
	for _, uri := range d.DeletedContacts {
		b = append(xmlpull.AppendAttr(append(b, "<deletedContact"...), "uri", withScheme(uri)), "/>"...)
	}
	return append(b, "</contactDelta>"...)
}

func (g ContactGroup) append(b []byte, element string) []byte {
	b = xmlpull.AppendUint(append(append(b, '<'), element...), "id", uint64(g.ID))
	b = xmlpull.AppendAttr(b, "name", g.Name)
	return append(xmlpull.AppendAttr(b, "externalURI", g.ExternalURI), "/>"...)
}

func (c Contact) append(b []byte, element, uri string) []byte {
	b = xmlpull.AppendAttr(append(append(b, '<'), element...), "uri", uri)
	b = xmlpull.AppendAttr(b, "name", c.Name)
	b = append(appendIDs(append(b, ` groups="`...), c.Groups), '"')
	b = appendBool(b, "subscribed", c.Subscribed)
	return append(xmlpull.AppendAttr(b, "externalURI", c.ExternalURI), "/>"...)
}

// ParseContactList reads a contact list.
func ParseContactList(b []byte) (ContactList, error) {
	var l ContactList
	err := read("ParseContactList", b, "contactList", func(s *xmlpull.Scanner) {
		l.DeltaNum = s.Uint32("deltaNum")
		for name := range s.Children() {
			switch name {
			case "group":
				l.Groups = readGroup(s, l.Groups)
			case "contact":
				l.Contacts = readContact(s, l.Contacts)
			}
		}
	})
	if err != nil {
		return ContactList{}, err
	}
	return l, nil
}

// ParseContactDelta reads a change of a contact list.
func ParseContactDelta(b []byte) (ContactDelta, error) {
	var d ContactDelta
	err := read("ParseContactDelta", b, "contactDelta", func(s *xmlpull.Scanner) {
		d.DeltaNum, d.PrevDeltaNum = s.Uint32("deltaNum"), s.Uint32("prevDeltaNum")
		for name := range s.Children() {
			d.read(s, name)
		}
	})
	if err != nil {
		return ContactDelta{}, err
	}
	return d, nil
}

func (d *ContactDelta) read(s *xmlpull.Scanner, name string) {
	switch name {
	case "addedGroup":
		d.AddedGroups = readGroup(s, d.AddedGroups)
	case "modifiedGroup":
		d.ModifiedGroups = readGroup(s, d.ModifiedGroups)
	case "deletedGroup":
		if !full(s, len(d.DeletedGroups), MaxGroups, "groups") {
			d.DeletedGroups = append(d.DeletedGroups, s.Uint32("id"))
		}
	case "addedContact":
		d.AddedContacts = readContact(s, d.AddedContacts)
	case "modifiedContact":
		d.ModifiedContacts = readContact(s, d.ModifiedContacts)
	case "deletedContact":
		if !full(s, len(d.DeletedContacts), MaxContacts, "contacts") {
			d.DeletedContacts = append(d.DeletedContacts, s.Attr("uri"))
		}
	}
}

func readGroup(s *xmlpull.Scanner, list []ContactGroup) []ContactGroup {
	if full(s, len(list), MaxGroups, "groups") {
		return list
	}
	return append(list, ContactGroup{ID: s.Uint32("id"), Name: s.Attr("name"), ExternalURI: s.Attr("externalURI")})
}

func readContact(s *xmlpull.Scanner, list []Contact) []Contact {
	if full(s, len(list), MaxContacts, "contacts") {
		return list
	}
	return append(list, Contact{
		URI: s.Attr("uri"), Name: s.Attr("name"), Groups: parseIDs(s, s.Attr("groups")),
		Subscribed: s.Bool("subscribed"), ExternalURI: s.Attr("externalURI"),
	})
}

func appendIDs(b []byte, ids []uint32) []byte {
	for i, id := range ids {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, uint64(id), 10)
	}
	return b
}

// parseIDs reads group numbers separated by space.
func parseIDs(s *xmlpull.Scanner, v string) []uint32 {
	var ids []uint32
	for field := range strings.FieldsSeq(v) {
		id, ok := xmlpull.Uint32(field)
		if !ok {
			s.Fail("groups must be group numbers separated by spaces")
			return nil
		}
		if full(s, len(ids), MaxGroups, "groups") {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}
