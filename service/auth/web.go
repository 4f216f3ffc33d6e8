package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/wire/soap"
)

// The paths, in the product's spelling.
const (
	TicketPath   = "/WebTicket/WebTicketService.svc"
	ProvPath     = "/CertProv/CertProvisioningService.svc"
	DiscoverPath = "/Autodiscover/AutodiscoverService.svc/root"

	ticketLogin  = TicketPath + "/Auth"
	provProof    = ProvPath + "/WebTicket_Proof_SHA1"
	userDiscover = DiscoverPath + "/user"
)

// Routes mounts the web ticket, certificate provisioning and autodiscover
// services, each in the product's spelling and in lower case, and autodiscover at
// the root, where clients of lyncdiscover.<domain> ask; home answers there for
// everybody else (nil: autodiscover answers all).
func (s *Service) Routes(mux *http.ServeMux, home http.Handler) {
	for _, r := range []struct {
		method, path string
		serve        http.HandlerFunc
	}{
		{"GET", TicketPath + "/mex", s.describeTickets},
		{"POST", TicketPath, s.soap(s.serveTicket)},
		{"POST", ticketLogin, s.soap(s.serveTicket)},
		{"GET", ProvPath + "/mex", s.describeProv},
		{"POST", ProvPath, s.soap(s.serveProv)},
		{"POST", provProof, s.soap(s.serveProv)},
		{"GET", DiscoverPath, s.serveRoot},
		{"GET", userDiscover, s.serveUser},
	} {
		mux.HandleFunc(r.method+" "+r.path, r.serve)
		mux.HandleFunc(r.method+" "+strings.ToLower(r.path), r.serve)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if home != nil && !asksDiscovery(r) {
			home.ServeHTTP(w, r)
			return
		}
		s.serveRoot(w, r)
	})
}

// STSURI is the sts-uri of a TLS-DSK challenge.
func (s *Service) STSURI() string { return "https://" + s.cfg.WebHost + ProvPath }

// TicketURL is where web tickets are issued, for the services that ask for them.
func (s *Service) TicketURL() string { return "https://" + s.cfg.WebHost + TicketPath }

// base is "https://host:port" as the client knows us: the name it asked for when
// that is one of ours, and the port of WebHost.
//
// COMPAT(pidgin-sipe 1.25): its Host header never has the port.
func (s *Service) base(r *http.Request) string {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	_, port, err := net.SplitHostPort(s.cfg.WebHost)
	switch {
	case r.TLS == nil || !s.hosts[strings.ToLower(name)]:
		return "https://" + s.cfg.WebHost
	case err != nil || port == "443":
		return "https://" + name
	}
	return "https://" + net.JoinHostPort(name, port)
}

func source(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// answer is what a SOAP operation returns.
type answer struct {
	body   []byte
	header http.Header // may be nil
	status int         // 0: 200, or by the fault
}

// soap reads the request's body within bounds, runs the operation and writes its
// answer or its fault.
func (s *Service) soap(run func(r *http.Request, body []byte) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		const op = "auth.soap"
		if r.TLS == nil {
			s.fail(w, answer{}, fault.New(fault.Forbidden, op, "this service is reached over HTTPS only"))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, soap.MaxDocument))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			s.fail(w, answer{status: http.StatusRequestEntityTooLarge}, fault.Newf(fault.Limit, op, "the request is larger than %d bytes", soap.MaxDocument))
			return
		case err != nil:
			s.fail(w, answer{status: http.StatusBadRequest}, fault.New(fault.Invalid, op, "the request ended before its body did").Because(err))
			return
		}
		a, err := run(r, body)
		if err != nil {
			s.fail(w, a, err)
			return
		}
		a.write(w, http.StatusOK)
	}
}

func (a answer) write(w http.ResponseWriter, status int) {
	if a.status != 0 {
		status = a.status
	}
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("Content-Type", "text/xml; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(a.body)
}

// faultCodes are the fault codes of WS-Security 1.0 12 and WS-Trust 1.3 11, with
// the status of HTTP, by kind. Others are the server's own fault.
var faultCodes = map[fault.Kind]struct {
	code   string
	status int
}{
	fault.Invalid:         {"wst:InvalidRequest", http.StatusInternalServerError}, // SOAP 1.1 6.2: faults travel with 500
	fault.Limit:           {"wst:InvalidRequest", http.StatusInternalServerError},
	fault.Unsupported:     {"wst:InvalidRequest", http.StatusInternalServerError},
	fault.Unauthenticated: {"wsse:FailedAuthentication", http.StatusInternalServerError},
	fault.Forbidden:       {"wsse:FailedAuthentication", http.StatusForbidden},
	fault.Overload:        {"s:Server", http.StatusServiceUnavailable},
	fault.Unavailable:     {"s:Server", http.StatusServiceUnavailable},
	fault.NoQuorum:        {"s:Server", http.StatusServiceUnavailable},
}

// fail writes a SOAP fault. The text of an internal fault stays in the log.
func (s *Service) fail(w http.ResponseWriter, a answer, err error) {
	var e *fault.Error
	known, ok := faultCodes[fault.KindOf(err)]
	if !errors.As(err, &e) || !ok {
		s.cfg.Log.Error("a web service failed", "err", err)
		known.code, known.status = "s:Server", http.StatusInternalServerError
		e = fault.New(fault.Internal, "auth.fail", "an error inside the server; its log says more").Diagnosed(soap.DiagInternal)
	}
	diag := e.Diag
	if diag == diagDisabled {
		diag = soap.DiagNotEnabled
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	if diag > 0 {
		a.header.Set("X-Ms-Diagnostics", s.diagnostics(diag, e.Text, known.code))
	}
	if e.RetryAfter > 0 {
		a.header.Set("Retry-After", retryAfter(e.RetryAfter))
	}
	a.body = soap.Fault{Code: known.code, Reason: e.Text, Diag: diag}.Append(nil)
	a.write(w, known.status)
}

func retryAfter(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// diagnostics is a value of X-Ms-diagnostics, [MS-OCAUTHWS] 3.2.4.1.
func (s *Service) diagnostics(id int, reason, code string) string {
	return fmt.Sprintf("%d;source=%q;reason=%q;faultcode=%q", id, s.cfg.Server, reason, code)
}

// problems are the statuses of errors that are not in SOAP, RFC 9457.
var problems = map[fault.Kind]int{
	fault.Invalid: http.StatusBadRequest, fault.Limit: http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized, fault.Forbidden: http.StatusForbidden, fault.NotFound: http.StatusNotFound,
	fault.Overload: http.StatusServiceUnavailable, fault.Unavailable: http.StatusServiceUnavailable, fault.NoQuorum: http.StatusServiceUnavailable,
}

// problem writes an error as application/problem+json.
func (s *Service) problem(w http.ResponseWriter, err error) {
	var e *fault.Error
	status, ok := problems[fault.KindOf(err)]
	if !errors.As(err, &e) || !ok {
		s.cfg.Log.Error("a web service failed", "err", err)
		status, e = http.StatusInternalServerError, fault.New(fault.Internal, "auth.problem", "an error inside the server; its log says more")
	}
	diag := e.Diag
	if diag == diagDisabled {
		diag = soap.DiagNotEnabled
	}
	if diag > 0 {
		w.Header().Set("X-Ms-Diagnostics", s.diagnostics(diag, e.Text, "wsse:FailedAuthentication"))
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(e.RetryAfter))
	}
	body, err := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": e.Text})
	if err != nil {
		s.cfg.Log.Error("a problem could not be written", "err", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}
