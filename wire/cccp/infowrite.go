package cccp

import (
	"strconv"

	"trivet/wire/xmlpull"
)

// Append writes the document, complete with its namespaces.
func (i *Info) Append(b []byte) []byte {
	b = append(b, `<conference-info xmlns="`+nsInfo+`" xmlns:msci="`+nsExtra+`"`...)
	b = xmlpull.AppendAttr(b, "entity", i.Entity)
	if i.State != "" {
		b = xmlpull.AppendAttr(b, "state", i.State)
	}
	if i.Version > 0 {
		b = xmlpull.AppendUint(b, "version", i.Version)
	}
	b = append(b, '>')
	if i.Description != nil {
		b = i.Description.append(b)
	}
	if len(i.Users) > 0 {
		b = append(b, "<users"...)
		if i.State == Partial {
			b = xmlpull.AppendAttr(b, "state", Partial)
		}
		b = append(b, '>')
		b = AppendUsers(b, i.Users)
		b = append(b, "</users>"...)
	}
	if len(i.Views) > 0 {
		b = append(b, "<msci:conference-view>"...)
		for k := range i.Views {
			b = i.Views[k].append(b)
		}
		b = append(b, "</msci:conference-view>"...)
	}
	return append(b, "</conference-info>"...)
}

// AppendKey writes a document that only names a conference, for lists that would be
// too long otherwise.
func AppendKey(b []byte, entity string) []byte {
	b = xmlpull.AppendAttr(append(b, `<conference-info xmlns="`+nsInfo+`"`...), "entity", entity)
	return append(b, "/>"...)
}

func (d *Description) append(b []byte) []byte {
	b = append(b, "<conference-description>"...)
	b = optional(b, "display-text", d.DisplayText)
	b = xmlpull.AppendElement(b, "subject", d.Subject)
	if len(d.URIs) > 0 {
		b = append(b, "<conf-uris>"...)
		for _, u := range d.URIs {
			b = append(b, "<entry>"...)
			b = xmlpull.AppendElement(b, "uri", u.URI)
			b = optional(b, "display-text", u.DisplayText)
			b = optional(b, "purpose", u.Purpose)
			b = append(b, "</entry>"...)
		}
		b = append(b, "</conf-uris>"...)
	}
	if d.Organizer != (Organizer{}) {
		b = append(b, "<organizer>"...)
		b = optional(b, "display-name", d.Organizer.DisplayName)
		b = optional(b, "uri", d.Organizer.URI)
		b = append(b, "</organizer>"...)
	}
	b = optional(b, "msci:conference-id", d.ConferenceID)
	b = appendTime(b, "msci:last-update", d.LastUpdate)
	b = appendTime(b, "msci:last-activate", d.LastActivate)
	b = appendBool(b, "msci:is-active", d.IsActive)
	b = appendTime(b, "msci:expiry-time", d.Expiry)
	b = optional(b, "msci:admission-policy", d.AdmissionPolicy)
	if d.AdmissionPolicy != "" {
		b = xmlpull.AppendElement(b, "msci:autopromote", strconv.FormatUint(uint64(d.Autopromote), 10))
	}
	b = optional(b, "msci:join-url", d.JoinURL)
	return append(b, "</conference-description>"...)
}

// AppendUsers writes user elements one behind the other, for a place where the
// namespaces are declared.
func AppendUsers(b []byte, users []User) []byte {
	for k := range users {
		b = users[k].append(b)
	}
	return b
}

func (u *User) append(b []byte) []byte {
	b = xmlpull.AppendAttr(append(b, "<user"...), "entity", u.Entity)
	if u.State != "" {
		b = xmlpull.AppendAttr(b, "state", u.State)
	}
	if u.State == Deleted {
		return append(b, "/>"...)
	}
	b = optional(append(b, '>'), "display-text", u.DisplayText)
	if len(u.Roles) > 0 {
		b = append(b, "<roles>"...)
		for _, r := range u.Roles {
			b = xmlpull.AppendElement(b, "entry", r)
		}
		b = append(b, "</roles>"...)
	}
	for k := range u.Endpoints {
		b = u.Endpoints[k].append(b)
	}
	return append(b, "</user>"...)
}

func (e *Endpoint) append(b []byte) []byte {
	b = xmlpull.AppendAttr(append(b, "<endpoint"...), "entity", e.Entity)
	if e.SessionType != "" {
		b = xmlpull.AppendAttr(b, "msci:session-type", e.SessionType)
	}
	if e.URI != "" {
		b = xmlpull.AppendAttr(b, "msci:endpoint-uri", e.URI)
	}
	b = optional(append(b, '>'), "status", e.Status)
	return append(b, "</endpoint>"...)
}

func (v *View) append(b []byte) []byte {
	b = xmlpull.AppendAttr(append(b, "<msci:entity-view"...), "entity", v.Entity)
	b = append(b, "><msci:entity-state>"...)
	if v.Locked != nil {
		b = appendBool(b, "msci:locked", *v.Locked)
	}
	if v.Users > 0 {
		b = xmlpull.AppendElement(b, "user-count", strconv.Itoa(v.Users))
	}
	if len(v.Media) > 0 {
		b = append(b, "<msci:media>"...)
		for _, m := range v.Media {
			b = xmlpull.AppendAttr(append(b, "<entry"...), "label", m.Label)
			b = append(xmlpull.AppendElement(append(b, '>'), "type", m.Type), "</entry>"...)
		}
		b = append(b, "</msci:media>"...)
	}
	return append(b, "</msci:entity-state></msci:entity-view>"...)
}
