package groupstate

import (
	"cmp"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

// meeting finds a conference for a command.
func (t *turn) meeting(op string, organizer uc.UserURI, id string) (*entry, *Conference, error) {
	e, err := t.active(op, organizer)
	if err != nil {
		return nil, nil, err
	}
	c := e.user.Conference(id)
	if c == nil {
		return nil, nil, fault.New(fault.NotFound, op, "there is no such conference").About(id)
	}
	return e, c, nil
}

// keep puts a conference in the place of the one with its id, or adds it.
func (t *turn) keep(e *entry, c *Conference) {
	u := t.edit(e)
	i, found := u.searchConference(c.ID)
	next := slices.Clone(u.conferences)
	if found {
		next[i] = c
	} else {
		next = slices.Insert(next, i, c)
	}
	u.conferences = next
	t.emit(ConferenceChanged{u.uri, c})
	t.reckon(e)
}

func (t *turn) dropConference(e *entry, id string, expired bool) {
	u := t.edit(e)
	i, found := u.searchConference(id)
	if !found {
		return
	}
	if u.conferences = slices.Delete(slices.Clone(u.conferences), i, i+1); len(u.conferences) == 0 {
		u.conferences = nil
	}
	t.emit(ConferenceEnded{u.uri, id, expired})
}

// dropConferences ends every conference that is hit.
func (t *turn) dropConferences(e *entry, expired bool, hit func(*Conference) bool) {
	for _, c := range e.user.conferences {
		if hit(c) {
			t.dropConference(e, c.ID, expired)
		}
	}
}

// others counts who is listed in the other conferences of the user.
func (u *User) others(id string) int {
	n := 0
	for _, c := range u.conferences {
		if c.ID != id {
			n += len(c.Listed)
		}
	}
	return n
}

func (x *AddConference) apply(t *turn) (any, error) {
	const op = "groupstate.AddConference"
	e, err := t.active(op, x.Organizer)
	if err != nil {
		return nil, err
	}
	if !ConferenceID(x.ID) {
		return nil, fault.New(fault.Invalid, op, "conference-id must have 1 to 32 letters and digits").About(x.ID)
	}
	listed, err := listing(op, x.Listed)
	if err != nil {
		return nil, err
	}
	if c := e.user.Conference(x.ID); c != nil {
		if c.Subject == x.Subject && c.Level == x.Level && c.Promote == x.Promote && slices.Equal(c.Modalities, x.Modalities) && slices.Equal(c.Listed, listed) {
			return ConferenceResult{c, false}, nil
		}
		return nil, fault.New(fault.Exists, op, "you have a conference of that id with other settings; choose another id or modify it").About(x.ID)
	}
	if err := expiry(op, x.Expires, x.Now); err != nil {
		return nil, err
	}
	if len(e.user.conferences) >= int(x.Max) {
		return nil, fault.Newf(fault.Limit, op, "you have %d conferences, the most allowed; delete some first", x.Max).About(string(x.Organizer))
	}
	if e.user.others(x.ID)+len(listed) > MaxAllListed {
		return nil, tooManyListed(op)
	}
	c := &Conference{
		ID: x.ID, Subject: x.Subject, Level: x.Level, Promote: x.Promote, Created: x.Now, Updated: x.Now, Expires: x.Expires,
		Modalities: slices.Clone(x.Modalities), Listed: listed,
	}
	t.keep(e, c)
	return ConferenceResult{c, true}, nil
}

func tooManyListed(op string) error {
	return fault.Newf(fault.Limit, op, "your conferences list more than %d people together; delete some first", MaxAllListed)
}

func (x *ModifyConference) apply(t *turn) (any, error) {
	const op = "groupstate.ModifyConference"
	e, was, err := t.meeting(op, x.Organizer, x.ID)
	if err != nil {
		return nil, err
	}
	next := *was
	if x.What&ChangeSubject != 0 {
		next.Subject = x.Subject
	}
	if x.What&ChangeLevel != 0 {
		next.Level = x.Level
	}
	if x.What&ChangePromotion != 0 {
		next.Promote = x.Promote
	}
	if x.What&ChangeLock != 0 {
		next.Locked = x.Locked
	}
	if x.What&ChangeExpiry != 0 {
		if err := expiry(op, x.Expires, x.Now); err != nil {
			return nil, err
		}
		next.Expires = x.Expires
	}
	if x.What&ChangeListed != 0 {
		if next.Listed, err = listing(op, x.Listed); err != nil {
			return nil, err
		}
		if e.user.others(x.ID)+len(next.Listed) > MaxAllListed {
			return nil, tooManyListed(op)
		}
	}
	next.Updated = x.Now
	t.keep(e, &next)
	return ConferenceResult{&next, true}, nil
}

func (x *SetConferenceRole) apply(t *turn) (any, error) {
	const op = "groupstate.SetConferenceRole"
	e, was, err := t.meeting(op, x.Organizer, x.ID)
	if err != nil {
		return nil, err
	}
	if u, err := uc.ParseUserURI(string(x.User)); err != nil || u != x.User {
		return nil, fault.New(fault.Invalid, op, "the user must be named by an address in canonical form, sip:user@domain in lower case").About(string(x.User))
	}
	next, l := *was, Listed{x.User, x.Presenter}
	next.Listed = slices.Clone(was.Listed)
	i, found := searchListed(next.Listed, x.User)
	switch {
	case found && next.Listed[i] == l:
		return ConferenceResult{was, false}, nil
	case found:
		next.Listed[i] = l
	case len(next.Listed) >= MaxListed || e.user.others(x.ID)+len(next.Listed) >= MaxAllListed:
		return nil, fault.Newf(fault.Limit, op, "the conference lists %d people, the most allowed", len(next.Listed))
	default:
		next.Listed = slices.Insert(next.Listed, i, l)
	}
	next.Updated = x.Now
	t.keep(e, &next)
	return ConferenceResult{&next, true}, nil
}

func (x *ActivateConference) apply(t *turn) (any, error) {
	e, was, err := t.meeting("groupstate.ActivateConference", x.Organizer, x.ID)
	if err != nil {
		return nil, err
	}
	next := *was
	next.Activated = max(was.Activated, x.Now)
	next.Expires = max(was.Expires, min(x.Until, x.Now+conferenceFuture))
	t.keep(e, &next)
	return ConferenceResult{&next, true}, nil
}

func (x *DeleteConference) apply(t *turn) (any, error) {
	e, was, err := t.meeting("groupstate.DeleteConference", x.Organizer, x.ID)
	if err != nil {
		return nil, err
	}
	t.dropConference(e, x.ID, false)
	t.reckon(e)
	return ConferenceResult{was, true}, nil
}

// nextConferenceExpiry is when the first conference of the user ends.
func (u *User) nextConferenceExpiry() int64 {
	if len(u.conferences) == 0 {
		return never
	}
	return slices.MinFunc(u.conferences, func(a, b *Conference) int { return cmp.Compare(a.Expires, b.Expires) }).Expires
}
