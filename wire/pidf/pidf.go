// Package pidf turns presence documents of standard SIP clients into the numbers
// and words of Lync presence and back: PIDF (RFC 3863) with the activities and
// idleness of RPID (RFC 4480) in the data model of RFC 4479. The older XPIDF and
// the activities of RPID drafts are understood too. Functions are pure and safe
// for concurrent use.
//
// RPID knows no "do not disturb" and no "be right back". They are written as
// busy or away, which every client shows, with an <other> beside that brings them
// back when the document returns to us.
package pidf

import (
	"strings"
	"time"

	"trivet/fault"
	"trivet/wire/xmlpull"
)

// Content types of the documents.
const (
	Type      = "application/pidf+xml"
	TypeXPIDF = "application/xpidf+xml"
)

// Limits of documents read.
const (
	MaxDocument = 64 << 10
	MaxTuples   = 32
	MaxNote     = 2048 // bytes
)

// Presence is one person's state. Times are Unix milliseconds, 0 for none.
type Presence struct {
	Entity       string // the address, with or without a scheme
	Availability int    // as of [MS-PRES]: 3500 available … 18500 offline
	Token        string // activity such as "on-the-phone", "" for none
	Note         string
	LastActive   int64  // of somebody idle
	Time         int64  // when it became so
	Contact      string // where the person is reached, "" for none
}

// Classes of availability.
const (
	available    = 3500
	inactive     = 5000
	busy         = 6500
	busyInactive = 7500
	offline      = 18500

	fromAvailable    = 3000
	fromInactive     = 4500
	fromBusy         = 6000
	fromBusyInactive = 7500
	fromDoNotDisturb = 9000
	fromBeRightBack  = 12000
	fromAway         = 15000
	fromOffline      = 18000
)

// Parse reads a PIDF or XPIDF document. Errors are fault.Invalid.
func Parse(b []byte) (Presence, error) {
	r := reader{s: xmlpull.New(withoutDocType(b), MaxDocument)}
	if r.s.Root("presence") {
		r.presence()
	}
	if err := r.s.Finish(); err != nil {
		return Presence{}, fault.Wrap("pidf.Parse", err)
	}
	return r.result(), nil
}

// withoutDocType blanks the document type that XPIDF has, as long as it declares
// nothing.
func withoutDocType(b []byte) []byte {
	if len(b) > MaxDocument {
		return b
	}
	before, after, found := strings.Cut(string(b), "<!DOCTYPE")
	name, rest, closed := strings.Cut(after, ">")
	if !found || !closed || strings.ContainsAny(name, "[<") || strings.Contains(before, "<presence") {
		return b
	}
	return []byte(before + rest)
}

const stamp = "2006-01-02T15:04:05Z"

func readTime(s *xmlpull.Scanner, v, field string) int64 {
	if v = strings.TrimSpace(v); v == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.Year() < 1970 || t.Year() > 9998 {
		s.Fail(field + " must be a time such as 2026-11-20T21:27:42Z")
		return 0
	}
	return t.UnixMilli()
}
