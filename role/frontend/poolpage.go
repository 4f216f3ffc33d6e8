package frontend

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"trivet/admin/cmdlet"
	"trivet/link/httpd"
	"trivet/uc"
)

//go:embed poolpage.html
var poolPageText string

var poolPageTemplate = template.Must(template.New("pool").Parse(poolPageText))

// pageCell is what a server has of a group.
type pageCell struct {
	Class string // of the style sheet: primary, secondary, observer, down, none
	Mark  string // P, S, o, !
	Title string
}

// pageGroup is a row of the page.
type pageGroup struct {
	Name    string
	State   string // healthy, degraded, lost
	Cells   []pageCell
	Witness *pageCell
	Copies  string
}

// pageServer is a column of the page.
type pageServer struct {
	cmdlet.FabricServer
	Short string // what is different of its name
}

// poolView is what the page shows.
type poolView struct {
	cmdlet.FabricState
	Server  uc.ServerFQDN // that answers
	At      string
	Alarms  []string // what needs somebody
	Summary []string
	Heads   []pageServer
	Rows    []pageGroup
}

func (v *poolView) alarm(format string, a ...any) {
	v.Alarms = append(v.Alarms, fmt.Sprintf(format, a...))
}

func (v *poolView) say(format string, a ...any) {
	v.Summary = append(v.Summary, fmt.Sprintf(format, a...))
}

// poolPage draws the pool: which server has which copy of which group.
func (s *server) poolPage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, err := fabricView{s.ground}.State(r.Context())
		if err != nil {
			httpd.Problem(w, err)
			return
		}
		var b bytes.Buffer
		if err := poolPageTemplate.Execute(&b, s.viewOf(r.Context(), state)); err != nil {
			httpd.Problem(w, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		h.Set("Refresh", "5")
		_, _ = w.Write(b.Bytes()) // who has gone is not there to be told
	})
}

func (s *server) viewOf(_ context.Context, state cmdlet.FabricState) poolView {
	v := poolView{FabricState: state, Server: s.fqdn, At: s.clock.Now().UTC().Format("2006-01-02 15:04:05 UTC"), Heads: headsOf(state.Servers)}
	v.drawGroups()
	var down, draining []uc.ServerFQDN
	for _, x := range state.Servers {
		switch {
		case !x.Live:
			down = append(down, x.FQDN)
		case x.Draining:
			draining = append(draining, x.FQDN)
		}
	}
	if down != nil {
		v.alarm("Not there: %s.", list(down))
	}
	v.say("%d of %d votes of the pool are present, %d are needed.", state.Present, state.Votes, state.Needed)
	switch state.Witness {
	case "":
	case "Down":
		v.alarm("The witness in the Back End is down.")
	default:
		v.say("The witness in the Back End is %s.", strings.ToLower(state.Witness))
	}
	if draining != nil {
		v.say("Stopped, or being stopped, by an administrator: %s.", list(draining))
	}
	if s.fabric != nil {
		if u := s.fabric.state().Upgrade; u.UnderWay() {
			v.say("An upgrade is under way; Get-CsPoolUpgrade says what it waits for.")
		}
	}
	s.sayBackEnd(&v)
	return v
}

// drawGroups makes the rows, and says what groups lack.
func (v *poolView) drawGroups() {
	lost, degraded := 0, 0
	for _, g := range v.Groups {
		row := rowOfPage(g, v.Servers)
		switch row.State {
		case "lost":
			lost++
		case "degraded":
			degraded++
		}
		v.Rows = append(v.Rows, row)
	}
	if lost > 0 {
		v.alarm("%s without a primary: users there are not served.", count(lost, "group"))
	}
	if degraded > 0 {
		v.alarm("%s with a copy missing.", count(degraded, "group"))
	}
	if lost+degraded == 0 {
		v.say("Every group has all of its copies.")
	}
}

// sayBackEnd says how old the copy of the users' data is, of what is led here.
func (s *server) sayBackEnd(v *poolView) {
	if s.copies == nil {
		return
	}
	since, away := s.copies.Unavailable()
	oldest := s.oldestCopy()
	switch {
	case away:
		v.alarm("The Back End has not been reached since %s.", since.UTC().Format("15:04:05 UTC"))
	case oldest > time.Minute:
		v.say("The oldest copy in the Back End, of the groups led here, is %s old.", oldest.Round(time.Second))
	default:
		v.say("The copy of the users' data in the Back End is up to date.")
	}
}

// headsOf are the columns. What all names end with is left out.
func headsOf(servers []cmdlet.FabricServer) (heads []pageServer) {
	_, domain, _ := strings.Cut(string(servers[0].FQDN), ".")
	for _, x := range servers {
		if !strings.HasSuffix(string(x.FQDN), "."+domain) {
			domain = ""
		}
	}
	for _, x := range servers {
		short := string(x.FQDN)
		if domain != "" {
			short = strings.TrimSuffix(short, "."+domain)
		}
		heads = append(heads, pageServer{x, short})
	}
	return heads
}

// oldestCopy is the age of what is led here and waits for the Back End.
func (s *server) oldestCopy() (oldest time.Duration) {
	for _, c := range s.copies.Status() {
		if c.Waiting > 0 || c.Whole {
			oldest = max(oldest, c.Age)
		}
	}
	return oldest
}

func rowOfPage(g cmdlet.FabricGroup, servers []cmdlet.FabricServer) pageGroup {
	row := pageGroup{Name: g.Service, State: "healthy"}
	if g.Service == cmdlet.RoutingService {
		row.Name = fmt.Sprintf("group %d", g.Group)
	}
	live, of := g.Redundancy()
	row.Copies = fmt.Sprintf("%d/%d", live, of)
	switch {
	case !g.Quorum():
		row.State = "lost"
	case live < of:
		row.State = "degraded"
	}
	for _, x := range servers {
		row.Cells = append(row.Cells, cellOf(g, x.FQDN))
	}
	for _, r := range g.Replicas {
		if r.Role == cmdlet.RoleWitness {
			c := cell(r)
			row.Witness = &c
		}
	}
	return row
}

func cellOf(g cmdlet.FabricGroup, name uc.ServerFQDN) pageCell {
	for _, r := range g.Replicas {
		if r.Server == name {
			return cell(r)
		}
	}
	return pageCell{Class: "none", Title: "no copy on " + string(name)}
}

func cell(r cmdlet.FabricReplica) pageCell {
	c := pageCell{Class: strings.ToLower(r.Role), Mark: map[string]string{cmdlet.RolePrimary: "P", cmdlet.RoleSecondary: "S", cmdlet.RoleObserver: "·", cmdlet.RoleWitness: "W"}[r.Role]}
	c.Title = r.Role + " on " + string(r.Server)
	if r.Known {
		c.Title += fmt.Sprintf(", %s behind", count(int(r.Behind), "entry"))
	}
	if !r.Live {
		c.Class += " down"
		c.Title += ", down"
	}
	return c
}
