package groupstate

import "cmp"

// importContacts makes l, nil for one that was never changed, the contact list of the
// user, and tells the difference.
func (t *turn) importContacts(e *entry, l *ContactList) {
	was := e.user.Contacts()
	if l == nil {
		l = &emptyList
	}
	delta := difference(was, l)
	if len(delta.AddedGroups)+len(delta.ModifiedGroups)+len(delta.DeletedGroups)+len(delta.AddedContacts)+len(delta.ModifiedContacts)+len(delta.DeletedContacts) == 0 {
		if l.Delta > was.Delta || l.last != was.last && l.Delta == was.Delta {
			t.edit(e).contacts = l
		}
		return
	}
	next := *l
	next.Delta = max(l.Delta, was.Delta+1)
	delta.Prev, delta.Delta = was.Delta, next.Delta
	t.edit(e).contacts = &next
	t.emit(ContactsChanged{User: e.user.uri, Delta: delta})
}

// difference is what makes one list of the other; both are in order.
func difference(was, now *ContactList) (d ContactDelta) {
	walk(was.Groups, now.Groups, func(a, b ContactGroup) int { return cmp.Compare(a.ID, b.ID) }, func(a, b *ContactGroup) {
		switch {
		case a == nil:
			d.AddedGroups = append(d.AddedGroups, *b)
		case b == nil:
			d.DeletedGroups = append(d.DeletedGroups, a.ID)
		case *a != *b:
			d.ModifiedGroups = append(d.ModifiedGroups, *b)
		}
	})
	walk(was.Contacts, now.Contacts, func(a, b *Contact) int { return cmp.Compare(a.URI, b.URI) }, func(a, b **Contact) {
		switch {
		case a == nil:
			d.AddedContacts = append(d.AddedContacts, **b)
		case b == nil:
			d.DeletedContacts = append(d.DeletedContacts, (*a).URI)
		case **a != **b:
			d.ModifiedContacts = append(d.ModifiedContacts, **b)
		}
	})
	return d
}

// walk goes through two ordered lists side by side; what one of them lacks is nil.
func walk[T any](was, now []T, compare func(a, b T) int, f func(a, b *T)) {
	for len(was) > 0 || len(now) > 0 {
		order := 0
		switch {
		case len(was) == 0:
			order = 1
		case len(now) == 0:
			order = -1
		default:
			order = compare(was[0], now[0])
		}
		switch {
		case order < 0:
			f(&was[0], nil)
			was = was[1:]
		case order > 0:
			f(nil, &now[0])
			now = now[1:]
		default:
			f(&was[0], &now[0])
			was, now = was[1:], now[1:]
		}
	}
}
