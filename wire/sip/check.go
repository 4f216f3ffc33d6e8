package sip

import "strings"

// single are the headers that a message has exactly once, RFC 3261 8.1.1.
var single = [...]string{"From", "To", "Call-ID", "CSeq"}

// atMostOnce are the headers that a second line of makes ambiguous.
var atMostOnce = [...]string{"Max-Forwards", "Expires", "Content-Type", "Event", "Min-Expires", "Date"}

// Check applies the rules that hold for every message before anything acts on it:
// the headers of RFC 3261 8.1.1 and 16.3 are there once and well-formed, scalars
// are in range, CSeq names the method. It returns 0 for a sound message, else the
// status a request deserves (400, 416, 505) and why; unsound responses are to be
// dropped whatever the status.
func (m *Message) Check() (status int, err error) {
	for _, name := range single {
		switch m.Count(name) {
		case 0:
			return 400, bad("Check", "the %s header is missing", name)
		case 1:
		default:
			return 400, bad("Check", "the %s header occurs more than once", name)
		}
	}
	for _, name := range atMostOnce {
		if m.Count(name) > 1 {
			return 400, bad("Check", "the %s header occurs more than once", name)
		}
	}
	if err := m.checkFields(); err != nil {
		return 400, err
	}
	if m.IsRequest() {
		return m.checkRequest()
	}
	return 0, nil
}

func (m *Message) checkFields() error {
	if m.CallID() == "" {
		return bad("Check", "the Call-ID is empty")
	}
	if _, _, err := m.CSeq(); err != nil {
		return err
	}
	for line := range m.All("Via") {
		if strings.HasSuffix(strings.TrimRight(line, " \t"), ",") {
			return bad("Check", "the Via list ends in a comma")
		}
		for item := range Split(line) {
			if _, err := ParseVia(item); err != nil {
				return err
			}
		}
	}
	if m.Count("Via") == 0 {
		return bad("Check", "the Via header is missing")
	}
	for _, name := range [...]string{"From", "To"} {
		if _, err := m.addr(name); err != nil {
			return err
		}
	}
	return m.checkScalars()
}

// checkScalars refuses numbers outside their range, RFC 4475 3.1.2.4.
func (m *Message) checkScalars() error {
	for _, s := range [...]struct {
		name  string
		limit int
	}{{"Max-Forwards", 255}, {"Expires", 1<<32 - 1}, {"Min-Expires", 1<<32 - 1}} {
		v, ok := m.Lookup(s.name)
		if _, good := number(v, s.limit); ok && !good {
			return bad("Check", "%s must be a number up to %d", s.name, s.limit)
		}
	}
	if v, ok := m.Lookup("Warning"); ok {
		code, _, _ := strings.Cut(v, " ")
		if n, good := number(code, 999); !good || n < 100 {
			return bad("Check", "a Warning code must have three digits")
		}
	}
	contacts, err := m.Contacts()
	if err != nil {
		return err
	}
	for _, c := range contacts {
		if v, ok := c.Params.Get("expires"); ok {
			if _, good := number(v, 1<<32-1); !good {
				return bad("Check", "the expires parameter of a Contact must be a number below 4294967296")
			}
		}
	}
	return nil
}

func (m *Message) checkRequest() (int, error) {
	if _, method, _ := m.CSeq(); method != m.Method {
		return 400, bad("Check", "CSeq names another method than the request line")
	}
	u, err := ParseURI(m.RequestURI)
	switch {
	case err != nil:
		return 400, err
	case !u.IsSIP() && u.Scheme != "tel":
		return 416, bad("Check", "the request URI has a scheme that is not served here")
	case u.Headers != "":
		return 400, bad("Check", "the request URI has headers in it, which only other places may")
	}
	if m.Method == "REGISTER" {
		to, _ := m.To()
		if u, err := ParseURI(to.URI); err != nil || !u.IsSIP() {
			return 400, bad("Check", "the To header of a REGISTER must be a SIP address")
		}
	}
	return 0, nil
}
