package addressbook

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/google/uuid"

	"trivet/rule/directory"
	"trivet/rule/phonenorm"
	"trivet/wire/absfile"
)

// fileAttribute is an attribute of address book files, under the number that the
// product gives it.
type fileAttribute struct {
	absfile.Attribute
	phone bool
	user  func(u *directory.User) string
	group func(g *directory.Group) string // nil: groups lack it
}

var fileAttributes = []fileAttribute{
	{absfile.Attribute{ID: 2, Field: absfile.GivenName, Name: "givenName"}, false, func(u *directory.User) string { return u.FirstName }, nil},
	{absfile.Attribute{ID: 3, Field: absfile.Surname, Name: "sn"}, false, func(u *directory.User) string { return u.LastName }, nil},
	{absfile.Attribute{ID: 4, Field: absfile.DisplayName, Name: "displayName"}, false, func(u *directory.User) string { return u.DisplayName }, func(g *directory.Group) string { return g.DisplayName }},
	{absfile.Attribute{ID: 5, Field: absfile.Title, Name: "title"}, false, func(u *directory.User) string { return u.Title }, nil},
	{absfile.Attribute{ID: 6, Field: absfile.MailNickname, Name: "mailNickname"}, false, func(u *directory.User) string { return u.MailNickname }, func(g *directory.Group) string { return g.MailNickname }},
	{absfile.Attribute{ID: 7, Field: absfile.Company, Name: "company"}, false, func(u *directory.User) string { return u.Company }, nil},
	{absfile.Attribute{ID: 8, Field: absfile.Office, Name: "physicalDeliveryOfficeName"}, false, func(u *directory.User) string { return u.Office }, nil},
	{absfile.Attribute{ID: 9, Field: absfile.SIPAddress, Name: "msRTCSIP-PrimaryUserAddress"}, false, sipAddress, func(g *directory.Group) string { return string(g.SipAddress) }},
	{absfile.Attribute{ID: 10, Field: absfile.Telephone, Name: "telephoneNumber"}, true, func(u *directory.User) string { return u.Phone }, nil},
	{absfile.Attribute{ID: 11, Field: absfile.HomePhone, Name: "homePhone"}, true, func(u *directory.User) string { return u.HomePhone }, nil},
	{absfile.Attribute{ID: 13, Field: absfile.Mobile, Name: "mobile"}, true, func(u *directory.User) string { return u.MobilePhone }, nil},
	{absfile.Attribute{ID: 15, Field: absfile.OtherTelephone, Name: "otherTelephone"}, true, func(u *directory.User) string { return u.OtherPhone }, nil},
	{absfile.Attribute{ID: 16, Field: absfile.IPPhone, Name: "ipPhone"}, true, func(u *directory.User) string { return u.IPPhone }, nil},
	{absfile.Attribute{ID: 17, Field: absfile.Mail, Name: "mail"}, false, func(u *directory.User) string { return u.WindowsEmailAddress }, func(g *directory.Group) string { return g.Mail }},
	{absfile.Attribute{ID: 19, Field: absfile.GroupType, Name: "groupType"}, false, func(*directory.User) string { return "" }, func(*directory.Group) string { return distribution }},
	{absfile.Attribute{ID: 20, Field: absfile.Manager, Name: "manager"}, false, func(u *directory.User) string { return u.Manager }, nil},
}

// record is somebody in the address book.
type record struct {
	guid  [16]byte
	user  *directory.User // or
	group *directory.Group
}

// roll is the address book at one moment, in the order of GUIDs.
type roll struct {
	records []record
	phones  *phonenorm.Normalizer // nil: numbers are left as they are
}

// everybody calls the roll, and says of which state it is. Who has no GUID that is
// one is left out.
func (s *Service) everybody(ctx context.Context, phones *phonenorm.Normalizer) (roll, state, error) {
	groups, err := s.cfg.Directory.ListGroups(ctx, "", 0)
	if err != nil {
		return roll{}, state{}, err
	}
	s.mu.RLock()
	users := s.people.All()
	at := state{known: true, changes: s.changes}
	s.mu.RUnlock()
	r := roll{phones: phones, records: make([]record, 0, len(users)+len(groups))}
	for _, u := range users {
		if id, err := uuid.Parse(u.GUID); err == nil {
			r.records = append(r.records, record{guid: id, user: u})
		}
	}
	for i := range groups {
		if id, err := uuid.Parse(groups[i].GUID); err == nil && !groups[i].HideFromAddressLists {
			r.records = append(r.records, record{guid: id, group: &groups[i]})
		}
	}
	slices.SortFunc(r.records, func(a, b record) int { return bytes.Compare(a.guid[:], b.guid[:]) })
	at.groups = hashOf(groups)
	return r, at, nil
}

func hashOf(groups []directory.Group) uint64 {
	h := fnv.New64a()
	for i := range groups {
		fmt.Fprintln(h, groups[i].GUID, groups[i].WhenChanged.UnixMilli())
	}
	return h.Sum64()
}

// header describes a file of the roll.
func (r *roll) header(name absfile.Name, source string) absfile.Header {
	h := absfile.Header{Name: name, Normalized: r.phones != nil, Source: source}
	for _, a := range fileAttributes {
		h.Attributes = append(h.Attributes, a.Attribute)
	}
	return h
}

// contact is the i-th record as files have it. Its values are put where those of
// into were.
func (r *roll) contact(i int, into *absfile.Contact) {
	x := &r.records[i]
	into.GUID, into.Values = x.guid, into.Values[:0]
	for _, a := range fileAttributes {
		v := ""
		switch {
		case x.user != nil:
			v = a.user(x.user)
		case a.group != nil:
			v = a.group(x.group)
		}
		if v == "" {
			continue
		}
		into.Values = append(into.Values, absfile.Value{ID: a.ID, Text: v})
		if a.phone && r.phones != nil {
			if n, ok := r.phones.Normalize(v); ok {
				into.Values = append(into.Values, absfile.Value{ID: a.ID, Text: n})
			}
		}
	}
}
