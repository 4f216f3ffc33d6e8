package durability

import (
	"maps"
	"slices"
	"strings"

	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// account is all that a user has on the server, as the user's client reads it.
// Values are never changed, only replaced: a change makes a clone.
type account struct {
	Delta      uint32 // of the contact list
	Groups     map[uint32]string
	Contacts   map[string]contact
	Published  map[place]publication
	Containers map[uint32]container
	Bound      map[string]string // Contact by +sip.instance
	Meetings   map[string]meeting

	last uint32 // id of the group added last: the next one depends on it
}

type contact struct {
	Name       string
	Groups     string // ids, ascending
	Subscribed bool
}

type place struct {
	Category            string
	Container, Instance uint32
}

type publication struct {
	Version    uint32
	ExpireType presdoc.ExpireType
	Body       string
}

type container struct {
	Version uint32
	Members []string // in order of arrival
}

func (a *account) clone() *account {
	b := *a
	b.Groups, b.Contacts, b.Bound = maps.Clone(a.Groups), maps.Clone(a.Contacts), maps.Clone(a.Bound)
	b.Published, b.Containers = maps.Clone(a.Published), maps.Clone(a.Containers)
	return &b
}

// readContacts takes over a contact list.
func (a *account) readContacts(list presdoc.ContactList) {
	a.Delta, a.Groups, a.Contacts = list.DeltaNum, map[uint32]string{}, map[string]contact{}
	for _, g := range list.Groups {
		a.Groups[g.ID] = g.Name
	}
	for _, c := range list.Contacts {
		a.Contacts["sip:"+strings.TrimPrefix(c.URI, "sip:")] = contact{c.Name, ids(c.Groups), c.Subscribed}
	}
}

// readSelf takes over the own presence, but for what the server computes, which
// it returns: versions of aggregated states by place.
func (a *account) readSelf(r presdoc.Roaming) (computed map[place]uint32) {
	a.Published, a.Containers, computed = map[place]publication{}, map[uint32]container{}, map[place]uint32{}
	for _, c := range r.Categories.List {
		at := place{c.Name, c.Container, c.Instance}
		switch {
		case c.Name == "userProperties":
		case c.Name == "state" && c.Instance != userState:
			computed[at] = c.Version
		default:
			a.Published[at] = publication{c.Version, c.ExpireType, c.Body}
		}
	}
	for _, c := range r.Containers {
		k := container{Version: c.Version}
		for _, m := range c.Members {
			k.Members = append(k.Members, m.Value)
		}
		a.Containers[c.ID] = k
	}
	return computed
}

// readBindings takes over the Contacts of an answer to REGISTER.
func (a *account) readBindings(res *sip.Message) error {
	a.Bound = map[string]string{}
	list, err := res.Contacts()
	for _, c := range list {
		a.Bound[strings.Trim(c.Params.Value("+sip.instance"), "<>")] = c.URI + " " + c.Params.Value("q")
	}
	return err
}

func ids(list []uint32) string {
	list = slices.Clone(list)
	slices.Sort(list)
	var b []byte
	for _, id := range list {
		b = append(append(b, ' '), byte('0'+id/10), byte('0'+id%10))
	}
	return string(b)
}
