// Package admin is the management service: it runs the cmdlets of the catalogue
// for those who may, and writes down who did what. There is one way in, an HTTP
// interface, with two doors: the socket in the data folder, whose opener is the
// owner, and HTTPS, where an administrator signs in with a password.
//
//	POST /api/cmdlet/{name}    {"Parameters": {"Identity": "alice"}, "WhatIf": false, "Force": false}
//	200                        {"Rows": […], "Plans": […], "Warnings": […]}
//	otherwise                  a problem document (RFC 9457) with "kind" and "subject"
//
// Requests are served beside each other. The answer to a cmdlet that changed
// something is sent after its audit line is on disk.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/httpd"
)

// Deployment is what cmdlets act on.
type Deployment = cmdlet.Deployment

// SignIn checks an administrator's password with the brakes and the gate that
// hold for every sign-in, and returns the account's roles. Wrong, unknown and
// disabled are all fault.Unauthenticated.
type SignIn func(ctx context.Context, login, password, source string) (name string, roles []string, err error)

// Config of the service.
type Config struct {
	Deployment Deployment
	SignIn     SignIn
	Audit      string // the audit file, "DIR/audit.log"
	Clock      clock.Clock
	Log        *slog.Logger
}

// Server runs cmdlets.
type Server struct {
	cfg   Config
	audit *audit
}

// New makes the service.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, audit: &audit{path: cfg.Audit}}
}

// Local is the door of the data folder's owner. Serve it on the socket only.
func (s *Server) Local() http.Handler {
	return s.handler(func(*http.Request) (cmdlet.Caller, error) {
		return cmdlet.Caller{Name: "owner", Source: "local", Owner: true}, nil
	})
}

// Remote is the door of administrators. Serve it over TLS only.
func (s *Server) Remote() http.Handler { return s.handler(s.administrator) }

// Guard lets only administrators of some role have what h answers, over TLS.
func (s *Server) Guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.administrator(r); err != nil {
			if fault.Is(err, fault.Unauthenticated) {
				w.Header().Set("WWW-Authenticate", `Basic realm="Trivet management", charset="UTF-8"`)
			}
			httpd.Problem(w, err)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Server) handler(who func(*http.Request) (cmdlet.Caller, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/cmdlet/{name}", func(w http.ResponseWriter, r *http.Request) {
		caller, err := who(r)
		if err != nil {
			if fault.Is(err, fault.Unauthenticated) {
				w.Header().Set("WWW-Authenticate", `Basic realm="Trivet management", charset="UTF-8"`)
			}
			httpd.Problem(w, err)
			return
		}
		reply, err := s.serve(r, caller)
		if err != nil {
			if fault.Is(err, fault.Internal) {
				s.cfg.Log.Error("a cmdlet failed", "cmdlet", r.PathValue("name"), "err", err)
			}
			httpd.Problem(w, err)
			return
		}
		httpd.JSON(w, reply)
	})
	return mux
}

// administrator signs the caller in by HTTP Basic (RFC 7617).
func (s *Server) administrator(r *http.Request) (cmdlet.Caller, error) {
	const op = "admin.administrator"
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	login, password, ok := r.BasicAuth()
	if !ok {
		return cmdlet.Caller{}, fault.New(fault.Unauthenticated, op, "Sign in with the name and password of an administrator.")
	}
	name, roles, err := s.cfg.SignIn(r.Context(), login, password, source)
	if err != nil {
		return cmdlet.Caller{}, err
	}
	if len(roles) == 0 {
		return cmdlet.Caller{}, fault.New(fault.Forbidden, op, "This account has no administrative role; Set-CsAdminRoleAssignment gives one.")
	}
	return cmdlet.Caller{Name: name, Source: source, Roles: roles}, nil
}

// Request is the body of a call.
type Request struct {
	Parameters map[string]any
	WhatIf     bool
	Force      bool
}

// Reply is the body of the answer.
type Reply struct {
	Rows     []any
	Plans    []string `json:",omitempty"`
	Warnings []string `json:",omitempty"`
}

// maxRequest bounds the body of a call of a cmdlet that does not say otherwise.
const maxRequest = 1 << 20

// serve runs the cmdlet that r asks for and notes it.
func (s *Server) serve(r *http.Request, caller cmdlet.Caller) (Reply, error) {
	c, err := cmdlet.Lookup(r.PathValue("name"))
	if err != nil {
		return Reply{}, err
	}
	req, err := decode(r, max(c.Largest, maxRequest))
	if err != nil {
		return Reply{}, err
	}
	call := &cmdlet.Call{Deployment: s.cfg.Deployment, Caller: caller, Clock: s.cfg.Clock, WhatIf: req.WhatIf, Force: req.Force}
	err = s.run(r.Context(), c, req, call)
	if noted := s.note(c, req, call, err); noted != nil && err == nil {
		err = noted
	}
	if err != nil {
		return Reply{}, err
	}
	rows := call.Rows
	if rows == nil {
		rows = []any{}
	}
	return Reply{Rows: rows, Plans: call.Plans, Warnings: call.Warnings}, nil
}

// run checks the right, binds the parameters and runs.
func (s *Server) run(ctx context.Context, c cmdlet.Cmdlet, req Request, call *cmdlet.Call) error {
	const op = "admin.run"
	switch {
	case c.Local:
		return fault.Newf(fault.Unsupported, op, "%s looks at a deployment from outside; run it with trivet on a client's computer", c.Name)
	case !allowed(call.Caller, c):
		return fault.Newf(fault.Forbidden, op, "%s needs a role that may run it; ask a CsAdministrator", c.Name).About(c.Name)
	case req.WhatIf && !c.Changes:
		return fault.Newf(fault.Invalid, op, "-WhatIf is no parameter of %s, which changes nothing", c.Name).About("WhatIf")
	}
	runner, err := c.Bind(req.Parameters)
	if err != nil {
		return err
	}
	return runner.Run(ctx, call)
}

// allowed is the access control of all cmdlets.
func allowed(who cmdlet.Caller, c cmdlet.Cmdlet) bool {
	if who.Owner || slices.Contains(who.Roles, "CsAdministrator") {
		return true
	}
	return slices.ContainsFunc(who.Roles, func(r string) bool { return slices.Contains(c.Roles, r) })
}

func decode(r *http.Request, largest int64) (Request, error) {
	const op = "admin.decode"
	// A page of another site cannot send this type without asking first.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return Request{}, fault.New(fault.Invalid, op, "Content-Type needs to be application/json").About("Content-Type")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, largest+1))
	if err != nil {
		return Request{}, fault.New(fault.Invalid, op, "the body did not arrive whole").Because(err)
	}
	if int64(len(body)) > largest {
		return Request{}, fault.Newf(fault.Invalid, op, "the body may have at most %d MiB", largest>>20)
	}
	var req Request
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		return Request{}, fault.Newf(fault.Invalid, op, "the body needs the form {\"Parameters\": {\"Name\": value}, \"WhatIf\": false}: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Request{}, fault.New(fault.Invalid, op, "the body needs to be one JSON object")
	}
	return req, nil
}
