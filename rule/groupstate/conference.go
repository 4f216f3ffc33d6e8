package groupstate

import (
	"slices"
	"strings"

	"trivet/fault"
	"trivet/rule/conference"
	"trivet/uc"
)

// Limits of conferences.
const (
	MaxConferences   = 1000  // hard ceiling for AddConference.Max, per organizer
	MaxListed        = 250   // people listed in one conference
	MaxAllListed     = 10000 // of all conferences of an organizer
	maxConferenceID  = 32
	maxSubject       = 512
	maxModalities    = 8
	conferenceFuture = 10 * 366 * 24 * 3600 * 1000 // milliseconds that an expiry may lie ahead
)

// Conference is what is kept of a conference; who is in it just now is not. Values
// that were handed out never change.
type Conference struct {
	ID         string
	Subject    string
	Level      conference.Level
	Promote    conference.Promotion
	Locked     bool
	Created    int64
	Updated    int64
	Activated  int64    // when somebody joined it last, 0 for never
	Expires    int64    // it is forgotten then
	Modalities []string // kinds of MCU, "chat"
	Listed     []Listed // by user
}

// Listed is somebody who was invited or has a role.
type Listed struct {
	User      uc.UserURI
	Presenter bool
}

// Terms are what decides about the conference.
func (c *Conference) Terms() conference.Terms {
	return conference.Terms{Level: c.Level, Promote: c.Promote, Locked: c.Locked}
}

// Lists reports whether the user is listed, and as a presenter.
func (c *Conference) Lists(user uc.UserURI) (listed, presenter bool) {
	if i, ok := searchListed(c.Listed, user); ok {
		return true, c.Listed[i].Presenter
	}
	return false, false
}

func searchListed(list []Listed, user uc.UserURI) (int, bool) {
	return slices.BinarySearchFunc(list, user, func(l Listed, u uc.UserURI) int { return strings.Compare(string(l.User), string(u)) })
}

// AddConference makes a conference of the organizer. One that is there already with
// the same settings (the expiry aside) is left as it is, so that a client may ask
// again; with other settings: fault.Exists. More than Max: fault.Limit. Result:
// ConferenceResult.
type AddConference struct {
	Organizer  uc.UserURI
	Now        int64
	Max        uint32
	ID         string
	Subject    string
	Level      conference.Level
	Promote    conference.Promotion
	Expires    int64
	Modalities []string
	Listed     []Listed
}

// ModifyConference changes the settings that are named: see the Change… flags. One
// that is not there: fault.NotFound. Result: ConferenceResult.
type ModifyConference struct {
	Organizer uc.UserURI
	ID        string
	Now       int64
	What      uint32
	Subject   string
	Level     conference.Level
	Promote   conference.Promotion
	Locked    bool
	Expires   int64
	Listed    []Listed
}

// What a ModifyConference changes.
const (
	ChangeSubject = 1 << iota
	ChangeLevel
	ChangePromotion
	ChangeLock
	ChangeExpiry
	ChangeListed
	changeAll = 1<<iota - 1
)

// SetConferenceRole lists somebody as a presenter or an attendee. Result:
// ConferenceResult.
type SetConferenceRole struct {
	Organizer uc.UserURI
	ID        string
	Now       int64
	User      uc.UserURI
	Presenter bool
}

// ActivateConference notes that the conference is in use, and keeps it until Until
// at least. Result: ConferenceResult.
type ActivateConference struct {
	Organizer uc.UserURI
	ID        string
	Now       int64
	Until     int64
}

// DeleteConference ends the conference for all. Result: ConferenceResult with what
// it was.
type DeleteConference struct {
	Organizer uc.UserURI
	ID        string
	Now       int64
}

// ConferenceResult has the conference as it is now.
type ConferenceResult struct {
	Conference *Conference
	Changed    bool
}

// Events about conferences.
type (
	ConferenceChanged struct {
		Organizer  uc.UserURI
		Conference *Conference
	}
	ConferenceEnded struct {
		Organizer uc.UserURI
		ID        string
		Expired   bool // nobody ended it
	}
)

func (*AddConference) number() uint16      { return numAddConference }
func (*ModifyConference) number() uint16   { return numModifyConference }
func (*SetConferenceRole) number() uint16  { return numSetConferenceRole }
func (*ActivateConference) number() uint16 { return numActivateConference }
func (*DeleteConference) number() uint16   { return numDeleteConference }

func (x *AddConference) fields(c *codec) {
	text(c, "organizer", &x.Organizer, maxURI)
	c.i64("now", &x.Now)
	number(c, "max", &x.Max, MaxConferences)
	text(c, "conference-id", &x.ID, maxConferenceID)
	text(c, "subject", &x.Subject, maxSubject)
	level(c, &x.Level)
	promotion(c, &x.Promote)
	c.i64("expiry", &x.Expires)
	texts(c, "modalities", &x.Modalities, maxModalities, 32)
	list(c, "listed", &x.Listed, MaxListed, (*Listed).fields)
}

func (x *ModifyConference) fields(c *codec) {
	text(c, "organizer", &x.Organizer, maxURI)
	text(c, "conference-id", &x.ID, maxConferenceID)
	c.i64("now", &x.Now)
	number(c, "changes", &x.What, changeAll)
	text(c, "subject", &x.Subject, maxSubject)
	level(c, &x.Level)
	promotion(c, &x.Promote)
	c.flag("locked", &x.Locked)
	c.i64("expiry", &x.Expires)
	list(c, "listed", &x.Listed, MaxListed, (*Listed).fields)
}

func (x *SetConferenceRole) fields(c *codec) {
	text(c, "organizer", &x.Organizer, maxURI)
	text(c, "conference-id", &x.ID, maxConferenceID)
	c.i64("now", &x.Now)
	text(c, "user", &x.User, maxURI)
	c.flag("presenter", &x.Presenter)
}

func (x *ActivateConference) fields(c *codec) {
	text(c, "organizer", &x.Organizer, maxURI)
	text(c, "conference-id", &x.ID, maxConferenceID)
	c.i64("now", &x.Now)
	c.i64("until", &x.Until)
}

func (x *DeleteConference) fields(c *codec) {
	text(c, "organizer", &x.Organizer, maxURI)
	text(c, "conference-id", &x.ID, maxConferenceID)
	c.i64("now", &x.Now)
}

func (l *Listed) fields(c *codec) {
	text(c, "listed user", &l.User, maxURI)
	c.flag("presenter", &l.Presenter)
}

func level(c *codec, v *conference.Level) {
	number(c, "access level", v, uint64(conference.Everyone))
}

func promotion(c *codec, v *conference.Promotion) {
	number(c, "promotion", v, uint64(conference.PromoteEveryone))
}

// fields walks a conference in a snapshot.
func (x *Conference) fields(c *codec) {
	text(c, "conference-id", &x.ID, maxConferenceID)
	text(c, "subject", &x.Subject, maxSubject)
	level(c, &x.Level)
	promotion(c, &x.Promote)
	c.flag("locked", &x.Locked)
	c.i64("created", &x.Created)
	c.i64("updated", &x.Updated)
	c.i64("activated", &x.Activated)
	c.i64("expiry", &x.Expires)
	texts(c, "modalities", &x.Modalities, maxModalities, 32)
	list(c, "listed", &x.Listed, MaxListed, (*Listed).fields)
}

// Conferences are those that the user organizes, by id.
func (u *User) Conferences() []*Conference { return u.conferences }

// Conference returns a conference of the user, nil if there is none of that id.
func (u *User) Conference(id string) *Conference {
	if i, ok := u.searchConference(id); ok {
		return u.conferences[i]
	}
	return nil
}

func (u *User) searchConference(id string) (int, bool) {
	return slices.BinarySearchFunc(u.conferences, id, func(c *Conference, id string) int { return strings.Compare(c.ID, id) })
}

// ConferenceID reports whether s may be the id of a conference.
func ConferenceID(s string) bool {
	if s == "" || len(s) > maxConferenceID {
		return false
	}
	for _, r := range []byte(s) {
		if (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') {
			return false
		}
	}
	return true
}

// listing checks a list of people and puts it in order.
func listing(op string, in []Listed) ([]Listed, error) {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(string(a.User), string(b.User)) })
	for i, l := range out {
		if u, err := uc.ParseUserURI(string(l.User)); err != nil || u != l.User {
			return nil, fault.New(fault.Invalid, op, "somebody who is invited must be named by an address in canonical form, sip:user@domain in lower case").About(string(l.User))
		}
		if i > 0 && out[i-1].User == l.User {
			return nil, fault.New(fault.Invalid, op, "somebody is listed twice; name each once").About(string(l.User))
		}
	}
	return slices.Clip(out), nil
}

// expiry checks when a conference is to end.
func expiry(op string, at, now int64) error {
	if at <= now || at-now > conferenceFuture {
		return fault.New(fault.Invalid, op, "expiry-time must lie ahead, by no more than ten years")
	}
	return nil
}
