package backend

import (
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"

	rules "trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// content is what SQL reads of a user: the columns of the views.
type content struct {
	Contacts    []contact    `json:"contacts"`
	Notes       []note       `json:"notes"`
	Conferences []conference `json:"conferences"`
}

type contact struct {
	URI        string   `json:"uri"`
	Name       string   `json:"name"`
	Groups     []string `json:"groups"`
	Subscribed bool     `json:"subscribed"`
}

type note struct {
	Type       string   `json:"type"`
	Text       string   `json:"text"`
	Published  int64    `json:"published"`
	Containers []uint32 `json:"containers"`
}

type conference struct {
	ID         string       `json:"id"`
	Subject    string       `json:"subject"`
	Access     string       `json:"access"`
	Locked     bool         `json:"locked"`
	Created    int64        `json:"created"`
	Expires    int64        `json:"expires"`
	Presenters []uc.UserURI `json:"presenters"`
	Attendees  []uc.UserURI `json:"attendees"`
}

// levels are the product's words for who may join.
var levels = [...]string{rules.SameEnterprise: "SameEnterprise", rules.Invited: "Invited", rules.Everyone: "Everyone"}

// describe makes the readable form of a record.
func describe(r *groupstate.Record) string {
	c := content{Contacts: contacts(r.Contacts), Notes: notes(r.Publications), Conferences: []conference{}}
	for _, x := range r.Conferences {
		out := conference{
			ID: clean(x.ID), Subject: clean(x.Subject), Access: levels[int(x.Level)%len(levels)], Locked: x.Locked, Created: x.Created, Expires: x.Expires,
			Presenters: []uc.UserURI{}, Attendees: []uc.UserURI{},
		}
		for _, l := range x.Listed {
			if l.Presenter {
				out.Presenters = append(out.Presenters, l.User)
			} else {
				out.Attendees = append(out.Attendees, l.User)
			}
		}
		c.Conferences = append(c.Conferences, out)
	}
	b, err := json.Marshal(c)
	if err != nil { // texts and numbers always have a form
		return `{"contacts":[],"notes":[],"conferences":[]}`
	}
	return string(b)
}

func contacts(l *groupstate.ContactList) []contact {
	out := []contact{}
	if l == nil {
		return out
	}
	for _, c := range l.Contacts {
		groups := []string{}
		for _, id := range c.Groups.IDs() {
			if g := l.Group(id); g != nil {
				groups = append(groups, clean(g.Name))
			}
		}
		out = append(out, contact{clean(c.URI), clean(c.Name), groups, c.Subscribed})
	}
	return out
}

// notes reads the notes that the user set; the same one is published for several
// access levels.
func notes(list []*groupstate.Publication) []note {
	out := []note{}
	for _, p := range list {
		if p.Category != "note" {
			continue
		}
		var x struct {
			Body struct {
				Type string `xml:"type,attr"`
				Text string `xml:",chardata"`
			} `xml:"body"`
		}
		if xml.Unmarshal([]byte(p.Body), &x) != nil || x.Body.Text == "" {
			continue
		}
		n := note{Type: clean(x.Body.Type), Text: clean(x.Body.Text), Published: p.Published, Containers: []uint32{p.Container}}
		i := slices.IndexFunc(out, func(o note) bool { return o.Type == n.Type && o.Text == n.Text })
		if i < 0 {
			out = append(out, n)
		} else if out[i].Published = max(out[i].Published, n.Published); !slices.Contains(out[i].Containers, p.Container) {
			out[i].Containers = append(out[i].Containers, p.Container)
		}
	}
	return out
}

// clean takes out what PostgreSQL has no place for in a text: NUL.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }
