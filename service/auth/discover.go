package auth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/soap"
)

// asksDiscovery tells a client's request for the root from a person's.
func asksDiscovery(r *http.Request) bool {
	return strings.HasPrefix(strings.ToLower(r.Host), "lyncdiscover") ||
		strings.Contains(r.Header.Get("Accept"), "vnd.microsoft.rtc.autodiscover") || r.URL.Query().Has("sipuri")
}

// serveRoot answers with the link to the user's document; over plain HTTP with
// the redirection to HTTPS ([MS-OCDISCWS] 3.1).
func (s *Service) serveRoot(w http.ResponseWriter, r *http.Request) {
	d := soap.Discovery{Internal: s.inside(r)}
	if err := s.served(r.URL.Query().Get("sipuri")); err != nil {
		s.problem(w, err)
		return
	}
	if r.TLS == nil {
		to := s.base(r) + DiscoverPath
		if q := r.URL.RawQuery; q != "" {
			to += "?" + url.Values{"sipuri": r.URL.Query()["sipuri"]}.Encode()
		}
		d.Links = []soap.Link{{Token: "Redirect", Href: to}}
	} else {
		d.Links = []soap.Link{{Token: "User", Href: s.base(r) + userDiscover}}
	}
	s.discovery(w, r, d)
}

// served refuses an address whose domain is not served here.
func (s *Service) served(sipuri string) error {
	const op = "auth.served"
	if sipuri == "" {
		return nil
	}
	u, err := uc.ParseUserURI(sipuri)
	if err != nil {
		return fault.Wrap(op, err)
	}
	for _, d := range s.cfg.Domains {
		if strings.EqualFold(d, u.Domain()) {
			return nil
		}
	}
	return fault.New(fault.NotFound, op, "the domain of sipuri is not served here").About(u.Domain())
}

// serveUser answers with the SIP entrances of the user who shows a web ticket;
// without one it says where tickets are issued.
func (s *Service) serveUser(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		s.problem(w, fault.New(fault.Forbidden, "auth.serveUser", "this service is reached over HTTPS only"))
		return
	}
	if _, err := s.Bearer(r, DiscoverPath); err != nil {
		w.Header().Set("X-MS-WebTicketURL", s.base(r)+TicketPath)
		s.problem(w, err)
		return
	}
	s.discovery(w, r, soap.Discovery{Internal: s.inside(r), User: true, Inside: s.cfg.Inside, Outside: s.cfg.Outside})
}

func (s *Service) inside(r *http.Request) bool {
	return s.cfg.Within == nil || s.cfg.Within(source(r))
}

// discovery writes the document as XML, or as JSON for a client that asks for it.
func (s *Service) discovery(w http.ResponseWriter, r *http.Request, d soap.Discovery) {
	kind, body := soap.DiscoverType, d.Append(nil)
	if strings.Contains(r.Header.Get("Accept"), "autodiscover+json") {
		var err error
		if body, err = json.Marshal(jsonDiscovery(d)); err != nil {
			s.problem(w, err)
			return
		}
		kind = "application/vnd.microsoft.rtc.autodiscover+json; v=1"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache")
	w.Write(body)
}

func jsonDiscovery(d soap.Discovery) map[string]any {
	links := []map[string]string{}
	for _, l := range d.Links {
		links = append(links, map[string]string{"token": l.Token, "href": l.Href})
	}
	inner := map[string]any{"Links": links}
	for place, a := range map[string]soap.Access{"Internal": d.Inside, "External": d.Outside} {
		if a.FQDN != "" {
			at := map[string]any{"fqdn": a.FQDN, "port": a.Port}
			inner["SipServer"+place+"Access"], inner["SipClient"+place+"Access"] = at, at
		}
	}
	kind, location := "Root", "External"
	if d.User {
		kind = "User"
	}
	if d.Internal {
		location = "Internal"
	}
	return map[string]any{"AccessLocation": location, kind: inner}
}
