package groupstate

import (
	"slices"

	"trivet/fault"
)

// ImportUser makes the user of a record, or replaces the durable part of one that is
// there; endpoints, subscriptions and what they publish stay. Numbers that clients
// compare (versions of publications and containers, that of the contact list) never go
// back: where the content changes they rise above what was there. With Add, contacts and
// conferences of the record are put to those that are there, and the rest of the record
// is not looked at: see ImportCommands. Result: UserResult.
type ImportUser struct {
	Now    int64
	Add    bool
	Record Record
}

func (*ImportUser) number() uint16 { return numImportUser }

func (x *ImportUser) fields(c *codec) {
	c.i64("now", &x.Now)
	c.flag("add", &x.Add)
	x.Record.fields(c)
}

// importPart is how many bytes of contacts or conferences one command takes.
const importPart = 256 << 10

// ImportCommands returns what has to be applied, in this order, to import a record of
// any size: mostly one command.
func ImportCommands(r *Record, now int64) []*ImportUser {
	first := &ImportUser{Now: now, Record: *r}
	all, at := []*ImportUser{first}, first
	first.Record.Conferences = nil
	if r.Contacts != nil {
		l := *r.Contacts
		l.Contacts = nil
		first.Record.Contacts = &l
	}
	size := 0
	room := func(n int) *Record {
		if size += n; size > importPart {
			size = n
			at = &ImportUser{Now: now, Add: true, Record: Record{User: r.User}}
			all = append(all, at)
		}
		return &at.Record
	}
	if r.Contacts != nil {
		for _, c := range r.Contacts.Contacts {
			part := room(len(c.URI) + len(c.Name) + len(c.ExternalURI) + 16)
			if part.Contacts == nil {
				l := *r.Contacts
				l.Contacts = nil
				part.Contacts = &l
			}
			part.Contacts.Contacts = append(part.Contacts.Contacts, c)
		}
	}
	for _, x := range r.Conferences {
		n := len(x.Subject) + 128
		for _, l := range x.Listed {
			n += len(l.User) + 4
		}
		part := room(n)
		part.Conferences = append(part.Conferences, x)
	}
	return all
}

func (x *ImportUser) apply(t *turn) (any, error) {
	const op = "groupstate.ImportUser"
	r := &x.Record
	if err := r.check(op); err != nil {
		return nil, err
	}
	e := t.users[r.User]
	if x.Add {
		if e == nil {
			return nil, fault.New(fault.NotFound, op, "the user is not there; import the first part first").About(string(r.User))
		}
		return x.add(t, e)
	}
	if e == nil {
		e = &entry{user: &User{gen: t.gen, uri: r.User, since: r.Since, disabled: r.Disabled}, pos: -1}
		t.users[r.User] = e
		if r.Disabled {
			t.emit(UserDisabled{r.User})
		} else {
			t.emit(UserEnabled{r.User})
		}
	}
	ended := x.standing(t, e)
	x.containers(t, e)
	x.subscribers(t, e)
	x.publications(t, e)
	t.importContacts(e, r.Contacts)
	t.dropConferences(e, false, func(c *Conference) bool {
		return !slices.ContainsFunc(r.Conferences, func(o *Conference) bool { return o.ID == c.ID })
	})
	for _, c := range r.Conferences {
		t.importConference(e, c)
	}
	t.derive(e, x.Now)
	t.reckon(e)
	return UserResult{Changed: true, Ended: ended}, nil
}

// standing takes over whether the user may sign in, and since when it is enabled.
func (x *ImportUser) standing(t *turn, e *entry) (ended []Binding) {
	u, r := t.edit(e), &x.Record
	u.since = r.Since
	switch {
	case u.disabled == r.Disabled:
	case r.Disabled:
		ended = u.bindings
		u.disabled = true
		t.unbind(e, ended, AttributesChanged, x.Now)
		t.endSubscriptions(e, func(*Subscription) bool { return true }, AttributesChanged)
		t.emit(UserDisabled{r.User})
	default:
		u.disabled = false
		t.emit(UserEnabled{r.User})
	}
	return ended
}

// containers replaces the containers; those that the record does not have are empty.
func (x *ImportUser) containers(t *turn, e *entry) {
	next, changed := slices.Clone(x.Record.Containers), []Container(nil)
	for _, was := range e.user.access {
		if _, found := findContainer(next, was.ID); !found {
			next = putContainer(next, Container{ID: was.ID, Version: was.Version})
		}
	}
	for i := range next {
		c := &next[i]
		was := e.user.Container(c.ID)
		if slices.Equal(was.Members, c.Members) {
			c.Version = max(c.Version, was.Version)
			continue
		}
		c.Version = max(c.Version, was.Version+1)
		changed = append(changed, *c)
	}
	if len(next) > maxContainers { // empty ones that only the old state had
		next = slices.DeleteFunc(next, func(c Container) bool { return len(c.Members) == 0 })
	}
	t.edit(e).access = next
	if len(changed) > 0 {
		t.emit(ContainersChanged{User: x.Record.User, Containers: changed})
	}
}

func (x *ImportUser) subscribers(t *turn, e *entry) {
	was, next := e.user.prompted, x.Record.Subscribers
	if slices.Equal(was, next) {
		return
	}
	var changed []Subscriber
	for _, s := range next {
		if !slices.Contains(was, s) {
			changed = append(changed, s)
		}
	}
	t.edit(e).prompted = next
	t.emit(SubscribersChanged{User: x.Record.User, Subscribers: next, Changed: changed})
}

// publications replaces the static publications; others of a key that the record has
// make way.
func (x *ImportUser) publications(t *turn, e *entry) {
	was := e.user.presence
	if was == nil && len(x.Record.Publications) == 0 {
		return
	}
	next := &presence{}
	if was != nil {
		next.refused = was.refused
		for _, p := range was.list {
			if p.ExpireType != Static {
				next.list = append(next.list, p)
			}
		}
	}
	for _, p := range x.Record.Publications {
		q := *p
		if old, _ := e.user.find(p.PublicationKey); old != nil && old.Body == p.Body && old.ExpireType == Static {
			q.Version = max(p.Version, old.Version)
		} else if old != nil {
			q.Version = max(p.Version, old.Version+1)
		}
		if i, found := next.at(p.PublicationKey); found {
			next.list[i] = &q
		} else {
			next.list = slices.Insert(next.list, i, &q)
		}
	}
	if n := len(next.list); n > MaxPublications { // what endpoints publish comes again by itself
		next.list = slices.DeleteFunc(next.list, func(p *Publication) bool { return p.ExpireType != Static })
	}
	next.reread()
	x.touchDifferences(t, e, was, next)
	t.edit(e).presence = next
}

func (x *ImportUser) touchDifferences(t *turn, e *entry, was, next *presence) {
	if was != nil {
		for _, p := range was.list {
			if _, found := next.at(p.PublicationKey); !found {
				t.touch(e, "", p.Category, p.Container)
			}
		}
	}
	for _, p := range next.list {
		if old, _ := e.user.find(p.PublicationKey); old == nil || old.Version != p.Version {
			t.touch(e, "", p.Category, p.Container)
		}
	}
}

func (t *turn) importConference(e *entry, c *Conference) {
	if was := e.user.Conference(c.ID); was == nil || !was.equal(c) {
		t.keep(e, c)
	}
}

func (x *Conference) equal(o *Conference) bool {
	return x.ID == o.ID && x.Subject == o.Subject && x.Terms() == o.Terms() && x.Created == o.Created && x.Updated == o.Updated &&
		x.Activated == o.Activated && x.Expires == o.Expires && slices.Equal(x.Modalities, o.Modalities) && slices.Equal(x.Listed, o.Listed)
}

// add puts contacts and conferences of a further part to those that are there.
func (x *ImportUser) add(t *turn, e *entry) (any, error) {
	const op = "groupstate.ImportUser"
	var next *ContactList
	if l := x.Record.Contacts; l != nil {
		have := *e.user.Contacts()
		have.Contacts = slices.Clone(have.Contacts)
		for _, c := range l.Contacts {
			if c.Groups&^have.have() != 0 {
				return nil, fault.New(fault.Invalid, op, "a contact is in a group that is not there; import the first part first").About(c.URI)
			}
			if i, found := have.search(c.URI); found {
				have.Contacts[i] = c
			} else {
				have.Contacts = slices.Insert(have.Contacts, i, c)
			}
		}
		next = &have
	}
	news := 0
	for _, c := range x.Record.Conferences {
		if e.user.Conference(c.ID) == nil {
			news++
		}
	}
	if next != nil && len(next.Contacts) > MaxContacts || len(e.user.conferences)+news > MaxConferences {
		return nil, fault.Newf(fault.Limit, op, "a user may have %d contacts and %d conferences", MaxContacts, MaxConferences).About(string(x.Record.User))
	}
	if next != nil {
		t.importContacts(e, next)
	}
	for _, c := range x.Record.Conferences {
		t.importConference(e, c)
	}
	t.reckon(e)
	return UserResult{Changed: true}, nil
}
