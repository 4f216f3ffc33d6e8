package pidf

import (
	"strings"
	"time"

	"trivet/wire/xmlpull"
)

const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" +
	`<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"`

// Append writes the document: a tuple that is open or closed and, unless closed, a
// person with activities and idleness. Busy and away stand in the status as well,
// where clients of RPID drafts (Lync among them) look. Below 3000 counts as
// offline, as Lync clients show it.
func (p Presence) Append(b []byte) []byte {
	entity := p.Entity
	if !strings.Contains(entity, ":") {
		entity = "sip:" + entity
	}
	closed := p.Availability < fromAvailable || p.Availability >= fromOffline
	b = append(xmlpull.AppendAttr(append(b, head...), "entity", entity), `><tuple id="t1"><status><basic>`...)
	if closed {
		b = append(b, "closed</basic></status>"...)
	} else {
		b = p.appendStatus(append(b, "open</basic>"...))
	}
	if p.Contact != "" {
		b = xmlpull.AppendElement(b, "contact", p.Contact)
	}
	if p.Note != "" {
		b = xmlpull.AppendElement(b, "note", p.Note)
	}
	if p.Time > 0 {
		b = append(appendTime(append(b, "<timestamp>"...), p.Time), "</timestamp>"...)
	}
	b = append(b, "</tuple>"...)
	if !closed {
		b = p.appendPerson(b)
	}
	return append(b, "</presence>"...)
}

func (p *Presence) class() int {
	for i := range classes {
		if p.Availability >= classes[i].from {
			return i
		}
	}
	return len(classes) - 1
}

func (p *Presence) appendStatus(b []byte) []byte {
	if word := classes[p.class()].word; word != "" {
		b = append(b, `<ep:activities xmlns:ep="urn:ietf:params:xml:ns:pidf:status:rpid-status">`...)
		b = append(xmlpull.AppendElement(b, "ep:activity", word), "</ep:activities>"...)
	}
	return append(b, "</status>"...)
}

func (p *Presence) appendPerson(b []byte) []byte {
	c := &classes[p.class()]
	b = append(b, `<dm:person id="p1">`...)
	if c.word != "" {
		b = append(append(append(b, "<rpid:activities><rpid:"...), c.word...), "/>"...)
		b = append(p.appendToken(b, c.other), "</rpid:activities>"...)
	}
	if c.idle || p.LastActive > 0 {
		b = append(b, "<rpid:user-input"...)
		if p.LastActive > 0 {
			b = append(appendTime(append(b, ` last-input="`...), p.LastActive), '"')
		}
		b = append(b, ">idle</rpid:user-input>"...)
	}
	return append(b, "</dm:person>"...)
}

// appendToken writes the activity if it fits the availability, else what the class
// has to add.
func (p *Presence) appendToken(b []byte, other string) []byte {
	for _, t := range tokens {
		if t.token != p.Token || p.Availability < t.from || p.Availability >= t.to {
			continue
		}
		if t.word != "" {
			return append(append(append(b, "<rpid:"...), t.word...), "/>"...)
		}
		other = t.token
	}
	if other == "" {
		return b
	}
	return xmlpull.AppendElement(b, "rpid:other", other)
}

func appendTime(b []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(b, stamp)
}
