package groupstate

import (
	"cmp"
	"slices"

	"trivet/uc"
)

// touch notes that a category changed, for one PresenceChanged at the end of the
// turn.
func (t *turn) touch(e *entry, by uc.EndpointID, category string, container uint32) {
	i := slices.IndexFunc(t.touches, func(o *touch) bool { return o.entry == e })
	if i < 0 {
		t.touches = append(t.touches, &touch{entry: e, by: by})
		i = len(t.touches) - 1
	}
	o, c := t.touches[i], CategoryChange{category, container}
	at, found := slices.BinarySearchFunc(o.changed, c, func(a, b CategoryChange) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Container, b.Container))
	})
	if !found {
		o.changed = slices.Insert(o.changed, at, c)
	}
}

// touch is what changed in the presence of one user in this turn.
type touch struct {
	entry   *entry
	by      uc.EndpointID
	changed []CategoryChange
	event   *PresenceChanged
}

// touched returns the event of a user whose presence is final.
func (t *turn) touched(e *entry) *PresenceChanged {
	i := slices.IndexFunc(t.touches, func(o *touch) bool { return o.entry == e })
	if i < 0 {
		return &PresenceChanged{}
	}
	o := t.touches[i]
	if o.event == nil {
		o.event = &PresenceChanged{User: e.user.uri, By: o.by, Changed: o.changed}
		for _, c := range o.changed {
			if !slices.Contains(o.event.Categories, c.Category) {
				o.event.Categories = append(o.event.Categories, c.Category)
			}
		}
		o.event.Publications = e.user.Publications(o.event.Categories...)
	}
	return o.event
}
