package cccp

import (
	"strconv"

	"trivet/wire/xmlpull"
)

// Request is a request with its one command ([MS-CONFBAS] 2.2.3). Which fields a
// command has is in the table of commands; the others are empty.
type Request struct {
	ID       string // requestId
	From, To string
	Command  string // "addConference", "addUser", …

	ConfEntity   string // conferenceKeys or userKeys
	ConferenceID string // conferenceKeys of the focus factory
	UserEntity   string // userKeys
	Info         *Info  // addConference, modifyConference
	User         *User  // addUser
	Roles        []string
	Locked       bool
}

// part reads an element of a command into the request.
type part func(*Request, *xmlpull.Scanner)

// commands says which elements are read of each command; a command that is not here
// is read by its name alone.
var commands = map[string]map[string]part{
	"getConferencingCapabilities": {},
	"addConference":               {"conference-info": (*Request).info},
	"modifyConference":            {"conference-info": (*Request).info, "conferenceKeys": (*Request).keys},
	"getConference":               {"conferenceKeys": (*Request).keys},
	"getConferences":              {},
	"deleteConference":            {"conferenceKeys": (*Request).keys},
	"addUser":                     {"conferenceKeys": (*Request).keys, "user": (*Request).user},
	"getUsers":                    {"conferenceKeys": (*Request).keys},
	"deleteUser":                  {"userKeys": (*Request).keys},
	"modifyUserRoles":             {"userKeys": (*Request).keys, "user-roles": (*Request).roles},
	"modifyConferenceLock":        {"conferenceKeys": (*Request).keys, "locked": (*Request).lock},
}

// ParseRequest reads a request. It must have exactly one command.
func ParseRequest(b []byte) (Request, error) {
	var r Request
	err := read("ParseRequest", b, "request", func(s *xmlpull.Scanner) {
		r.ID, r.From, r.To = s.Attr("requestId"), s.Attr("from"), s.Attr("to")
		if len(r.ID) > 64 || len(r.From) > MaxText || len(r.To) > MaxText {
			s.Fail("requestId, from or to is too long")
		}
		for name := range s.Children() {
			if r.Command != "" {
				s.Fail("a request has one command; send the others in requests of their own")
				return
			}
			r.Command = name
			parts := commands[name]
			for name := range s.Children() {
				if read := parts[name]; read != nil {
					read(&r, s)
				}
			}
		}
		if r.Command == "" {
			s.Fail("the request has no command")
		}
	})
	if err != nil {
		return Request{ID: r.ID, From: r.From, To: r.To}, err
	}
	return r, nil
}

func (r *Request) keys(s *xmlpull.Scanner) {
	r.ConfEntity, r.ConferenceID, r.UserEntity = s.Attr("confEntity"), s.Attr("conference-id"), s.Attr("userEntity")
}

func (r *Request) info(s *xmlpull.Scanner) {
	r.Info = new(Info)
	r.Info.read(s)
}

func (r *Request) user(s *xmlpull.Scanner) {
	r.User = new(User)
	r.User.read(s)
}

func (r *Request) roles(s *xmlpull.Scanner) { r.Roles = readRoles(s) }

func (r *Request) lock(s *xmlpull.Scanner) { r.Locked = truth(s, "locked") }

// Response is the answer to a request.
type Response struct {
	ID       string
	From, To string
	Command  string
	Code     string // Success or Failure
	Reason   string // of a failure: "conferenceDoesntExist", …
	Text     string // of a failure, for a person
	Body     []byte // elements of the command, in the namespace of this protocol
}

// Codes of responses.
const (
	Success = "success"
	Failure = "failure"
)

// Reasons of failures, [MS-CONFBAS] 2.2.3, [MS-CONFPRO] 2.2.3.4.
const (
	ConferenceDoesntExist = "conferenceDoesntExist"
	ConferenceExists      = "conferenceExistsAlready"
	UserDoesntExist       = "userDoesntExist"
	NotAllowed            = "unauthorized"
	RequestMalformed      = "requestMalformed"
	NotImplemented        = "notImplemented"
	MaxConferences        = "maxConferencesExceeded"
)

// Append writes the response.
func (r *Response) Append(b []byte) []byte {
	b = append(b, `<response xmlns="`+nsCCCP+`" xmlns:msci="`+nsExtra+`"`...)
	b = xmlpull.AppendAttr(b, "requestId", r.ID)
	b = append(b, ` C3PVersion="1"`...)
	b = xmlpull.AppendAttr(b, "from", r.From)
	b = xmlpull.AppendAttr(b, "to", r.To)
	b = xmlpull.AppendAttr(b, "code", r.Code)
	if r.Command == "" {
		return append(b, "/>"...)
	}
	b = append(append(b, "><"...), r.Command...)
	if r.Reason != "" {
		b = xmlpull.AppendAttr(b, "reason", r.Reason)
	}
	b = append(b, '>')
	b = optional(b, "diagnostics-info", r.Text)
	b = append(b, r.Body...)
	return append(append(append(b, "</"...), r.Command...), "></response>"...)
}

// ParseResponse reads a response; Body is what stands in the command, as written.
func ParseResponse(b []byte) (Response, error) {
	var r Response
	err := read("ParseResponse", b, "response", func(s *xmlpull.Scanner) {
		r.ID, r.From, r.To, r.Code = s.Attr("requestId"), s.Attr("from"), s.Attr("to"), s.Attr("code")
		for name := range s.Children() {
			r.Command, r.Reason = name, s.Attr("reason")
			for name := range s.Children() {
				if name == "diagnostics-info" {
					r.Text = value(s)
					continue
				}
				r.Body = append(r.Body, s.Raw()...)
			}
		}
	})
	if err != nil {
		return Response{}, err
	}
	return r, nil
}

// AppendCapabilities is the body of the answer to getConferencingCapabilities: the
// kinds of MCU that there are.
func AppendCapabilities(b []byte, kinds ...string) []byte {
	b = append(b, "<mcu-types>"...)
	for _, k := range kinds {
		b = xmlpull.AppendElement(b, "mcuType", k)
	}
	return append(b, "</mcu-types>"...)
}

// AppendJoined is the body of the answer to addUser.
func AppendJoined(b []byte, confEntity string, u User) []byte {
	b = xmlpull.AppendAttr(append(b, "<conferenceKeys"...), "confEntity", confEntity)
	b = append(b, `/><user xmlns="`+nsInfo+`"`...)
	return append(b, u.append(nil)[len("<user"):]...)
}

// AppendRoster is the body of the answer to getUsers.
func AppendRoster(b []byte, users []User) []byte {
	b = append(b, `<users xmlns="`+nsInfo+`">`...)
	return append(AppendUsers(b, users), "</users>"...)
}

// Invitation is a body of TypeInvitation ([MS-CONFIM], [MS-CONVIM]).
type Invitation struct {
	FocusURI string
	Subject  string
	IM       bool
	Audio    bool
}

// ParseInvitation reads an invitation.
func ParseInvitation(b []byte) (Invitation, error) {
	var i Invitation
	err := read("ParseInvitation", b, "Conferencing", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			switch name {
			case "focus-uri":
				i.FocusURI = value(s)
			case "subject":
				i.Subject = value(s)
			case "im":
				i.IM = s.Bool("available")
			case "audio":
				i.Audio = s.Bool("available")
			}
		}
		if i.FocusURI == "" {
			s.Fail("the invitation has no focus-uri")
		}
	})
	if err != nil {
		return Invitation{}, err
	}
	return i, nil
}

// Append writes the invitation.
func (i Invitation) Append(b []byte) []byte {
	b = append(b, `<Conferencing version="2.0">`...)
	b = xmlpull.AppendElement(b, "focus-uri", i.FocusURI)
	b = xmlpull.AppendElement(b, "subject", i.Subject)
	for _, m := range [...]struct {
		name string
		on   bool
	}{{"im", i.IM}, {"audio", i.Audio}} {
		if m.on {
			b = append(append(append(b, '<'), m.name...), ` available="true"/>`...)
		}
	}
	return append(b, "</Conferencing>"...)
}

// Report tells the sender of an instant message who did not get it.
type Report struct {
	MessageID  string
	Recipients []Recipient
}

// Recipient is somebody who did not get a message, and the status why.
type Recipient struct {
	URI    string
	Status int
}

// Append writes the report.
func (r Report) Append(b []byte) []byte {
	b = append(b, `<imdn xmlns="`+nsIMDN+`">`...)
	b = xmlpull.AppendElement(b, "message-id", r.MessageID)
	for _, x := range r.Recipients {
		b = xmlpull.AppendAttr(append(b, "<recipient"...), "uri", "<"+x.URI+">")
		b = xmlpull.AppendElement(append(b, '>'), "status", strconv.Itoa(x.Status))
		b = append(b, "</recipient>"...)
	}
	return append(b, "</imdn>"...)
}

// ParseReport reads a report.
func ParseReport(b []byte) (Report, error) {
	var r Report
	err := read("ParseReport", b, "imdn", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			switch name {
			case "message-id":
				r.MessageID = value(s)
			case "recipient":
				if !room(s, len(r.Recipients), MaxUsers, "recipients") {
					continue
				}
				x := Recipient{URI: s.Attr("uri")}
				if n := len(x.URI); n > 1 && x.URI[0] == '<' && x.URI[n-1] == '>' {
					x.URI = x.URI[1 : n-1]
				}
				for name := range s.Children() {
					if name == "status" {
						n, ok := xmlpull.Uint32(value(s))
						if !ok || n > 699 {
							s.Fail("status must be a SIP status")
						}
						x.Status = int(n)
					}
				}
				r.Recipients = append(r.Recipients, x)
			}
		}
	})
	if err != nil {
		return Report{}, err
	}
	return r, nil
}
