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

// poolView is what the page shows.
type poolView struct {
	cmdlet.FabricState
	Server  uc.ServerFQDN // that answers
	At      string
	Summary []string
	Alarm   bool
	Rows    []pageGroup
	BackEnd string
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
	v := poolView{FabricState: state, Server: s.fqdn, At: s.clock.Now().UTC().Format("2006-01-02 15:04:05 UTC")}
	lost, degraded := 0, 0
	for _, g := range state.Groups {
		row := rowOfPage(g, state.Servers)
		switch row.State {
		case "lost":
			lost++
		case "degraded":
			degraded++
		}
		v.Rows = append(v.Rows, row)
	}
	say := func(format string, a ...any) { v.Summary = append(v.Summary, fmt.Sprintf(format, a...)) }
	say("%d of %d votes of the pool are present, %d are needed", state.Present, state.Votes, state.Needed)
	if state.Witness != "" {
		say("the witness in the Back End is %s", strings.ToLower(state.Witness))
	}
	if lost > 0 {
		say("%s without a primary: their users are not served", count(lost, "group"))
	}
	if degraded > 0 {
		say("%s with a copy missing", count(degraded, "group"))
	}
	if lost+degraded == 0 {
		say("every group has all of its copies")
	}
	v.Alarm = lost+degraded > 0
	if s.copies != nil {
		v.BackEnd = "The copy of the users' data in the Back End is up to date."
		if since, away := s.copies.Unavailable(); away {
			v.BackEnd, v.Alarm = "The Back End has not been reached since "+since.UTC().Format("15:04:05 UTC")+".", true
		} else if oldest := s.oldestCopy(); oldest > time.Minute {
			v.BackEnd = "The oldest copy of a routing group in the Back End is " + oldest.Round(time.Second).String() + " old."
		}
	}
	return v
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
