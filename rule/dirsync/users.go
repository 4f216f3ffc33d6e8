package dirsync

import (
	"maps"
	"slices"
	"time"

	"trivet/rule/directory"
)

// maker makes one plan.
type maker struct {
	Input
	plan     Plan
	persons  []Person                   // without doubles, by ID
	byID     map[string]*directory.User // stored users of the source
	guids    map[string]bool            // taken GUIDs
	holders  map[string]string          // unique key to the GUID that has it
	labels   map[string]string          // GUID to label
	wishes   []*wish
	accepted []*wish
	groups   int // stored ones of the source
	skipped  map[string]int
	guidOf   map[string]string          // DNKey to the GUID of a user that there is after the plan
	final    map[string]*directory.User // GUID to the user as it is after the plan
}

// wish is a user that is to be created or changed, before it is known whether the
// names it wants are free.
type wish struct {
	person  *Person
	stored  *directory.User // nil: to be created
	guid    string
	changes []Change
}

func label(u *directory.User) string {
	for _, s := range []string{string(u.SipAddress), u.UserPrincipalName, u.DisplayName} {
		if s != "" {
			return s
		}
	}
	return u.SourceID
}

func (m *maker) conflict(label, text string) {
	m.plan.Conflicts = append(m.plan.Conflicts, Conflict{label, text})
}

// people looks at every entry and at who it is here.
func (m *maker) people() {
	m.labels = make(map[string]string, len(m.Users))
	for i := range m.Users {
		u := &m.Users[i]
		if u.Source == m.Source {
			m.byID[u.SourceID] = u
		}
		m.guids[u.GUID], m.labels[u.GUID], m.final[u.GUID] = true, label(u), u
		m.hold(u.GUID, u)
	}
	for i := range m.Stored {
		g := &m.Stored[i]
		m.guids[g.GUID], m.labels[g.GUID] = true, "the group "+g.DisplayName
		if g.SipAddress != "" {
			m.holders[key(sipAddress, string(g.SipAddress))] = g.GUID
		}
	}
	m.persons = m.singles()
	for i := range m.persons {
		p := &m.persons[i]
		if u := m.byID[p.ID]; u != nil {
			m.present(p, u)
		} else {
			m.fresh(p)
		}
	}
}

// fresh is an entry that nobody here stands for.
func (m *maker) fresh(p *Person) {
	switch {
	case m.Known[p.ID].Removed:
		m.skipped["deleted here by an administrator"]++
		return
	case p.Off != "":
		m.skipped[string(p.Off)]++
		return
	case p.User.SipAddress == "" && len(p.Problems) == 0:
		m.skipped["without an address"]++
		return
	case p.User.SipAddress == "":
		m.skipped["without an address of a domain that is served here"]++
		return
	}
	m.problems(p)
	w := &wish{person: p, guid: GUIDOf(m.Source, p.ID)}
	if m.guids[w.guid] {
		m.conflict(label(&p.User), "not created: its GUID "+w.guid+" is that of "+m.labels[w.guid]+", who is not of this source")
		return
	}
	m.guids[w.guid] = true
	for _, q := range withAddress(m.Mapping.owned) {
		if s := q.get(&p.User); s != "" && q.name != manager.name {
			w.changes = append(w.changes, Change{q.name, "", s})
		}
	}
	for _, q := range []string{"DisplayName", "UserPrincipalName", "SamAccountName"} { // also where they are not mapped
		if !slices.ContainsFunc(w.changes, func(c Change) bool { return c.Property == q }) {
			w.changes = append(w.changes, Change{q, "", settable[q].get(&p.User)})
		}
	}
	m.wishes = append(m.wishes, w)
}

// withAddress are the properties that come from the directory.
func withAddress(owned []property) []property { return append([]property{sipAddress}, owned...) }

func (m *maker) problems(p *Person) {
	for _, s := range p.Problems {
		m.conflict(label(&p.User), s)
	}
}

// present is an entry that a stored user stands for.
func (m *maker) present(p *Person, u *directory.User) {
	m.problems(p)
	next := m.Known[p.ID]
	next.ID, next.GUID, next.DN, next.Origin, next.Missing, next.Removed = p.ID, u.GUID, p.DN, p.Origin, time.Time{}, false
	m.able(p, u, &next)
	if next != m.Known[p.ID] {
		m.plan.Known = append(m.plan.Known, next)
	}
	w := &wish{person: p, stored: u, guid: u.GUID}
	for _, q := range withAddress(m.Mapping.owned) {
		was, is := q.get(u), q.get(&p.User)
		switch {
		case q.name == manager.name, was == is:
		case q.name == sipAddress.name && (was == "" || is == ""):
			// An administrator took the address, or the directory has none for us:
			// contacts and settings hang on it, so it is not taken away here.
		case is == "" && slices.Contains(needed, q.name):
		default:
			w.changes = append(w.changes, Change{q.name, was, is})
		}
	}
	m.wishes = append(m.wishes, w)
}

// able follows the state of the account.
func (m *maker) able(p *Person, u *directory.User, next *Known) {
	switch {
	case p.Off != "" && u.Enabled:
		m.act(Action{Kind: Disable, ID: p.ID, GUID: u.GUID, Label: label(u), Reason: p.Off})
	case p.Off != "" && next.Disabled != "":
		next.Disabled = p.Off
	case p.Off != "":
	case u.Enabled:
		next.Disabled, next.Since = "", time.Time{} // an administrator was first
	case next.Disabled != "" && u.SipAddress != "":
		m.act(Action{Kind: Reactivate, ID: p.ID, GUID: u.GUID, Label: label(u)})
	case u.SipAddress != "":
		m.plan.Kept++
	}
}

func (m *maker) act(a Action) { m.plan.Actions = append(m.plan.Actions, a) }

// missing looks at the stored users whose entries are gone.
func (m *maker) missing() {
	there := make(map[string]bool, len(m.persons))
	for i := range m.persons {
		there[m.persons[i].ID] = true
	}
	for _, b := range m.Broken {
		there[b.ID] = there[b.ID] || !b.Team
	}
	for id, known := range m.Known {
		if m.byID[id] == nil && !known.Removed {
			m.plan.Forget = append(m.plan.Forget, id)
		}
	}
	slices.Sort(m.plan.Forget)
	for _, id := range slices.Sorted(maps.Keys(m.byID)) {
		if !there[id] {
			m.gone(id, m.byID[id])
		}
	}
}

func (m *maker) gone(id string, u *directory.User) {
	next := m.Known[id]
	next.ID, next.GUID = id, u.GUID
	if next.Missing.IsZero() {
		next.Missing = m.Now
	}
	if u.Enabled {
		m.act(Action{Kind: Disable, ID: id, GUID: u.GUID, Label: label(u), Reason: Missing})
	} else if m.Retention > 0 && m.Now.Sub(next.Missing) >= m.Retention {
		m.act(Action{Kind: Delete, ID: id, GUID: u.GUID, Label: label(u)})
		m.release(u.GUID, u)
	}
	if next != m.Known[id] {
		m.plan.Known = append(m.plan.Known, next)
	}
}
