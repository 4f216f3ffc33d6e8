package cccp

import (
	"time"

	"trivet/wire/xmlpull"
)

// States of a document and its parts, RFC 4575 4.4. "" is full.
const (
	Full    = "full"
	Partial = "partial"
	Deleted = "deleted"
)

// Roles of participants.
const (
	Presenter = "presenter"
	Attendee  = "attendee"
)

// Kinds of sessions: the value of an endpoint's session-type, and of mcuType.
const (
	Focus = "focus"
	Chat  = "chat"
)

// Statuses of endpoints, RFC 4575 5.7.3.
const (
	Connected    = "connected"
	Disconnected = "disconnected"
)

// Info is a conference-info document.
type Info struct {
	Entity      string
	State       string
	Version     uint64
	Description *Description
	Users       []User // not nil once a document read had the element
	Views       []View
}

// Description is the conference-description. Times are zero when not given.
type Description struct {
	DisplayText     string
	Subject         string
	URIs            []URI
	ConferenceID    string
	LastUpdate      time.Time
	LastActivate    time.Time
	IsActive        bool
	Expiry          time.Time
	AdmissionPolicy string // "openAuthenticated", "closedAuthenticated", "anonymous"
	Autopromote     uint32 // 0 nobody, see [MS-CONFBAS] 2.2.2.3
	Organizer       Organizer
	JoinURL         string
	Named           Named // what a document read had, whatever its value
}

// Named says which elements a description had; for those the zero value means
// something too.
type Named uint8

// The elements.
const (
	NamedSubject Named = 1 << iota
	NamedAutopromote
)

// Organizer is who made the conference.
type Organizer struct {
	DisplayName string
	URI         string
}

// URI is an entry of conf-uris.
type URI struct{ URI, DisplayText, Purpose string }

// User is somebody in the roster, or in the list of the invited.
type User struct {
	Entity      string
	State       string
	DisplayText string
	Roles       []string
	Endpoints   []Endpoint
}

// Endpoint is one session of a user: with the focus or with an MCU.
type Endpoint struct {
	Entity      string
	SessionType string
	URI         string // where the endpoint is reached, "" for unknown
	Status      string
}

// View is the entity-view of the focus or of an MCU. In a request Entity is the
// kind of MCU that is wanted.
type View struct {
	Entity string
	Locked *bool
	Users  int // user-count, -1 or 0 is not written
	Media  []Media
}

// Media is an entry of an entity-state's media.
type Media struct{ Label, Type string }

// ParseInfo reads a conference-info document.
func ParseInfo(b []byte) (Info, error) {
	var i Info
	err := read("ParseInfo", b, "conference-info", i.read)
	if err != nil {
		return Info{}, err
	}
	return i, nil
}

func (i *Info) read(s *xmlpull.Scanner) {
	i.Entity, i.State = s.Attr("entity"), s.Attr("state")
	i.Version = uint64(s.Uint32("version"))
	for name := range s.Children() {
		switch name {
		case "conference-description":
			i.Description = new(Description)
			i.Description.read(s)
		case "users":
			i.Users = readUsers(s, i.Users)
		case "conference-view":
			i.Views = readViews(s, i.Views)
		}
	}
}

func readUsers(s *xmlpull.Scanner, list []User) []User {
	if list == nil {
		list = []User{}
	}
	for name := range s.Children() {
		if name == "user" && room(s, len(list), MaxUsers, "users") {
			var u User
			u.read(s)
			list = append(list, u)
		}
	}
	return list
}

func readViews(s *xmlpull.Scanner, list []View) []View {
	for name := range s.Children() {
		if name == "entity-view" && room(s, len(list), MaxURIs, "entity-views") {
			var v View
			v.read(s)
			list = append(list, v)
		}
	}
	return list
}

func (d *Description) read(s *xmlpull.Scanner) {
	for name := range s.Children() {
		switch name {
		case "display-text":
			d.DisplayText = value(s)
		case "subject":
			d.Subject = value(s)
			d.Named |= NamedSubject
		case "conference-id":
			d.ConferenceID = value(s)
		case "expiry-time":
			d.Expiry = moment(s, name)
		case "last-update":
			d.LastUpdate = moment(s, name)
		case "last-activate":
			d.LastActivate = moment(s, name)
		case "is-active":
			d.IsActive = truth(s, name)
		case "admission-policy":
			d.AdmissionPolicy = value(s)
		case "autopromote":
			d.Autopromote = promotion(s)
			d.Named |= NamedAutopromote
		case "join-url":
			d.JoinURL = value(s)
		case "organizer":
			d.Organizer.read(s)
		case "conf-uris":
			d.URIs = readURIs(s)
		}
	}
}

func promotion(s *xmlpull.Scanner) uint32 {
	n, ok := xmlpull.Uint32(value(s))
	if !ok {
		s.Fail("autopromote must be a number")
	}
	return n
}

func (o *Organizer) read(s *xmlpull.Scanner) {
	for name := range s.Children() {
		switch name {
		case "display-name":
			o.DisplayName = value(s)
		case "uri":
			o.URI = value(s)
		}
	}
}

func readURIs(s *xmlpull.Scanner) (list []URI) {
	for name := range s.Children() {
		if name != "entry" || !room(s, len(list), MaxURIs, "conf-uris") {
			continue
		}
		var u URI
		for name := range s.Children() {
			switch name {
			case "uri":
				u.URI = value(s)
			case "display-text":
				u.DisplayText = value(s)
			case "purpose":
				u.Purpose = value(s)
			}
		}
		list = append(list, u)
	}
	return list
}

func (u *User) read(s *xmlpull.Scanner) {
	u.Entity, u.State = s.Attr("entity"), s.Attr("state")
	for name := range s.Children() {
		switch name {
		case "display-text":
			u.DisplayText = value(s)
		case "roles":
			u.Roles = readRoles(s)
		case "endpoint":
			if room(s, len(u.Endpoints), MaxEndpoints, "endpoints of a user") {
				u.Endpoints = append(u.Endpoints, readEndpoint(s))
			}
		}
	}
}

func readRoles(s *xmlpull.Scanner) (list []string) {
	for name := range s.Children() {
		if name == "entry" && room(s, len(list), MaxRoles, "roles") {
			list = append(list, value(s))
		}
	}
	return list
}

func readEndpoint(s *xmlpull.Scanner) Endpoint {
	e := Endpoint{Entity: s.Attr("entity"), SessionType: s.Attr("session-type"), URI: s.Attr("endpoint-uri")}
	for name := range s.Children() {
		if name == "status" {
			e.Status = value(s)
		}
	}
	return e
}

func (v *View) read(s *xmlpull.Scanner) {
	v.Entity = s.Attr("entity")
	for name := range s.Children() {
		if name != "entity-state" {
			continue
		}
		for name := range s.Children() {
			switch name {
			case "locked":
				locked := truth(s, name)
				v.Locked = &locked
			case "user-count":
				n, ok := xmlpull.Uint32(value(s))
				if !ok {
					s.Fail("user-count must be a number")
				}
				v.Users = int(n)
			case "media":
				v.Media = readMedia(s, v.Media)
			}
		}
	}
}

func readMedia(s *xmlpull.Scanner, list []Media) []Media {
	for name := range s.Children() {
		if name != "entry" || !room(s, len(list), MaxURIs, "media") {
			continue
		}
		m := Media{Label: s.Attr("label")}
		for name := range s.Children() {
			if name == "type" {
				m.Type = value(s)
			}
		}
		list = append(list, m)
	}
	return list
}
