package httpd

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"trivet/fault"
)

// problem is a problem document, RFC 9457, with the kind and subject of a fault.
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail,omitempty"`
	Kind    string `json:"kind"`
	Subject string `json:"subject,omitempty"`
}

// statuses maps the kinds of faults to HTTP.
var statuses = map[fault.Kind]int{
	fault.Internal: 500, fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Exists: 409,
	fault.Stale: 412, fault.Limit: 403, fault.NotPrimary: 421, fault.NoQuorum: 503, fault.Unavailable: 503, fault.Timeout: 504,
	fault.Unsupported: 501, fault.Overload: 503, fault.Gone: 410,
}

// Problem answers with err as a problem document. What is internal is not shown.
func Problem(w http.ResponseWriter, err error) {
	var f *fault.Error
	if !errors.As(err, &f) {
		f = &fault.Error{Kind: fault.Internal}
	}
	p := problem{Type: "about:blank", Status: statuses[f.Kind], Detail: f.Text, Kind: f.Kind.String(), Subject: f.Subject}
	if f.Kind == fault.Internal {
		p.Detail, p.Subject = "The server failed; its log says why.", ""
	}
	p.Title = http.StatusText(p.Status)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // the client may be gone; nobody else would read the error
}

// JSON answers 200 with v.
func JSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		Problem(w, fault.Wrap("httpd.JSON", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(b, '\n'))
}
