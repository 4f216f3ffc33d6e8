// Package contacts keeps the contact lists of users on all their endpoints alike:
// the vnd-microsoft-roaming-contacts event, the SOAP operations of a SERVICE and
// the notifications that follow each change ([MS-SIP] 3.4). Whoever is added as a
// contact is asked about it by way of an entry in that user's routing group.
//
// The lists themselves are in rule/groupstate. A Service is safe for concurrent
// use.
package contacts

import (
	"context"
	"log/slog"
	"time"

	"trivet/kit/life"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// Event is the event package.
const Event = "vnd-microsoft-roaming-contacts"

// Groups finds the routing group of a user.
type Groups interface {
	Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error)
	Read(ctx context.Context, user uc.UserURI, f func(*groupstate.State)) error
}

// Directory knows people.
type Directory interface {
	// DisplayName is how others see the user, "" if nothing is known.
	DisplayName(ctx context.Context, user uc.UserURI) string
}

// Limits answers what the policies of a user allow.
type Limits interface {
	MaxContacts(user uc.UserURI) int            // 250 by default, at most groupstate.MaxContacts
	MaxPromptedSubscribers(user uc.UserURI) int // 200 by default; 0: is never asked
	MaxGroups(user uc.UserURI) int              // 10 by default: distribution groups in the list
}

// Config sets a Service up.
type Config struct {
	Groups    Groups
	Directory Directory
	Limits    Limits // nil: the defaults
	Notifier  *sipnotify.Notifier
	// Other answers the SOAP operations that are not about contact lists (such as
	// directorySearch); nil: they are refused.
	Other func(ctx context.Context, operation string, r *sipmux.Request) (*sip.Message, error)
	Life  *life.Group
	Log   *slog.Logger
	Now   func() time.Time
}

// Service answers for contact lists.
type Service struct {
	cfg  Config
	news news
}

// New makes a Service and starts its worker in cfg.Life.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Limits == nil {
		cfg.Limits = usual{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg}
	s.news.wake = make(chan struct{}, 1)
	cfg.Life.Go("contacts: notifications", s.work)
	return s
}

// usual are the limits of the product's shipped policies.
type usual struct{}

func (usual) MaxContacts(uc.UserURI) int            { return 250 }
func (usual) MaxPromptedSubscribers(uc.UserURI) int { return 200 }
func (usual) MaxGroups(uc.UserURI) int              { return 10 }

// Routes are the rows of the service.
func (s *Service) Routes() []sipmux.Route {
	return []sipmux.Route{
		{Method: "SUBSCRIBE", Event: Event, Who: sipmux.User, Doc: "the user's own contact list and its changes", Serve: s.subscribe},
		{Method: "SERVICE", Type: presdoc.TypeSOAP, Who: sipmux.User, Doc: "changes of the contact list: contacts and groups; searches of the directory", Serve: s.change},
	}
}

// result gives the outcome of a proposal its type; a refusal by the state is the
// error that it is.
func result[R any](v any, err error) (R, error) {
	var none R
	if err == nil {
		err = groupstate.Refused(v)
	}
	if err != nil {
		return none, err
	}
	return v.(R), nil
}

// document is the whole list of a user.
func document(u *groupstate.User) []byte {
	l := u.Contacts()
	doc := presdoc.ContactList{DeltaNum: l.Delta, Groups: groups(l.Groups)}
	for _, c := range l.Contacts {
		doc.Contacts = append(doc.Contacts, contact(c))
	}
	return doc.Append(nil)
}

// change of a list, as a document.
func deltaDocument(d *groupstate.ContactDelta) []byte {
	doc := presdoc.ContactDelta{
		DeltaNum: d.Delta, PrevDeltaNum: d.Prev, AddedGroups: groups(d.AddedGroups), ModifiedGroups: groups(d.ModifiedGroups),
		DeletedGroups: wide(d.DeletedGroups), DeletedContacts: d.DeletedContacts,
	}
	for i := range d.AddedContacts {
		doc.AddedContacts = append(doc.AddedContacts, contact(&d.AddedContacts[i]))
	}
	for i := range d.ModifiedContacts {
		doc.ModifiedContacts = append(doc.ModifiedContacts, contact(&d.ModifiedContacts[i]))
	}
	return doc.Append(nil)
}

func contact(c *groupstate.Contact) presdoc.Contact {
	return presdoc.Contact{URI: c.URI, Name: c.Name, Groups: wide(c.Groups.IDs()), Subscribed: c.Subscribed, ExternalURI: c.ExternalURI}
}

func groups(in []groupstate.ContactGroup) []presdoc.ContactGroup {
	out := make([]presdoc.ContactGroup, len(in))
	for i, g := range in {
		out[i] = presdoc.ContactGroup{ID: uint32(g.ID), Name: g.Name, ExternalURI: g.ExternalURI}
	}
	return out
}

func wide(ids []uint8) []uint32 {
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out
}
