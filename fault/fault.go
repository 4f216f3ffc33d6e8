// Package fault is the one error type of the project: what was being done, what
// kind of failure it was, whom it concerns and why. Kinds are few, append-only
// and travel between servers; each edge (SIP, HTTP, shell) maps them to its own
// codes by one table.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind classifies a failure by what the caller can do about it.
type Kind uint8

// The kinds. Numbers are part of the wire format between servers: append only.
const (
	Internal        Kind = iota // a defect of ours; the text is logged, not shown
	Invalid                     // the request is malformed or breaks a rule; Text says which field and how to mend it
	Unauthenticated             // no, or wrong, credentials
	Forbidden                   // known, but may not
	NotFound                    // the subject does not exist
	Exists                      // the subject exists already
	Stale                       // the caller's version of the subject is old
	Limit                       // a documented limit is reached
	NotPrimary                  // another server serves the subject; Server names it
	NoQuorum                    // too few replicas to decide
	Unavailable                 // a part we need does not answer; worth retrying
	Timeout                     // no answer in time
	Unsupported                 // a method, event, type or option we do not know
	Overload                    // too busy; RetryAfter says when to come back
	Gone                        // existed once, has ended (a dialog, a transaction)
)

var kindNames = [...]string{
	"internal", "invalid", "unauthenticated", "forbidden", "not found", "exists", "stale", "limit",
	"not primary", "no quorum", "unavailable", "timeout", "unsupported", "overload", "gone",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is a failure. Op is "package.operation"; Subject is whom or what it
// concerns; Text is one sentence fit for the person who asked.
type Error struct {
	Op         string
	Kind       Kind
	Subject    string
	Text       string
	Diag       int           // ms-diagnostics number, 0 if none ([MS-OCER])
	Server     string        // for NotPrimary: who is
	RetryAfter time.Duration // for Overload and Unavailable
	Err        error
}

// New makes an Error without a cause.
func New(kind Kind, op, text string) *Error { return &Error{Op: op, Kind: kind, Text: text} }

// Newf is New with a formatted text.
func Newf(kind Kind, op, format string, args ...any) *Error {
	return &Error{Op: op, Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Wrap gives err an operation. The kind of err is kept; an unknown error is
// Internal. Wrap of nil is nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return &Error{Op: op, Kind: e.Kind, Subject: e.Subject, Text: e.Text, Diag: e.Diag, Server: e.Server, RetryAfter: e.RetryAfter, Err: err}
	}
	return &Error{Op: op, Kind: Internal, Err: err}
}

// About sets the subject and returns e.
func (e *Error) About(subject string) *Error { e.Subject = subject; return e }

// Because sets the cause and returns e.
func (e *Error) Because(err error) *Error { e.Err = err; return e }

// Diagnosed sets the ms-diagnostics number and returns e.
func (e *Error) Diagnosed(id int) *Error { e.Diag = id; return e }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	if e.Subject != "" {
		b.WriteString(e.Subject)
		b.WriteString(": ")
	}
	switch {
	case e.Text != "":
		b.WriteString(e.Text)
	default:
		b.WriteString(e.Kind.String())
	}
	if cause := e.cause(); cause != nil {
		b.WriteString(": ")
		b.WriteString(cause.Error())
	}
	return b.String()
}

// cause is the nearest cause that says something else than e: Wrap repeats the
// text of what it wraps.
func (e *Error) cause() error {
	cause := e.Err
	for cause != nil {
		var inner *Error
		if !errors.As(cause, &inner) || inner.Text != e.Text || inner.Kind != e.Kind {
			return cause
		}
		cause = inner.Err
	}
	return nil
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of err, Internal for errors that are not ours.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is a failure of the kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}
