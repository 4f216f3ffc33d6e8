// Package sipdialog is the dialog state of RFC 3261 12, for whoever sends or
// takes requests within a dialog that the peer began. A Dialog is a plain value
// that can be stored and compared field by field; it reads no clock, makes no
// random numbers and parses only what it must. It belongs to one goroutine at a
// time.
package sipdialog

import (
	"errors"
	"slices"
	"strings"

	"trivet/fault"
)

// Dialog is one side's view. Addresses are header values without the tag; a
// remote tag may be empty (RFC 2543 peers).
type Dialog struct {
	CallID              string
	Local, Remote       string // name-addr or addr-spec of either side, without tag
	LocalTag, RemoteTag string
	Target              string   // URI of the peer's Contact
	Routes              []string // route set, the next hop first
	LocalSeq, RemoteSeq uint32   // last CSeq numbers; RemoteSeq counts only when HasRemote
	HasRemote, End      bool
}

// Start is what a dialog begins with, taken from the request and its response.
type Start struct {
	CallID      string
	From, To    string   // values of the headers; To with the tag of the response
	Seq         uint32   // CSeq of the request
	Contact     string   // URI of the peer's Contact
	RecordRoute []string // Record-Route values in the order of the message
}

// Accepted is the dialog of the side that answered, RFC 3261 12.1.1.
func Accepted(s Start) Dialog {
	d := Dialog{CallID: s.CallID, Target: s.Contact, Routes: slices.Clone(s.RecordRoute), RemoteSeq: s.Seq, HasRemote: true}
	d.Remote, d.RemoteTag = untag(s.From)
	d.Local, d.LocalTag = untag(s.To)
	return d
}

// Refresh takes the Contact of a target refresh request (INVITE, UPDATE,
// SUBSCRIBE, NOTIFY) or its 2xx, RFC 3261 12.2; an empty one changes nothing.
func (d *Dialog) Refresh(contact string) {
	if contact != "" {
		d.Target = contact
	}
}

// OutOfOrder is the cause of the fault of a request whose CSeq number is too low: 500,
// RFC 3261 12.2.2.
var OutOfOrder = errors.New("out of order")

// Receive checks the CSeq of a request from the peer, RFC 3261 12.2.2: numbers
// grow, gaps are fine. ACK and CANCEL repeat the number of their INVITE. The
// fault is Stale because of OutOfOrder: nothing changes. An ended dialog is Gone: 481.
func (d *Dialog) Receive(method string, seq uint32) error {
	const op = "sipdialog.Receive"
	switch {
	case d.End:
		return fault.New(fault.Gone, op, "the dialog has ended")
	case method == "ACK" || method == "CANCEL":
		return nil
	case d.HasRemote && seq <= d.RemoteSeq:
		return fault.New(fault.Stale, op, "the CSeq number is not higher than that of the last request").Because(OutOfOrder)
	}
	d.RemoteSeq, d.HasRemote = seq, true
	if method == "BYE" {
		d.End = true
	}
	return nil
}

// Request is what a request within the dialog begins with; header values.
type Request struct {
	URI      string
	Route    []string
	From, To string
	CallID   string
	Seq      uint32
}

// Next makes the next request from us, RFC 3261 12.2.1.1. An ACK takes the number
// of its INVITE, which the caller gives in seq; seq is 0 otherwise.
func (d *Dialog) Next(seq uint32) Request {
	if seq == 0 {
		d.LocalSeq++
		seq = d.LocalSeq
	}
	r := Request{URI: d.Target, Route: d.Routes, From: tagged(d.Local, d.LocalTag), To: tagged(d.Remote, d.RemoteTag), CallID: d.CallID, Seq: seq}
	if len(d.Routes) > 0 && !loose(d.Routes[0]) { // a strict router of RFC 2543
		r.URI = uriOf(d.Routes[0])
		r.Route = append(slices.Clone(d.Routes[1:]), "<"+d.Target+">")
	}
	return r
}

// loose reports whether a Route value has the lr parameter in its URI.
func loose(route string) bool {
	for p := range strings.SplitSeq(uriOf(route), ";") {
		if name, _, _ := strings.Cut(p, "="); strings.EqualFold(name, "lr") {
			return true
		}
	}
	return false
}

// uriOf is the text between the angle brackets.
func uriOf(v string) string {
	if _, rest, ok := strings.Cut(v, "<"); ok {
		v, _, _ = strings.Cut(rest, ">")
	}
	return v
}

func tagged(addr, tag string) string {
	if tag == "" {
		return addr
	}
	return addr + ";tag=" + tag
}

// untag cuts the tag parameter out of a From or To value. Parameters of a URI in
// angle brackets and quoted strings are left alone.
func untag(v string) (addr, tag string) {
	at := paramsAt(v)
	out := v[:at]
	for rest := v[at:]; rest != ""; {
		p := rest[1:]
		rest = ""
		if i := semicolon(p); i >= 0 {
			p, rest = p[:i], p[i:]
		}
		name, value, ok := strings.Cut(p, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "tag") {
			tag = strings.TrimSpace(value)
			continue
		}
		out += ";" + p
	}
	return strings.TrimRight(out, " \t"), tag
}

// paramsAt is where the header parameters begin, at a semicolon or the end.
func paramsAt(v string) int {
	from := 0
	if i := bracket(v); i >= 0 {
		from = i
	}
	if i := semicolon(v[from:]); i >= 0 {
		return from + i
	}
	return len(v)
}

// bracket is the position of the > that ends the URI, -1 without brackets.
func bracket(v string) int {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// semicolon finds the first one outside quotes, -1 if there is none.
func semicolon(v string) int {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			return i
		}
	}
	return -1
}
