package presence

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"

	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/aggregate"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/pidf"
	"trivet/wire/xmlpull"
)

// Presence of a standard client becomes what a Lync client would publish: a
// machineState of the endpoint, a phoneState when it says busy or do not disturb,
// and a note, all bound to the time that PUBLISH gives. So both kinds of endpoints of
// one person meet in one aggregate. The instances are the endpoint's own: what Lync
// clients published is never replaced.

// Lifetimes of a PUBLISH, seconds.
const (
	publishLeast = 60
	publishUsual = 3600
	publishMost  = 28800
)

// noteContainers are the access levels that see the note.
var noteContainers = [...]uint32{200, 300, 400}

// publishPIDF serves PUBLISH, RFC 3903. A body sets the state, an empty one with
// SIP-If-Match refreshes it, Expires: 0 takes it back.
func (s *Service) publishPIDF(ctx context.Context, r *sipmux.Request) (*message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	seconds, ok := r.Expires()
	switch {
	case !ok:
		seconds = publishUsual
	case seconds > 0 && seconds < publishLeast:
		res := r.Reply(423, "")
		res.Add("Min-Expires", strconv.Itoa(publishLeast))
		return res, nil
	}
	seconds = min(seconds, publishMost)
	was := etag{endpoint: s.cfg.Notifier.Endpoint(r)}
	if tag, ok := r.Lookup("SIP-If-Match"); ok {
		old, ok := s.etags.get(r.User, tag, r.Now.UnixMilli())
		if !ok {
			return r.Reply(412, ""), nil
		}
		was = old
		if len(r.Body) == 0 && seconds > 0 {
			return s.store(ctx, r, was, was.doc, seconds)
		}
	}
	if seconds == 0 {
		return s.store(ctx, r, was, pidf.Presence{}, 0)
	}
	if t := r.ContentType(); t != pidf.Type && t != pidf.TypeXPIDF {
		res := r.Reply(415, "")
		res.Add("Accept", pidf.Type)
		return res, nil
	}
	doc, err := pidf.Parse(r.Body)
	if err != nil {
		return nil, err
	}
	return s.store(ctx, r, was, doc, seconds)
}

// store turns the document into publications and answers with a new entity tag.
func (s *Service) store(ctx context.Context, r *sipmux.Request, was etag, doc pidf.Presence, seconds int) (*message, error) {
	cmd := &groupstate.Publish{User: r.User, Endpoint: was.endpoint, Now: r.Now.UnixMilli()}
	item := func(category string, container, instance uint32, body string) {
		cmd.Items = append(cmd.Items, groupstate.PublishItem{
			PublicationKey: groupstate.PublicationKey{Category: category, Container: container, Instance: instance},
			Version:        groupstate.AnyVersion, ExpireType: groupstate.TimeBound, Lifetime: int64(seconds) * 1000,
			Remove: seconds == 0 || body == "", Body: body,
		})
	}
	id := instance(was.endpoint)
	machine, phone := states(doc)
	for _, container := range [...]uint32{aggregate.ForAll, aggregate.ForWorkgroup} {
		item("state", container, machineInstance|id, machine)
		item("state", container, phoneInstance|id, phone)
	}
	if doc.Note != "" || was.doc.Note != "" {
		for _, container := range noteContainers {
			item("note", container, noteInstance|id, note(doc.Note))
		}
	}
	if _, err := result[groupstate.PublishResult](s.cfg.Groups.Propose(ctx, r.User, cmd)); err != nil {
		return nil, err
	}
	res := r.Reply(200, "")
	res.Add("SIP-ETag", s.etags.put(r.User, was.endpoint, doc, seconds, cmd.Now))
	res.Add("Expires", strconv.Itoa(seconds))
	return res, nil
}

// Ranges of the instance numbers of an endpoint's publications. Lync clients keep
// their machine states in the first and their phone states in the second.
const (
	machineInstance = 0x30000000
	phoneInstance   = 0x80000000
	noteInstance    = 0x30000000
)

// instance makes the endpoint's number within a range.
func instance(id uc.EndpointID) uint32 {
	h := uint32(2166136261) // FNV-1a: the same on every server
	for i := 0; i < len(id); i++ {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return h >> 4
}

// Limits of the classes of availability, and what a machine is in them.
const (
	fromBusy         = 6000
	fromBusyInactive = 7500
	fromDoNotDisturb = 9000
	fromBeRightBack  = 12000
)

// states are the machineState and the phoneState of an endpoint. To aggregation a
// busy machine is an active one; what makes a person busy are calls, so the word of
// a standard client counts as one. Offline (a phone that says closed) is a machine
// that is off.
func states(doc pidf.Presence) (machine, phone string) {
	n := doc.Availability
	if n < fromBusy || n >= fromBeRightBack {
		return state("machineState", n, doc.Token, doc.LastActive), ""
	}
	at := aggregate.Available
	if n >= fromBusyInactive && n < fromDoNotDisturb {
		at = aggregate.Inactive
	}
	return state("machineState", at, "", doc.LastActive), state("phoneState", n, doc.Token, 0)
}

func state(kind string, availability int, token string, lastActive int64) string {
	b := append([]byte(nil), `<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" manual="false" xsi:type="`...)
	b = append(append(b, kind...), '"')
	if lastActive > 0 {
		b = xmlpull.AppendAttr(b, "lastActive", time.UnixMilli(lastActive).UTC().Format(time.RFC3339))
	}
	b = strconv.AppendInt(append(b, "><availability>"...), int64(availability), 10)
	b = append(b, "</availability>"...)
	if token != "" {
		b = append(xmlpull.AppendAttr(append(b, "<activity"...), "token", token), "/>"...)
	}
	return string(append(b, "</state>"...))
}

// note is the note category, "" for no note.
func note(text string) string {
	if text == "" {
		return ""
	}
	b := append([]byte(nil), `<note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal" uri="">`...)
	return string(append(xmlpull.Escape(b, text), "</body></note>"...))
}

// etags remembers the entity tags of PUBLISH: memory of this process, since a
// client whose tag is unknown is told so (412) and publishes anew.
type etags struct {
	mu    sync.Mutex // guards users
	users map[uc.UserURI][]etag
}

// etag is one event state of RFC 3903: what was published last under the tag.
type etag struct {
	tag      string
	endpoint uc.EndpointID
	doc      pidf.Presence
	expires  int64 // Unix milliseconds
}

// maxTags bounds the publications of one user.
const maxTags = 16

func (e *etags) init() { e.users = map[uc.UserURI][]etag{} }

func (e *etags) get(user uc.UserURI, tag string, now int64) (etag, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.users[user] {
		if t.tag == tag && t.expires > now {
			return t, true
		}
	}
	return etag{}, false
}

// put replaces the endpoint's tag by a new one; what has expired goes too, and the
// oldest when there are too many. With seconds 0 the tag is not kept.
func (e *etags) put(user uc.UserURI, endpoint uc.EndpointID, doc pidf.Presence, seconds int, now int64) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	kept := slices.DeleteFunc(e.users[user], func(t etag) bool { return t.endpoint == endpoint || t.expires <= now })
	tag := rand.Text()[:16]
	if seconds > 0 {
		if len(kept) == maxTags {
			kept = slices.Delete(kept, 0, 1)
		}
		kept = append(kept, etag{tag, endpoint, doc, now + int64(seconds)*1000})
	}
	if len(kept) == 0 {
		delete(e.users, user)
	} else {
		e.users[user] = kept
	}
	return tag
}
