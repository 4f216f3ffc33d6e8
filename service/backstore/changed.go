package backstore

import (
	"trivet/rule/groupstate"
	"trivet/uc"
)

// changedUsers calls f for everybody whose durable part an event may have changed.
func changedUsers(event any, f func(uc.UserURI)) {
	switch e := event.(type) {
	case groupstate.UserEnabled:
		f(e.User)
	case groupstate.UserDisabled:
		f(e.User)
	case groupstate.UserRemoved:
		f(e.User)
	case groupstate.UserRenamed:
		f(e.From)
		f(e.To)
	case groupstate.ContactsChanged:
		f(e.User)
	case groupstate.ContainersChanged:
		f(e.User)
	case groupstate.SubscribersChanged:
		f(e.User)
	case groupstate.PresenceChanged:
		f(e.User)
	case groupstate.ConferenceChanged:
		f(e.Organizer)
	case groupstate.ConferenceEnded:
		f(e.Organizer)
	}
}
