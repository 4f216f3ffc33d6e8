package dirsync

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Two entries with one identifier are no answer to who somebody is. None of them is
// chosen: they count as broken, and whoever was made of one stays as he is.

// place is the form of a DN that tells entries apart.
func place(dn string) string { return cmp.Or(DNKey(dn), "\x00"+dn) }

// singles are the people of whom there is one entry; the others join the broken. An
// entry that was read twice is one.
func (m *maker) singles() (list []Person) {
	m.Broken = slices.Clone(m.Broken)
	places := map[string][]string{}
	note := func(id, dn string) {
		if p := place(dn); id != "" && !slices.Contains(places[id], p) {
			places[id] = append(places[id], p)
		}
	}
	for _, p := range m.People {
		note(p.ID, p.DN)
	}
	for _, b := range m.Broken {
		if !b.Team {
			note(b.ID, b.DN)
		}
	}
	people := slices.Clone(m.People)
	slices.SortStableFunc(people, func(a, b Person) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.DN, b.DN), cmp.Compare(a.Origin, b.Origin))
	})
	for _, p := range people {
		switch {
		case len(places[p.ID]) > 1:
			m.Broken = append(m.Broken, Broken{ID: p.ID, Label: p.DN, Text: doubled(p.ID, places[p.ID]), DN: p.DN, Origin: p.Origin, Off: p.Off})
		case len(list) == 0 || list[len(list)-1].ID != p.ID:
			list = append(list, p)
		}
	}
	return list
}

// singleTeams is singles for groups.
func (m *maker) singleTeams() (list []Team) {
	places := map[string][]string{}
	for _, t := range m.Teams {
		if p := place(t.DN); !slices.Contains(places[t.ID], p) {
			places[t.ID] = append(places[t.ID], p)
		}
	}
	teams := slices.Clone(m.Teams)
	slices.SortStableFunc(teams, func(a, b Team) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.DN, b.DN)) })
	for _, t := range teams {
		switch {
		case len(places[t.ID]) > 1:
			m.Broken = append(m.Broken, Broken{ID: t.ID, Label: t.DN, Text: doubled(t.ID, places[t.ID]), DN: t.DN, Team: true})
		case len(list) == 0 || list[len(list)-1].ID != t.ID:
			list = append(list, t)
		}
	}
	return list
}

func doubled(id string, places []string) string {
	list := slices.Sorted(slices.Values(places))
	return "the identifier " + id + " is that of several entries (" + cut(strings.Join(list[:min(3, len(list))], " and "), 300) + "); none of them counts until it is that of one"
}

// broken follows the entries that nobody can be made of as far as they say whether
// somebody may sign in. Of several with one identifier the one that was known before
// speaks, or all of them when they say the same.
func (m *maker) broken() {
	of := map[string][]Broken{}
	for _, b := range m.Broken {
		if !b.Team && m.byID[b.ID] != nil {
			of[b.ID] = append(of[b.ID], b)
		}
	}
	for _, b := range m.Broken {
		if list := of[b.ID]; !b.Team && len(list) > 0 {
			m.crippled(list)
			delete(of, b.ID)
		}
	}
}

// crippled is a stored user of whom there are only broken entries.
func (m *maker) crippled(list []Broken) {
	u, was := m.byID[list[0].ID], m.Known[list[0].ID]
	one := list[0]
	several := slices.ContainsFunc(list, func(b Broken) bool { return place(b.DN) != place(one.DN) })
	if i := slices.IndexFunc(list, func(b Broken) bool { return place(b.DN) == place(was.DN) }); several && i >= 0 {
		one = list[i]
	} else if several {
		for _, b := range list {
			if b.Off == "" {
				one.Off = ""
			}
		}
	}
	next := was
	next.ID, next.GUID, next.Missing, next.Removed = one.ID, u.GUID, time.Time{}, false
	if !several {
		next.DN, next.Origin = one.DN, one.Origin
	}
	if next.DN != "" {
		m.guidOf[DNKey(next.DN)] = u.GUID
	}
	if one.Off != "" {
		m.able(&Person{ID: one.ID, Off: one.Off}, u, &next)
	}
	if next != was {
		m.plan.Known = append(m.plan.Known, next)
	}
}
