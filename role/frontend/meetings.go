package frontend

import (
	"fmt"
	"net/url"

	"trivet/uc"
)

// joinURL is the web page of a conference, "" without a web server.
func (s *server) joinURL(organizer uc.UserURI, id string) string {
	if s.set.HTTPS.Off() {
		return ""
	}
	host := s.set.FQDN
	if p := s.https.Port(); p != 443 {
		host = fmt.Sprintf("%s:%d", host, p)
	}
	return "https://" + host + "/meet/" + url.PathEscape(organizer.User()) + "/" + id
}
