package pidf

import (
	"strings"

	"trivet/wire/xmlpull"
)

// reader gathers what a document says in its several places.
type reader struct {
	s      *xmlpull.Scanner
	p      Presence
	tuples int
	open   bool // a tuple is open, or says nothing about it
	idle   bool
	which  int       // 1 + the index of the activity that counts, 0 for none
	notes  [3]string // of the person, the document, a tuple: the first that is there counts
}

func (r *reader) presence() {
	r.p.Entity = r.s.Attr("entity")
	for name := range r.s.Children() {
		switch name {
		case "tuple":
			r.tuple()
		case "person":
			r.person()
		case "note":
			r.note(1)
		case "presentity":
			r.p.Entity, _, _ = strings.Cut(r.s.Attr("uri"), ";")
		case "atom":
			r.atom()
		}
	}
}

func (r *reader) note(place int) {
	text := strings.TrimSpace(r.s.Text())
	if len(text) > MaxNote {
		r.s.Fail("a note may have at most 2048 bytes")
	}
	if r.notes[place] == "" {
		r.notes[place] = text
	}
}

func (r *reader) counted() bool {
	if r.tuples++; r.tuples > MaxTuples {
		r.s.Fail("the document has more than 32 tuples")
	}
	return r.s.Err() == nil
}

// tuple reads a service. What a closed one says about activities does not count.
func (r *reader) tuple() {
	if !r.counted() {
		return
	}
	closed := false
	contact := ""
	before := *r
	for name := range r.s.Children() {
		switch name {
		case "status":
			closed = r.status()
		case "contact":
			contact = strings.TrimSpace(r.s.Text())
		case "note":
			r.note(2)
		case "timestamp":
			r.p.Time = max(r.p.Time, readTime(r.s, r.s.Text(), name))
		default:
			r.rpid(name)
		}
	}
	if closed {
		r.which, r.idle, r.p.LastActive = before.which, before.idle, before.p.LastActive
		return
	}
	if r.open = true; r.p.Contact == "" {
		r.p.Contact = contact
	}
}

func (r *reader) status() (closed bool) {
	for name := range r.s.Children() {
		if name != "basic" {
			r.rpid(name)
			continue
		}
		switch strings.TrimSpace(r.s.Text()) {
		case "open":
		case "closed":
			closed = true
		default:
			r.s.Fail("basic must be open or closed")
		}
	}
	return closed
}

func (r *reader) person() {
	for name := range r.s.Children() {
		switch name {
		case "note":
			r.note(0)
		case "timestamp":
			r.p.Time = max(r.p.Time, readTime(r.s, r.s.Text(), name))
		default:
			r.rpid(name)
		}
	}
}

// rpid reads an element of RPID, which older clients also put into tuples.
func (r *reader) rpid(name string) {
	switch name {
	case "activities":
		for name := range r.s.Children() {
			switch name {
			case "activity", "other":
				r.activity(strings.TrimSpace(r.s.Text()))
			case "note":
				r.note(2)
			default:
				r.activity(name)
			}
		}
	case "user-input":
		last := readTime(r.s, r.s.Attr("last-input"), "last-input")
		if strings.TrimSpace(r.s.Text()) == "idle" {
			r.idle = true
			r.p.LastActive = max(r.p.LastActive, last)
		}
	}
}

func (r *reader) activity(word string) {
	for i := range activities {
		if activities[i].word == word {
			r.which = max(r.which, i+1)
		}
	}
}

// result draws the conclusion.
func (r *reader) result() Presence {
	p := r.p
	for _, note := range r.notes {
		if p.Note == "" {
			p.Note = note
		}
	}
	p.Availability = available
	if r.which > 0 {
		p.Availability, p.Token = activities[r.which-1].number, activities[r.which-1].token
	}
	switch {
	case !r.open:
		p.Availability, p.Token, p.LastActive = offline, "", 0
	case r.idle && p.Availability < fromBusy:
		p.Availability = inactive
	case r.idle && p.Availability < fromDoNotDisturb:
		p.Availability = busyInactive
	}
	return p
}

// atom reads a person of XPIDF.
func (r *reader) atom() {
	for name := range r.s.Children() {
		if name != "address" || !r.counted() {
			continue
		}
		if r.p.Contact == "" {
			r.p.Contact = r.s.Attr("uri")
		}
		for name := range r.s.Children() {
			switch name {
			case "status":
				r.xstatus(r.s.Attr("status"))
			case "msnsubstatus":
				r.xstatus(r.s.Attr("substatus"))
			case "note":
				r.note(2)
			}
		}
	}
}

func (r *reader) xstatus(word string) {
	switch word {
	case "open", "online", "inuse", "busy", "onthephone", "away", "berightback", "outtolunch":
		r.open = true
		r.activity(word)
	case "inactive", "idle":
		r.open, r.idle = true, true
	}
}
