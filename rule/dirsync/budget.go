package dirsync

import "fmt"

// Limit bounds one sort of action: at most Max, and at most Percent of what is
// stored, but not less than 3 by the percentage.
type Limit struct{ Max, Percent int }

// Limits are the budget of a source for 24 hours.
type Limits struct {
	Creates, Changes, Disables, Reactivations, Deletes Limit
	Groups                                             Limit // groups that change or are deleted
}

const leastPercent = 3

func (l Limit) of(total int) int {
	share := 0
	if l.Percent > 0 {
		share = max(leastPercent, (total*l.Percent+99)/100)
	}
	if l.Percent >= 100 {
		share = l.Max
	}
	return min(l.Max, share)
}

// asked counts the actions that are not granted yet.
func (m *maker) asked(p *Plan) (n Counts) {
	for _, a := range p.Actions {
		if len(m.Granted) == 0 || !m.Granted[a.Digest()] {
			n[a.Kind]++
		}
	}
	return n
}

// exceeded says which limits the plan is over.
func (m *maker) exceeded(p *Plan) (list []string) {
	present := 0 // users of the source whose entries were there the last time
	for id := range m.byID {
		if m.Known[id].Missing.IsZero() {
			present++
		}
	}
	asked := m.asked(p)
	if len(m.persons) == 0 && present > 0 && asked[Disable]+asked[Delete] > 0 {
		list = append(list, fmt.Sprintf("the directory shows no user where it had %d", present))
	}
	if m.Groups && len(m.Teams) == 0 && m.groups > 0 && asked[DeleteGroup] > 0 {
		list = append(list, fmt.Sprintf("the directory shows no group where it had %d", m.groups))
	}
	users, groups := len(m.byID), m.groups
	for _, l := range []struct {
		what  string
		limit Limit
		total int
		kinds []Kind
	}{
		{"users to create", m.Limits.Creates, users, []Kind{Create}},
		{"users to change", m.Limits.Changes, users, []Kind{Update}},
		{"users to disable", m.Limits.Disables, users, []Kind{Disable}},
		{"users to enable again", m.Limits.Reactivations, users, []Kind{Reactivate}},
		{"users to delete", m.Limits.Deletes, users, []Kind{Delete}},
		{"groups to change or delete", m.Limits.Groups, groups, []Kind{UpdateGroup, DeleteGroup}},
	} {
		n, spent := 0, 0
		for _, k := range l.kinds {
			n, spent = n+asked[k], spent+m.Spent[k]
		}
		may := l.limit.of(l.total)
		if n == 0 || n+spent <= may || l.kinds[0] == Create && m.First {
			continue
		}
		text := fmt.Sprintf("%d %s of %d, at most %d without approval", n, l.what, l.total, may)
		if spent > 0 {
			text += fmt.Sprintf(" within 24 hours, of which %d are used", spent)
		}
		list = append(list, text)
	}
	return list
}
