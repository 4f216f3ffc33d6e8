package addressbook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/soap"
)

// The paths of the web services, in the product's spelling. What is below /int and
// /ext is the same: clients inside and outside are told apart elsewhere.
const (
	expansionPath = "/GroupExpansion"
	filesPath     = "/abs"

	// QueryPath is where the address book is asked and groups are expanded.
	QueryPath = expansionPath + "/service.svc"
	// FilesPath is where address book files and photos are.
	FilesPath = filesPath + "/handler"

	bearer = "/WebTicket_Bearer"
	// bearerPort is the name by which clients look for the service.
	bearerPort = "AddressBookWebTicketBearer"
	// groupPort is that of the expansion of groups.
	groupPort = "DistributionListExpanderWebTicketBearer"
)

// Tickets knows the users of web requests by their web tickets; service/auth does.
type Tickets interface {
	Bearer(r *http.Request, path string) (uc.UserURI, error)
	BearerEnvelope(ctx context.Context, e *soap.Envelope, path string) (uc.UserURI, error)
	Base(r *http.Request) string   // "https://host:port" as the client knows us
	Issuer(r *http.Request) string // URL of the web ticket service
}

// web is the web side of the service.
type web struct {
	*Service
	tickets Tickets
}

// Routes mounts the web services on mux, each in the product's spelling and in
// lower case.
func (s *Service) Routes(mux *http.ServeMux, tickets Tickets) {
	w := web{s, tickets}
	seen := map[string]bool{}
	mount := func(method, path string, serve http.HandlerFunc) {
		for _, p := range []string{path, lower(path)} {
			if pattern := method + " " + p; !seen[pattern] {
				seen[pattern] = true
				mux.HandleFunc(pattern, serve)
			}
		}
	}
	for _, where := range []string{"", "/int", "/ext"} {
		for _, name := range []string{"/service.svc", "/service.asmx"} {
			at := expansionPath + where + name
			mount("GET", at+"/mex", w.describe(at))
			mount("POST", at, w.soap)
			mount("POST", at+bearer, w.soap)
		}
		for _, spelled := range []string{"/abs", "/ABS"} {
			for _, handler := range []string{"/handler", "/Handler"} {
				mount("GET", spelled+where+handler+"/{name}", w.serveName)
			}
		}
	}
}

// lower is a path in lower case, its wildcards as they are.
func lower(path string) string { return strings.ToLower(path) }

// describe serves the description of the service at a path.
func (s web) describe(at string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d := soap.Description{Service: "DistributionListExpander", Namespace: "DistributionListExpander"}
		for _, port := range []string{bearerPort, groupPort} {
			d.Ports = append(d.Ports, soap.Port{Name: port, Location: s.tickets.Base(r) + at + bearer, Proof: soap.Bearer, Issuer: s.tickets.Issuer(r)})
		}
		write(w, http.StatusOK, d.Append(nil))
	}
}

// operations of the service, by the element in the body.
var operations = map[string]func(s web, ctx context.Context, user uc.UserURI, e *soap.Envelope) ([]byte, error){
	"SearchAbEntry": web.searchEntry,
	"QueryDLMember": web.queryMembers,
}

// soap reads a request, finds out whose it is, and answers.
func (s web) soap(w http.ResponseWriter, r *http.Request) {
	const op = "addressbook.soap"
	doc, err := io.ReadAll(http.MaxBytesReader(w, r.Body, soap.MaxDocument))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			s.fail(w, fault.Newf(fault.Limit, op, "the request is larger than %d bytes", soap.MaxDocument))
			return
		}
		s.fail(w, fault.New(fault.Invalid, op, "the request ended before its body did").Because(err))
		return
	}
	body, err := s.answer(r, doc)
	if err != nil {
		s.fail(w, err)
		return
	}
	write(w, http.StatusOK, body)
}

func (s web) answer(r *http.Request, doc []byte) ([]byte, error) {
	const op = "addressbook.answer"
	if r.TLS == nil {
		return nil, fault.New(fault.Forbidden, op, "this service is reached over HTTPS only")
	}
	e, err := soap.ParseEnvelope(doc)
	if err != nil {
		return nil, err
	}
	user, err := s.tickets.BearerEnvelope(r.Context(), e, expansionPath)
	if err != nil {
		return nil, err
	}
	if err := s.brake.check(user, s.cfg.Clock.Now()); err != nil {
		return nil, err
	}
	serve := operations[e.BodyName()]
	if serve == nil {
		return nil, fault.New(fault.Unsupported, op, "the body must have one SearchAbEntry or one QueryDLMember")
	}
	return serve(s, r.Context(), user, e)
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/xml; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body)
}

// outcome is how a kind of failure is told: as a SOAP fault with a status of HTTP
// (SOAP 1.1 6.2 has 500 for most), or without SOAP.
type outcome struct {
	code        string
	soap, plain int
}

var outcomes = map[fault.Kind]outcome{
	fault.Invalid:         {"s:Client", 500, 400},
	fault.Limit:           {"s:Client", 500, 400},
	fault.Unsupported:     {"s:Client", 500, 400},
	fault.NotFound:        {"s:Client", 500, 404},
	fault.Unauthenticated: {"wsse:FailedAuthentication", 500, 401},
	fault.Forbidden:       {"s:Client", 403, 403},
	fault.Overload:        {"s:Server", 503, 503},
	fault.Unavailable:     {"s:Server", 503, 503},
	fault.Timeout:         {"s:Server", 503, 503},
}

// outcomeOf says how to tell err, and writes the headers that go with it. What is
// internal stays in the log.
func (s web) outcomeOf(w http.ResponseWriter, err error) (outcome, *fault.Error) {
	var e *fault.Error
	o, ok := outcomes[fault.KindOf(err)]
	if !errors.As(err, &e) || !ok {
		s.cfg.Log.Error("the address book failed", "err", err)
		o = outcome{"s:Server", 500, 500}
		e = fault.New(fault.Internal, "addressbook.fail", "an error inside the server; its log says more").Diagnosed(soap.DiagInternal)
	} else {
		s.cfg.Log.Log(context.Background(), slog.LevelDebug, "a request to the address book was refused", "err", err)
	}
	if e.Diag > 0 {
		w.Header().Set("X-Ms-Diagnostics", fmt.Sprintf("%d;source=%q;reason=%q;faultcode=%q", e.Diag, s.cfg.Server, e.Text, o.code))
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	return o, e
}

// fail writes a SOAP fault.
func (s web) fail(w http.ResponseWriter, err error) {
	o, e := s.outcomeOf(w, err)
	write(w, o.soap, soap.Fault{Code: o.code, Reason: e.Text, Diag: e.Diag}.Append(nil))
}
