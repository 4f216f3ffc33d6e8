package conference

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// meetStyle is the whole look of the page; the policy names it by its hash, so that
// nothing else can be put in.
const meetStyle = `:root{color-scheme:light dark;font:1.1rem/1.6 system-ui,sans-serif}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}
main{max-width:34rem;margin:1rem;padding:2rem;border:1px solid GrayText;border-radius:.6rem}
h1{margin-top:0;font-size:1.5rem;overflow-wrap:anywhere}
a{display:inline-block;padding:.6rem 1.2rem;border-radius:.4rem;background:LinkText;color:Canvas;text-decoration:none}
a:focus-visible{outline:.2rem solid CanvasText;outline-offset:.2rem}
code{overflow-wrap:anywhere}`

var meetPolicy = func() string {
	sum := sha256.Sum256([]byte(meetStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// meetPage is the join launcher: the first link of class conf: is what Lync clients
// look for. It needs no script and no other host.
var meetPage = template.Must(template.New("meet").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title><style>` + meetStyle + `</style></head>
<body>
<main>
<h1>{{.Title}}</h1>
{{if .Link}}<p>{{.Organizer}} invites you to this conversation.</p>
<p><a href="{{.Link}}">Join with your conferencing client</a></p>
<p>With another SIP client, call <code>{{.Address}}</code> for instant messages.</p>
{{else}}<p>{{.Text}}</p>
{{end}}</main>
</body>
</html>
`))

// page is what meetPage shows.
type page struct {
	Title, Organizer, Address, Text string
	Link                            template.URL
}

// Meet is the web page of a conference, to be mounted at "GET /meet/{user}/{id}".
// domain is that of the organizers.
func (s *Service) Meet(domain string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, p := s.launcher(r.Context(), r.PathValue("user")+"@"+domain, r.PathValue("id"))
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", meetPolicy)
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		if err := meetPage.Execute(w, p); err != nil {
			s.cfg.Log.Log(r.Context(), slog.LevelDebug, "the page of a conference was not sent", "err", err)
		}
	})
}

// launcher makes the page of a conference and its status.
func (s *Service) launcher(ctx context.Context, organizer, id string) (int, page) {
	nothing := page{Title: "No such meeting", Text: "There is no meeting at this address, or it has ended. Please ask for a new invitation."}
	who, err := uc.ParseUserURI(organizer)
	if err != nil || !groupstate.ConferenceID(id) {
		return http.StatusNotFound, nothing
	}
	c, err := s.look(ctx, place{who, id})
	switch {
	case fault.Is(err, fault.NotFound):
		return http.StatusNotFound, nothing
	case err != nil:
		return http.StatusServiceUnavailable, page{Title: "Please try again", Text: "The meeting cannot be looked up just now."}
	}
	title := c.Subject
	if title == "" {
		title = "Meeting of " + s.name(who)
	}
	uri := Focus(who, id)
	return http.StatusOK, page{Title: title, Organizer: s.name(who), Address: place{who, id}.alias(), Link: template.URL("conf:" + uri + "?conversation-id=1")}
}
