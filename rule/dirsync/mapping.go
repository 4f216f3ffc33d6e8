package dirsync

import (
	"errors"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
)

// Mapping says which attributes of entries are which properties.
type Mapping struct {
	source     string
	attributes map[string][]string // property to attributes
	address    []string
	domains    []string
	owned      []property
}

// kind is what fits a sort of directory.
type kind struct {
	users, groups string // filters
	address       []string
	attributes    map[string][]string
}

var kinds = map[string]kind{
	"active-directory": {
		users: "(&(objectCategory=person)(objectClass=user))", groups: "(&(objectClass=group)(mail=*))",
		address: []string{"msRTCSIP-PrimaryUserAddress", "proxyAddresses", "mail"},
		attributes: map[string][]string{
			"SourceID": {"objectGUID"}, "Member": {"member"}, "Photo": {"thumbnailPhoto"}, "Stamp": {"uSNChanged", "whenChanged"},
			"DisplayName": {"displayName", "cn"}, "FirstName": {"givenName"}, "LastName": {"sn"}, "UserPrincipalName": {"userPrincipalName"},
			"SamAccountName": {"sAMAccountName"}, "WindowsEmailAddress": {"mail"}, "Title": {"title"}, "Company": {"company"}, "Department": {"department"},
			"Office": {"physicalDeliveryOfficeName"}, "Phone": {"telephoneNumber"}, "MobilePhone": {"mobile"}, "HomePhone": {"homePhone"},
			"OtherPhone": {"otherTelephone"}, "IPPhone": {"ipPhone"}, "LineURI": {"msRTCSIP-Line"}, "MailNickname": {"mailNickname"}, "Country": {"co"}, "City": {"l"},
			"State": {"st"}, "Description": {"description"}, "Manager": {"manager"}, "ProxyAddresses": {"proxyAddresses"},
			"HideFromAddressLists": {"msExchHideFromAddressLists"},
		},
	},
	"inetorgperson": {
		users: "(objectClass=inetOrgPerson)", groups: "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))",
		address: []string{"mail"},
		attributes: map[string][]string{
			"SourceID": {"entryUUID", "nsUniqueId"}, "Member": {"member", "uniqueMember"}, "Photo": {"jpegPhoto"}, "Stamp": {"entryCSN", "modifyTimestamp"},
			"DisplayName": {"displayName", "cn"}, "FirstName": {"givenName"}, "LastName": {"sn"}, "UserPrincipalName": {"mail"}, "SamAccountName": {"uid"},
			"WindowsEmailAddress": {"mail"}, "Title": {"title"}, "Company": {"o"}, "Department": {"departmentNumber", "ou"}, "Office": {"physicalDeliveryOfficeName", "roomNumber"},
			"Phone": {"telephoneNumber"}, "MobilePhone": {"mobile"}, "HomePhone": {"homePhone"}, "Country": {"c"}, "City": {"l"}, "State": {"st"},
			"Description": {"description"}, "Manager": {"manager"},
		},
	},
}

// Filters are the LDAP filters of users and groups of a kind.
func Filters(kindName string) (users, groups string) {
	return kinds[kindName].users, kinds[kindName].groups
}

// NewMapping makes the mapping of a source: that of its kind with the given
// attributes of properties instead; no attributes leave a property alone. Domains
// are those that addresses may have. fault.Invalid for an unknown kind.
func NewMapping(source, kindName string, given map[string][]string, address, domains []string) (*Mapping, error) {
	k, ok := kinds[kindName]
	if !ok {
		return nil, fault.Newf(fault.Invalid, "dirsync.NewMapping", "the kind of a directory needs to be active-directory or inetorgperson, not %q", kindName)
	}
	m := &Mapping{source: source, attributes: map[string][]string{}, address: k.address, domains: domains}
	if len(address) > 0 {
		m.address = address
	}
	for name, list := range k.attributes {
		m.attributes[name] = list
	}
	for name, list := range given {
		m.attributes[name] = list
	}
	for _, p := range properties {
		if len(m.attributes[p.name]) > 0 {
			m.owned = append(m.owned, p)
		}
	}
	if len(m.attributes[manager.name]) > 0 {
		m.owned = append(m.owned, manager)
	}
	return m, nil
}

// Attributes lists the attributes that people and teams are made of, for the
// request.
func (m *Mapping) Attributes() (people, teams []string) {
	for name, list := range m.attributes {
		switch name {
		case "Member", "Photo":
		default:
			people = append(people, list...)
		}
	}
	people = append(append(people, m.address...), accountAttributes...)
	for _, name := range []string{"SourceID", "Member", "DisplayName", "Description", "MailNickname", "HideFromAddressLists", "WindowsEmailAddress"} {
		teams = append(teams, m.attributes[name]...)
	}
	return unique(append(people, "cn")), unique(append(teams, "cn", "mail"))
}

// PhotoAttributes are the attributes that may have the photo of a user.
func (m *Mapping) PhotoAttributes() []string { return m.attributes["Photo"] }

// IDAttributes are the attributes that may have the identifier of an entry.
func (m *Mapping) IDAttributes() []string { return m.attributes["SourceID"] }

// MemberAttributes are the attributes that have the members of a group.
func (m *Mapping) MemberAttributes() []string { return m.attributes["Member"] }

func unique(list []string) []string {
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.CompactFunc(list, strings.EqualFold)
}

// value is the first value of the attributes of a property.
func (m *Mapping) value(e Entry, property string) string {
	for _, a := range m.attributes[property] {
		if s := e.first(a); s != "" {
			return s
		}
	}
	return ""
}

// ID is the identifier of an entry, "" for one that shows none.
func (m *Mapping) ID(e Entry) string {
	for _, a := range m.attributes["SourceID"] {
		for _, v := range e.Attributes[strings.ToLower(a)] {
			if id := ID(a, v); id != "" {
				return id
			}
		}
	}
	return ""
}

// Person makes a person of an entry. fault.Invalid for one that cannot be a user.
func (m *Mapping) Person(e Entry, now time.Time) (Person, error) {
	const op = "dirsync.Person"
	p := Person{ID: m.ID(e), DN: e.DN, Origin: e.Origin, Stamp: m.value(e, "Stamp"), Off: e.off(now)}
	if p.ID == "" {
		return p, fault.Newf(fault.Invalid, op, "the entry has no identifier (%s) that the account of the synchronisation may read", strings.Join(m.IDAttributes(), ", ")).About(e.DN)
	}
	u := &p.User
	u.Source, u.SourceID = m.source, p.ID
	for _, q := range properties {
		switch q.name {
		case "ProxyAddresses":
			u.ProxyAddresses = m.proxies(e)
		case "HideFromAddressLists":
			u.HideFromAddressLists = strings.EqualFold(m.value(e, q.name), "true")
		default:
			f, _ := directory.FieldNamed(q.name)
			q.set(u, cut(m.value(e, q.name), f.Max))
		}
	}
	p.Manager = DNKey(m.value(e, manager.name))
	if problem := m.findAddress(e, u); problem != "" {
		p.Problems = append(p.Problems, problem)
	}
	name(u, e)
	return p, m.sift(&p)
}

// findAddress gives u the first address of one of our domains.
func (m *Mapping) findAddress(e Entry, u *directory.User) (problem string) {
	for _, a := range m.address {
		for _, v := range e.Attributes[strings.ToLower(a)] {
			s := clean(v)
			if isSIP := len(s) > 4 && strings.EqualFold(s[:4], "sip:"); strings.EqualFold(a, "proxyAddresses") && !isSIP {
				continue
			}
			at, err := directory.Address(s)
			if err != nil {
				problem = "the address " + cut(s, 80) + " has not the form user@domain"
				continue
			}
			if slices.ContainsFunc(m.domains, func(d string) bool { return strings.EqualFold(d, at.Domain()) }) {
				u.SipAddress = at
				return ""
			}
			problem = "the address " + string(at) + " is of a domain that is not served here"
		}
	}
	return problem
}

// name fills in the names that every user needs.
func name(u *directory.User, e Entry) {
	if u.UserPrincipalName == "" || strings.Contains(u.UserPrincipalName, ":") {
		u.UserPrincipalName = u.SipAddress.Bare()
	}
	local := u.SipAddress.User()
	if u.SamAccountName == "" {
		u.SamAccountName = local
	}
	u.SamAccountName = cut(strings.Map(func(r rune) rune {
		if strings.ContainsRune("\"/\\[]:;|=,+*?<>@ ", r) {
			return '.'
		}
		return r
	}, u.SamAccountName), 20)
	for _, s := range []string{strings.TrimSpace(u.FirstName + " " + u.LastName), e.first("cn"), local} {
		if u.DisplayName == "" {
			u.DisplayName = s
		}
	}
}

// needed are the properties without which there is no user.
var needed = []string{"SipAddress", "UserPrincipalName", "SamAccountName", "DisplayName", "SourceID"}

// sift takes away the properties that may not be stored and says so. What a user
// needs and p lacks is no matter for one nobody is made of.
func (m *Mapping) sift(p *Person) error {
	directory.Normalize(&p.User)
	v := p.User
	for _, q := range []struct {
		at   *string
		some string
	}{{&v.DisplayName, "x"}, {&v.SamAccountName, "x"}, {&v.UserPrincipalName, "x@example.com"}} {
		if *q.at == "" && v.SipAddress == "" {
			*q.at = q.some
		}
	}
	for range properties {
		err := directory.Validate(&v)
		var e *fault.Error
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &e), slices.Contains(needed, e.Subject), settable[e.Subject].set == nil:
			return err
		}
		p.Problems = append(p.Problems, e.Text)
		settable[e.Subject].set(&v, "")
		settable[e.Subject].set(&p.User, "")
	}
	return directory.Validate(&v)
}

func (m *Mapping) proxies(e Entry) (list []string) {
	for _, a := range m.attributes["ProxyAddresses"] {
		for _, v := range e.Attributes[strings.ToLower(a)] {
			if s := clean(v); s != "" && len(list) < directory.MaxProxyAddresses {
				list = append(list, s)
			}
		}
	}
	return list
}

// Team makes a group of an entry. fault.Invalid for one that cannot be a group.
func (m *Mapping) Team(e Entry) (Team, error) {
	const op = "dirsync.Team"
	t := Team{ID: m.ID(e), DN: e.DN}
	if t.ID == "" {
		return t, fault.Newf(fault.Invalid, op, "the entry has no identifier (%s) that the account of the synchronisation may read", strings.Join(m.IDAttributes(), ", ")).About(e.DN)
	}
	t.Group = directory.Group{
		Source: m.source, SourceID: t.ID, Mail: strings.ToLower(e.first("mail")),
		DisplayName: cut(m.value(e, "DisplayName"), 256), Description: cut(m.value(e, "Description"), 1024), MailNickname: cut(m.value(e, "MailNickname"), 64),
		HideFromAddressLists: strings.EqualFold(m.value(e, "HideFromAddressLists"), "true"),
	}
	if t.Group.DisplayName == "" {
		t.Group.DisplayName = cut(e.first("cn"), 256)
	}
	seen := map[string]bool{}
	for _, a := range m.attributes["Member"] {
		for _, v := range e.Attributes[strings.ToLower(a)] {
			if key := DNKey(string(v)); key != "" && !seen[key] {
				seen[key] = true
				t.Members = append(t.Members, key)
			}
		}
	}
	directory.NormalizeGroup(&t.Group)
	return t, directory.ValidateGroup(&t.Group)
}
