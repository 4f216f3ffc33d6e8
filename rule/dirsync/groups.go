package dirsync

import (
	"cmp"
	"slices"
	"strings"

	"trivet/rule/directory"
)

// teams compares the groups. Members are those people and groups of the same
// source that are here after the plan.
func (m *maker) teams() {
	stored := map[string]*directory.Group{}
	mails := map[string]string{} // mail to GUID
	for i := range m.Stored {
		g := &m.Stored[i]
		mails[strings.ToLower(g.Mail)] = g.GUID
		if g.Source == m.Source {
			stored[g.SourceID] = g
		}
	}
	m.groups = len(stored)
	teams := m.singleTeams()
	m.leave(stored, teams, mails)

	var kept []*Team
	groupOf := map[string]string{} // DNKey to GUID
	for _, b := range m.Broken {
		if old := stored[b.ID]; b.Team && old != nil {
			groupOf[DNKey(b.DN)] = old.GUID
		}
	}
	for i := range teams {
		t := &teams[i]
		t.Group.GUID = GUIDOf(m.Source, t.ID)
		old := stored[t.ID]
		if old != nil {
			t.Group.GUID = old.GUID
		}
		if holder, held := mails[t.Group.Mail]; held && holder != t.Group.GUID {
			m.conflict("the group "+t.Group.DisplayName, "Mail "+t.Group.Mail+" belongs to "+m.labels[holder])
			if old == nil {
				continue
			}
			t.Group.Mail = old.Mail
		} else if old == nil && m.guids[t.Group.GUID] {
			m.conflict("the group "+t.Group.DisplayName, "not created: its GUID "+t.Group.GUID+" is that of "+m.labels[t.Group.GUID])
			continue
		}
		mails[t.Group.Mail], groupOf[DNKey(t.DN)] = t.Group.GUID, t.Group.GUID
		kept = append(kept, t)
	}
	for _, t := range kept {
		m.team(t, stored[t.ID], groupOf)
	}
}

// leave deletes the groups that are gone.
func (m *maker) leave(stored map[string]*directory.Group, teams []Team, mails map[string]string) {
	there := make(map[string]bool, len(teams))
	for _, t := range teams {
		there[t.ID] = true
	}
	for _, b := range m.Broken {
		there[b.ID] = there[b.ID] || b.Team
	}
	for i := range m.Stored {
		g := &m.Stored[i]
		if stored[g.SourceID] == g && !there[g.SourceID] {
			m.act(Action{Kind: DeleteGroup, ID: g.SourceID, GUID: g.GUID, Label: g.DisplayName})
			delete(mails, strings.ToLower(g.Mail))
		}
	}
}

// team makes the action of one group.
func (m *maker) team(t *Team, old *directory.Group, groupOf map[string]string) {
	var members []directory.Member
	for _, dn := range t.Members {
		if guid := groupOf[dn]; guid != "" && guid != t.Group.GUID {
			members = append(members, directory.Member{Group: guid})
		} else if guid := m.guidOf[dn]; guid != "" {
			members = append(members, directory.Member{User: guid})
		}
	}
	sortMembers(members)
	a := Action{Kind: CreateGroup, ID: t.ID, GUID: t.Group.GUID, Label: t.Group.DisplayName, Group: t.Group, Members: members}
	if old == nil {
		m.act(a)
		return
	}
	a.Kind, a.Label = UpdateGroup, old.DisplayName
	was := slices.Clone(m.Members[old.GUID])
	sortMembers(was)
	a.MembersChange = !slices.Equal(was, members)
	for _, c := range []Change{
		{"Mail", old.Mail, t.Group.Mail}, {"DisplayName", old.DisplayName, t.Group.DisplayName}, {"Description", old.Description, t.Group.Description},
		{"MailNickname", old.MailNickname, t.Group.MailNickname}, {"HideFromAddressLists", yes(old.HideFromAddressLists), yes(t.Group.HideFromAddressLists)},
	} {
		if c.Old != c.New && !(c.Property == "Mail" && strings.EqualFold(c.Old, c.New)) {
			a.Changes = append(a.Changes, c)
		}
	}
	if a.MembersChange || len(a.Changes) > 0 {
		m.act(a)
	}
}

func yes(b bool) string {
	if b {
		return "True"
	}
	return ""
}

func sortMembers(list []directory.Member) {
	slices.SortFunc(list, func(a, b directory.Member) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Mail, b.Mail))
	})
}
