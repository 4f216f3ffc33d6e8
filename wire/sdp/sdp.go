// Package sdp reads and writes the session descriptions (RFC 8866) that the
// server itself must understand: whether an offer is an instant messaging session
// of [MS-SIP] ("m=message … sip") and the answer to one. Descriptions between
// users are relayed unread. (The well-known SDP libraries refuse "m=message … sip".)
package sdp

import (
	"strconv"
	"strings"

	"trivet/fault"
)

// maxSize bounds a description, bytes; the largest offers with many candidates
// stay below 32 KiB.
const maxSize = 64 << 10

const maxMedia = 32

// Media is one m= section.
type Media struct {
	Type    string // "message", "audio", …
	Port    int
	Proto   string   // "sip", "RTP/AVP", …
	Accepts []string // a=accept-types, in order
}

// Session is what the server reads of a description.
type Session struct {
	Media []Media
}

// Parse reads a description: lines of the form x=value, v=0 first. It must be no
// longer than 64 KiB with no more than 32 media sections; a body that is not SDP
// is fault.Invalid. Lines it does not need are checked for their form only.
func Parse(body []byte) (s Session, err error) {
	const op = "sdp.Parse"
	if len(body) > maxSize {
		return s, fault.Newf(fault.Limit, op, "the session description is longer than %d bytes", maxSize)
	}
	first := true
	for line := range strings.SplitSeq(string(body), "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "" && !first:
			continue
		case len(line) < 2 || line[1] != '=' || first && line != "v=0":
			return Session{}, fault.New(fault.Invalid, op, "the session description is not SDP: it needs lines like v=0, m=…, a=…")
		}
		first = false
		if err := s.take(line[0], line[2:]); err != nil {
			return Session{}, err
		}
	}
	return s, nil
}

// take reads one line of the types that matter.
func (s *Session) take(kind byte, value string) error {
	const op = "sdp.Parse"
	switch {
	case kind == 'm':
		f := strings.Fields(value)
		if len(f) < 4 || len(s.Media) == maxMedia {
			return fault.New(fault.Invalid, op, "a media line needs the form m=type port protocol format, at most 32 of them")
		}
		number, _, _ := strings.Cut(f[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fault.New(fault.Invalid, op, "a media line has no valid port")
		}
		s.Media = append(s.Media, Media{Type: f[0], Port: int(port), Proto: f[2]})
	case kind == 'a' && len(s.Media) > 0:
		if types, ok := strings.CutPrefix(value, "accept-types:"); ok {
			s.Media[len(s.Media)-1].Accepts = strings.Fields(types)
		}
	}
	return nil
}

// IsIM reports whether the session is for instant messages alone: every media
// section is "message" (or the older "x-ms-message").
func (s Session) IsIM() bool {
	for _, m := range s.Media {
		if m.Type != "message" && m.Type != "x-ms-message" {
			return false
		}
	}
	return len(s.Media) > 0
}

// AppendIM writes the description of an instant messaging session at host and
// port that takes the content types, as [MS-SIP] has it.
func AppendIM(b []byte, host string, port int, types ...string) []byte {
	b = append(b, "v=0\r\no=- 0 0 IN IP4 "...)
	b = append(b, host...)
	b = append(b, "\r\ns=session\r\nc=IN IP4 "...)
	b = append(b, host...)
	b = append(b, "\r\nt=0 0\r\nm=message "...)
	b = strconv.AppendInt(b, int64(port), 10)
	b = append(b, " sip null\r\na=accept-types:"...)
	b = append(b, strings.Join(types, " ")...)
	return append(b, "\r\n"...)
}
