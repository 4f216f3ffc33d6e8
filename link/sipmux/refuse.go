package sipmux

import (
	"context"
	"strings"

	"trivet/wire/sip"
)

// unsupported answers 420 to a Require or Proxy-Require that we do not
// understand, RFC 3261 8.2.2.3. ACK and CANCEL are exempt.
func (m *Mux) unsupported(r *Request) *sip.Message {
	if r.Method == "ACK" || r.Get("Require") == "" && r.Get("Proxy-Require") == "" {
		return nil
	}
	var bad []string
	for _, name := range [...]string{"Require", "Proxy-Require"} {
		for line := range r.All(name) {
			for tag := range sip.Split(line) {
				if !m.accepts[strings.ToLower(tag)] {
					bad = append(bad, tag)
				}
			}
		}
	}
	if bad == nil {
		return nil
	}
	res := r.Reply(420, "")
	res.Add("Unsupported", strings.Join(bad, ", "))
	return res
}

// find returns the rows that fit the request, one per kind of caller, or the
// refusal. More special rows hide less special ones.
func (m *Mux) find(r *Request) ([]Route, *sip.Message) {
	e := m.methods[r.Method]
	if e == nil {
		if r.Method == "OPTIONS" {
			return []Route{m.options()}, nil
		}
		return nil, m.refuse(r, 405)
	}
	named, event, kind := "", "", ""
	if e.apps {
		named = app(r.RequestURI)
	}
	if e.events {
		event = r.Event()
	}
	if e.types {
		kind = r.ContentType()
	}
	for i := range e.rows {
		row := &e.rows[i]
		if row.fits(named, event, kind) {
			end := i + 1
			for end < len(e.rows) && e.rows[end].selects(row) {
				end++
			}
			return e.rows[i:end], nil
		}
	}
	if e.types && !(e.events && !e.hasEvent(event)) {
		return nil, m.refuse(r, 415)
	}
	return nil, m.refuse(r, 489)
}

func (r *Route) fits(named, event, kind string) bool {
	return (r.App == "" || r.App == named) && (r.Event == "" || r.Event == event) && (r.Type == "" || r.Type == kind)
}

func (e *method) hasEvent(event string) bool {
	for i := range e.rows {
		if e.rows[i].Event == event {
			return true
		}
	}
	return false
}

// refuse answers with the header that says what would have been accepted.
func (m *Mux) refuse(r *Request, status int) *sip.Message {
	res := r.Reply(status, "")
	switch status {
	case 405:
		res.Add("Allow", m.allow)
	case 415:
		res.Add("Accept", m.types)
	case 489:
		res.Add("Allow-Events", m.events)
	}
	return res
}

// options is the row that answers OPTIONS from the table, RFC 3261 11.
func (m *Mux) options() Route {
	return Route{Method: "OPTIONS", Quick: true, Doc: "what this server can do", Serve: func(_ context.Context, r *Request) (*sip.Message, error) {
		res := r.Reply(200, "")
		m.Describe(res)
		return res, nil
	}}
}

// Describe adds Allow, Allow-Events and Accept, as the table has them.
func (m *Mux) Describe(res *sip.Message) {
	for _, h := range [...]struct{ name, value string }{{"Allow", m.allow}, {"Allow-Events", m.events}, {"Accept", m.types}} {
		if h.value != "" {
			res.Add(h.name, h.value)
		}
	}
}
