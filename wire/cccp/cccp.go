// Package cccp reads and writes the documents of conferences: requests and
// responses of the Centralized Conference Control Protocol ([MS-CONFPRO],
// [MS-CONFBAS]), the conference-info document (RFC 4575 with the extensions of
// [MS-CONFBAS] 2.2), invitations and delivery reports of instant messages
// ([MS-CONFIM], RFC 5438).
//
// Readers take a whole document of at most MaxDocument bytes and return values that
// share nothing with it. Unknown elements are passed over; a wrong value is a
// fault.Invalid that names it. Writers append. Everything is a value and all
// functions are safe for concurrent use.
package cccp

import (
	"strings"
	"time"

	"trivet/fault"
	"trivet/wire/xmlpull"
)

// Content types.
const (
	Type           = "application/cccp+xml"
	TypeInfo       = "application/conference-info+xml"
	TypeInvitation = "application/ms-conf-invite+xml"
	TypeReport     = "application/ms-imdn+xml"
)

// Limits of documents read.
const (
	MaxDocument  = 256 << 10
	MaxUsers     = 1024 // of one document
	MaxEndpoints = 64   // of one user
	MaxURIs      = 16
	MaxRoles     = 8
	MaxText      = 4096 // bytes of one value
)

const (
	nsCCCP  = "urn:ietf:params:xml:ns:cccp"
	nsInfo  = "urn:ietf:params:xml:ns:conference-info"
	nsExtra = "http://schemas.microsoft.com/rtc/2005/08/confinfoextensions"
	nsIMDN  = "urn:ietf:params:xml:ns:imdn"
)

// diagParse is "failed to parse the C3P request" ([MS-OCER] 7.4).
const diagParse = 3006

// read reads a document whose root has the name.
func read(op string, b []byte, root string, body func(*xmlpull.Scanner)) error {
	s := xmlpull.New(b, MaxDocument)
	if s.Root(root) {
		body(s)
	}
	if err := s.Finish(); err != nil {
		text := "the document cannot be read"
		if f, ok := err.(*fault.Error); ok {
			text = f.Text
		}
		return fault.New(fault.Invalid, "cccp."+op, text).Diagnosed(diagParse)
	}
	return nil
}

// value is the text of the current element without space around it.
func value(s *xmlpull.Scanner) string {
	v := strings.TrimSpace(s.Text())
	if len(v) > MaxText {
		s.Fail("a value is longer than 4096 bytes; shorten it")
		return ""
	}
	return v
}

// room reports whether a list may grow; a full one is a mistake of the document.
func room(s *xmlpull.Scanner, have, most int, what string) bool {
	if have >= most {
		s.Fail("the document has too many " + what)
	}
	return have < most
}

// truth reads an xs:boolean element.
func truth(s *xmlpull.Scanner, name string) bool {
	v, ok := xmlpull.Bool(value(s))
	if !ok {
		s.Fail(name + " must be true or false")
	}
	return v
}

// moment reads an xs:dateTime element, zero when it is empty.
func moment(s *xmlpull.Scanner, name string) time.Time {
	v := value(s)
	if v == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", v) // without a zone it is UTC
	}
	if err != nil {
		s.Fail(name + " must be a time such as 2013-05-01T12:00:00Z")
	}
	return at.UTC()
}

func appendTime(b []byte, name string, at time.Time) []byte {
	if at.IsZero() {
		return b
	}
	return xmlpull.AppendElement(b, name, at.UTC().Format("2006-01-02T15:04:05Z"))
}

func appendBool(b []byte, name string, v bool) []byte {
	text := "false"
	if v {
		text = "true"
	}
	return xmlpull.AppendElement(b, name, text)
}

// optional appends an element unless its text is empty.
func optional(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return xmlpull.AppendElement(b, name, text)
}
