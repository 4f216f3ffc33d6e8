package dirsync

import (
	"slices"
	"strings"

	"trivet/rule/directory"
)

// Names that no two users share are never taken from somebody. A change waits
// until the name it wants has been given up by a change before it; what still
// waits at the end is a conflict.

// uniques are the properties whose values no two users share.
var uniques = func() (list []property) {
	for _, p := range append([]property{sipAddress}, properties...) {
		if p.unique != "" {
			list = append(list, p)
		}
	}
	return list
}()

func key(p property, value string) string {
	value = strings.ToLower(value)
	if p.name == sipAddress.name {
		value = strings.TrimPrefix(value, "sip:")
	}
	return p.unique + value
}

// hold notes the names of a stored user.
func (m *maker) hold(guid string, u *directory.User) {
	for _, p := range uniques {
		v := p.get(u)
		if _, held := m.holders[key(p, v)]; v != "" && !held {
			m.holders[key(p, v)] = guid
		}
	}
}

// release gives the names of a user up.
func (m *maker) release(guid string, u *directory.User) {
	for _, p := range uniques {
		if k := key(p, p.get(u)); m.holders[k] == guid {
			delete(m.holders, k)
		}
	}
}

// wanted lists the names that a change asks for and somebody else has.
func (m *maker) taken(w *wish) (list []Change) {
	for _, c := range w.changes {
		p := settable[c.Property]
		if p.unique == "" || c.New == "" {
			continue
		}
		if by, held := m.holders[key(p, c.New)]; held && by != w.guid {
			list = append(list, c)
		}
	}
	return list
}

// settle turns wishes into actions, those first that give up names others want.
func (m *maker) settle() {
	open := m.wishes
	for progress := true; progress; {
		progress = false
		var still []*wish
		for _, w := range open {
			if len(m.taken(w)) > 0 {
				still = append(still, w)
				continue
			}
			m.accept(w)
			progress = true
		}
		open = still
	}
	for _, w := range open {
		m.refuse(w)
	}
}

// accept makes w an action.
func (m *maker) accept(w *wish) {
	var base directory.User
	if w.stored != nil {
		base = *w.stored
	} else {
		base = directory.User{GUID: w.guid, Source: m.Source, SourceID: w.person.ID}
	}
	m.release(w.guid, &base)
	Apply(&base, w.changes)
	m.hold(w.guid, &base)
	m.final[w.guid] = &base
	m.guidOf[DNKey(w.person.DN)] = w.guid
	m.accepted = append(m.accepted, w)
}

// refuse reports the names that are taken and accepts the rest.
func (m *maker) refuse(w *wish) {
	for _, c := range m.taken(w) {
		holder := m.holders[key(settable[c.Property], c.New)]
		text := c.Property + " " + c.New + " belongs to " + m.labels[holder]
		if m.labels[holder] == "" {
			text = c.Property + " " + c.New + " belongs to another entry of the directory"
		}
		if w.stored == nil && slices.Contains(needed, c.Property) {
			m.conflict(label(&w.person.User), "not created: "+text)
			return
		}
		m.conflict(label(&w.person.User), "kept as it is: "+text)
		w.changes = slices.DeleteFunc(w.changes, func(x Change) bool { return x == c })
	}
	m.accept(w)
}

// managers finds the managers, who may be new themselves, and makes the actions.
func (m *maker) managers() {
	mapped := len(m.Mapping.attributes[manager.name]) > 0
	byAddress := make(map[string]string, len(m.Users))
	for i := range m.Users {
		if u := &m.Users[i]; u.SipAddress != "" {
			byAddress[string(u.SipAddress)] = u.GUID
		}
	}
	for _, w := range m.accepted {
		if mapped {
			m.manager(w, byAddress)
		}
		a := Action{Kind: Update, ID: w.person.ID, GUID: w.guid, Label: label(m.final[w.guid]), Changes: w.changes}
		if w.stored == nil {
			a.Kind, a.User, a.Changes = Create, *m.final[w.guid], nil
			m.plan.Known = append(m.plan.Known, Known{ID: w.person.ID, GUID: w.guid, DN: w.person.DN, Origin: w.person.Origin})
		} else if len(w.changes) == 0 {
			continue
		} else {
			a.Label = label(w.stored)
		}
		m.act(a)
	}
}

// manager adds the change of the manager to w. Who is the manager counts, not how
// the stored user names him: the store follows changes of addresses.
func (m *maker) manager(w *wish, byAddress map[string]string) {
	is := m.final[m.guidOf[w.person.Manager]]
	if w.person.Manager == "" {
		is = nil
	}
	was := ""
	if w.stored != nil {
		was = w.stored.Manager
	}
	guid := was
	if g := byAddress[was]; g != "" {
		guid = g
	}
	name, isGUID := "", ""
	if is != nil {
		if isGUID, name = is.GUID, string(is.SipAddress); name == "" {
			name = is.GUID
		}
	}
	if guid == isGUID || was == name {
		return
	}
	w.changes = append(w.changes, Change{manager.name, was, name})
	m.final[w.guid].Manager = name
}
