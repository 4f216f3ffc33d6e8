package conference

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// modalities are the kinds of MCU that there are.
var modalities = []string{cccp.Chat}

// order carries out one command of the factory and returns the body of its answer.
type order func(ctx context.Context, s *Service, r *sipmux.Request, q *cccp.Request) ([]byte, error)

// orders are the commands to the focus factory, [MS-CONFPRO] 3.2.
var orders = map[string]order{
	"getConferencingCapabilities": capabilities,
	"addConference":               addConference,
	"getConference":               getConference,
	"getConferences":              getConferences,
	"modifyConference":            modifyConference,
	"deleteConference":            deleteConference,
}

// factory serves the focus factory of the user.
func (s *Service) factory(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	const op = "conference.factory"
	q, err := cccp.ParseRequest(r.Body)
	if err != nil {
		return s.refuse(r, &q, err)
	}
	a, ok := parse(r.RequestURI)
	switch {
	case !ok || a.kind != factoryKind:
		err = fault.New(fault.NotFound, op, "SERVICE requests go to the focus factory, not to a conference").Diagnosed(diagTo)
	case a.organizer != r.User:
		err = fault.New(fault.Forbidden, op, "conferences are made at one's own focus factory").Diagnosed(diagFrom)
	case orders[q.Command] == nil:
		err = fault.New(fault.Unsupported, op, "the focus factory does not know this command").Diagnosed(diagNotImplemented)
	}
	if err != nil {
		return s.refuse(r, &q, err)
	}
	body, err := orders[q.Command](ctx, s, r, &q)
	if err != nil {
		return s.refuse(r, &q, err)
	}
	return success(r, &q, body), nil
}

func capabilities(context.Context, *Service, *sipmux.Request, *cccp.Request) ([]byte, error) {
	return cccp.AppendCapabilities(nil, modalities...), nil
}

// levels are the admission policies of [MS-CONFBAS] 2.2.2.3; the first one is meant
// when none is named.
var levels = []struct {
	policy string
	level  conference.Level
}{
	{"openAuthenticated", conference.SameEnterprise}, {"closedAuthenticated", conference.Invited}, {"anonymous", conference.Everyone},
}

func levelOf(policy string) (conference.Level, error) {
	for _, l := range levels {
		if policy == l.policy || policy == "" {
			return l.level, nil
		}
	}
	return 0, fault.New(fault.Invalid, "conference.levelOf", "admission-policy must be openAuthenticated, closedAuthenticated or anonymous")
}

// level is levelOf within the organizer's policy.
func (s *Service) level(organizer uc.UserURI, wanted string) (conference.Level, error) {
	l, err := levelOf(wanted)
	if err == nil && l == conference.Everyone && !s.cfg.Policies.Conferencing(organizer).AllowAnonymousParticipantsInMeetings {
		err = fault.New(fault.Forbidden, "conference.level", "the organizer's policy lets nobody in without an account; use the admission-policy openAuthenticated").Diagnosed(diagForbidden)
	}
	return l, err
}

func policyOf(level conference.Level) string {
	for _, l := range levels {
		if l.level == level {
			return l.policy
		}
	}
	return ""
}

// promotions are the bits of autopromote, [MS-CONFBAS] 2.2.2.3, the widest first.
var promotions = []struct {
	value   uint32
	promote conference.Promotion
}{
	{0x80000000, conference.PromoteEveryone}, {0x8000, conference.PromoteCompany}, {0, conference.PromoteNobody},
}

func promotionOf(value uint32) (conference.Promotion, error) {
	for _, p := range promotions {
		if value == p.value || value&p.value != 0 {
			return p.promote, nil
		}
	}
	return 0, fault.New(fault.Invalid, "conference.promotionOf", "autopromote must be 0, 32768 (company) or 2147483648 (everyone)")
}

func autopromote(p conference.Promotion) uint32 {
	for _, x := range promotions {
		if x.promote == p {
			return x.value
		}
	}
	return 0
}

// newID is an id of the server's choice: 80 random bits.
func newID() string { return rand.Text()[:16] }

func addConference(ctx context.Context, s *Service, r *sipmux.Request, q *cccp.Request) ([]byte, error) {
	const op = "conference.add"
	if q.Info == nil {
		return nil, fault.New(fault.Invalid, op, "addConference needs a conference-info").Diagnosed(diagEntity)
	}
	d := q.Info.Description
	if d == nil {
		d = &cccp.Description{}
	}
	cmd := &groupstate.AddConference{
		Organizer: r.User, Now: r.Now.UnixMilli(), Max: uint32(min(s.cfg.Policies.UserServices().MaxScheduledMeetingsPerOrganizer, groupstate.MaxConferences)), ID: d.ConferenceID, Subject: cut(d.Subject), Modalities: modalities,
	}
	if cmd.ID == "" {
		cmd.ID = newID()
	}
	if cmd.Expires = r.Now.Add(s.cfg.AdHoc).UnixMilli(); !d.Expiry.IsZero() {
		cmd.Expires = d.Expiry.UnixMilli()
	}
	var err error
	if cmd.Level, err = s.level(r.User, d.AdmissionPolicy); err != nil {
		return nil, err
	}
	if cmd.Promote, err = promotionOf(d.Autopromote); err != nil {
		return nil, err
	}
	if cmd.Listed, err = guests(r.User, q.Info.Users); err != nil {
		return nil, err
	}
	made, err := s.propose(ctx, r.User, cmd)
	if err != nil {
		return nil, err
	}
	i := s.document(r.User, made)
	i.State = cccp.Partial
	return i.Append(nil), nil
}

// cut shortens a subject to what is kept, at a whole character.
func cut(subject string) string {
	const most = 512
	if len(subject) > most {
		return strings.ToValidUTF8(subject[:most], "")
	}
	return subject
}

// guests are the people whom a document lists.
func guests(organizer uc.UserURI, users []cccp.User) ([]groupstate.Listed, error) {
	const op = "conference.guests"
	if len(users) > groupstate.MaxListed {
		return nil, fault.Newf(fault.Limit, op, "a conference lists at most %d people", groupstate.MaxListed)
	}
	var list []groupstate.Listed
	for i := range users {
		who, err := uc.ParseUserURI(users[i].Entity)
		if err != nil {
			return nil, fault.New(fault.Invalid, op, "a user's entity must be a SIP address").About(users[i].Entity).Diagnosed(diagTarget)
		}
		if who == organizer {
			continue
		}
		presenter, err := wantsPresenter(users[i].Roles)
		if err != nil {
			return nil, err
		}
		list = append(list, groupstate.Listed{User: who, Presenter: presenter})
	}
	return list, nil
}

// wantsPresenter reads the role that a document names; none is attendee.
func wantsPresenter(roles []string) (bool, error) {
	presenter := false
	for _, role := range roles {
		switch role {
		case cccp.Presenter:
			presenter = true
		case cccp.Attendee:
		default:
			return false, fault.New(fault.Invalid, "conference.role", "a role must be presenter or attendee").About(role).Diagnosed(diagRole)
		}
	}
	return presenter, nil
}

// propose carries out a command about a conference and returns it as it is now.
func (s *Service) propose(ctx context.Context, organizer uc.UserURI, cmd groupstate.Command) (*groupstate.Conference, error) {
	v, err := s.cfg.Groups.Propose(ctx, organizer, cmd)
	if err == nil {
		err = groupstate.Refused(v)
	}
	if err != nil {
		return nil, err
	}
	return v.(groupstate.ConferenceResult).Conference, nil
}

// look reads a conference from the organizer's routing group.
func (s *Service) look(ctx context.Context, at place) (found *groupstate.Conference, err error) {
	err = s.cfg.Groups.Read(ctx, at.organizer, func(state *groupstate.State) {
		if u := state.User(at.organizer); u != nil {
			if found = u.Conference(at.id); !u.Enabled() {
				found = nil // it has ended for as long as the organizer is disabled
			}
		}
	})
	if err == nil && found == nil || fault.Is(err, fault.NotFound) {
		err = noConference("conference.look", at.id)
	}
	return found, err
}

// target is the conference that a command to the factory names.
func target(r *sipmux.Request, q *cccp.Request) (place, error) {
	if q.ConferenceID != "" {
		return place{r.User, q.ConferenceID}, nil
	}
	if a, ok := parse(q.ConfEntity); ok && a.kind == cccp.Focus && a.organizer == r.User {
		return a.place, nil
	}
	if q.Info != nil && q.Info.Description != nil && q.Info.Description.ConferenceID != "" {
		return place{r.User, q.Info.Description.ConferenceID}, nil
	}
	return place{}, fault.New(fault.Invalid, "conference.target", "conferenceKeys must name a conference of yours by its conference-id or confEntity").Diagnosed(diagEntity)
}

func getConference(ctx context.Context, s *Service, r *sipmux.Request, q *cccp.Request) ([]byte, error) {
	at, err := target(r, q)
	if err != nil {
		return nil, err
	}
	c, err := s.look(ctx, at)
	if err != nil {
		return nil, err
	}
	i := s.document(at.organizer, c)
	return i.Append(nil), nil
}

func getConferences(ctx context.Context, s *Service, r *sipmux.Request, _ *cccp.Request) ([]byte, error) {
	var all []*groupstate.Conference
	err := s.cfg.Groups.Read(ctx, r.User, func(state *groupstate.State) {
		if u := state.User(r.User); u != nil {
			all = u.Conferences()
		}
	})
	if err != nil {
		return nil, err
	}
	return s.list(r.User, all, fits(r.Conn))
}

// list describes the conferences of a user in at most size bytes. Those behind it are
// only named, so that all are there.
func (s *Service) list(organizer uc.UserURI, all []*groupstate.Conference, size int) ([]byte, error) {
	keys := 0
	for _, c := range all {
		keys += len(cccp.AppendKey(nil, Focus(organizer, c.ID)))
	}
	if keys > size {
		return nil, fault.Newf(fault.Limit, "conference.list", "you have %d conferences, which do not fit one answer; delete some that you do not need", len(all)).Diagnosed(diagEntity)
	}
	var body []byte
	for _, c := range all {
		key := cccp.AppendKey(nil, Focus(organizer, c.ID))
		keys -= len(key)
		i := cccp.Info{Entity: Focus(organizer, c.ID), Description: s.description(organizer, c)}
		if full := i.Append(nil); len(body)+len(full)+keys <= size {
			key = full
		}
		body = append(body, key...)
	}
	return body, nil
}

func modifyConference(ctx context.Context, s *Service, r *sipmux.Request, q *cccp.Request) ([]byte, error) {
	at, err := target(r, q)
	if err != nil {
		return nil, err
	}
	c, err := s.modify(ctx, at, r.Now, q)
	if err != nil {
		return nil, err
	}
	i := s.document(at.organizer, c)
	return i.Append(nil), nil
}

// modify changes a conference by a modifyConference: what the document names.
func (s *Service) modify(ctx context.Context, at place, now time.Time, q *cccp.Request) (*groupstate.Conference, error) {
	if q.Info == nil || q.Info.Description == nil && q.Info.Users == nil {
		return nil, fault.New(fault.Invalid, "conference.modify", "modifyConference needs a conference-info with what is to change").Diagnosed(diagEntity)
	}
	cmd := &groupstate.ModifyConference{Organizer: at.organizer, ID: at.id, Now: now.UnixMilli()}
	var err error
	if d := q.Info.Description; d != nil {
		if d.Named&cccp.NamedSubject != 0 {
			cmd.What |= groupstate.ChangeSubject
			cmd.Subject = cut(d.Subject)
		}
		if d.AdmissionPolicy != "" {
			cmd.What |= groupstate.ChangeLevel
			if cmd.Level, err = s.level(at.organizer, d.AdmissionPolicy); err != nil {
				return nil, err
			}
		}
		if d.Named&cccp.NamedAutopromote != 0 {
			cmd.What |= groupstate.ChangePromotion
			if cmd.Promote, err = promotionOf(d.Autopromote); err != nil {
				return nil, err
			}
		}
		if !d.Expiry.IsZero() {
			cmd.What |= groupstate.ChangeExpiry
			cmd.Expires = d.Expiry.UnixMilli()
		}
	}
	if q.Info.Users != nil {
		cmd.What |= groupstate.ChangeListed
		if cmd.Listed, err = guests(at.organizer, q.Info.Users); err != nil {
			return nil, err
		}
	}
	if cmd.What == 0 {
		return nil, fault.New(fault.Invalid, "conference.modify", "the conference-info names nothing that can be changed: subject, admission-policy, autopromote, expiry-time or users").Diagnosed(diagEntity)
	}
	return s.propose(ctx, at.organizer, cmd)
}

func deleteConference(ctx context.Context, s *Service, r *sipmux.Request, q *cccp.Request) ([]byte, error) {
	at, err := target(r, q)
	if err != nil {
		return nil, err
	}
	_, err = s.propose(ctx, at.organizer, &groupstate.DeleteConference{Organizer: at.organizer, ID: at.id, Now: r.Now.UnixMilli()})
	return nil, err
}

// description is the conference-description of a conference.
func (s *Service) description(organizer uc.UserURI, c *groupstate.Conference) *cccp.Description {
	at := place{organizer, c.ID}
	d := &cccp.Description{
		Subject: c.Subject, ConferenceID: c.ID, LastUpdate: moment(c.Updated), LastActivate: moment(c.Activated), Expiry: moment(c.Expires),
		AdmissionPolicy: policyOf(c.Level), Autopromote: autopromote(c.Promote), IsActive: s.running(at) != nil,
		Organizer: cccp.Organizer{DisplayName: s.name(organizer), URI: string(organizer)},
	}
	for _, kind := range c.Modalities {
		d.URIs = append(d.URIs, cccp.URI{URI: at.uri(kind), DisplayText: kind, Purpose: kind})
	}
	if s.cfg.JoinURL != nil {
		d.JoinURL = s.cfg.JoinURL(organizer, c.ID)
	}
	return d
}

// document is what the organizer sees of a conference.
func (s *Service) document(organizer uc.UserURI, c *groupstate.Conference) cccp.Info {
	i := cccp.Info{Entity: Focus(organizer, c.ID), State: cccp.Full, Version: 1, Description: s.description(organizer, c)}
	for _, l := range c.Listed {
		i.Users = append(i.Users, cccp.User{Entity: string(l.User), Roles: roles(l.Presenter)})
	}
	return i
}

func roles(presenter bool) []string {
	if presenter {
		return []string{cccp.Presenter}
	}
	return []string{cccp.Attendee}
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// name is how others see a user.
func (s *Service) name(user uc.UserURI) string {
	if s.cfg.DisplayName != nil {
		if n := s.cfg.DisplayName(user); n != "" {
			return n
		}
	}
	return user.Bare()
}
