// Package presdoc reads and writes the documents with which Lync clients publish,
// subscribe and learn: categories and containers of [MS-PRES], contact lists of
// [MS-SIP], provisioning of [MS-SIPREGE], and the small ones that travel with
// instant messages.
//
// Readers take a whole document, at most MaxDocument bytes, and return values with
// everything copied or shared with one string made of it. What a document carries
// for others (the element inside of a category) stays raw, complete in itself.
// Unknown elements and attributes are passed over; a wrong value is a fault.Invalid
// that names the field. Writers append to a slice, so a body can be made once
// and shared by many recipients. Everything is a value; nothing is shared behind
// the caller's back and all functions are safe for concurrent use.
//
// Addresses: documents spell them with or without "sip:". Fields called URI are
// written with it and read as they come; fields called User are without it in
// documents and in our values.
package presdoc

import (
	"strings"
	"time"

	"trivet/fault"
	"trivet/wire/xmlpull"
)

// Limits of documents read.
const (
	MaxDocument     = 256 << 10
	MaxPublications = 128
	MaxResources    = 1024 // of one subscription
	MaxContainers   = 64   // of one change
	MaxMembers      = 1024 // of all containers of a document
	MaxNames        = 64   // categories of a subscription, provisioning groups
	MaxContacts     = 4096
	MaxGroups       = 128
	MaxRows         = 1000 // of a search and its answer
)

// Content types of the documents.
const (
	TypePublish       = "application/msrtc-category-publish+xml"
	TypeSetContainers = "application/msrtc-setcontainermembers+xml"
	TypeSetSubscriber = "application/msrtc-presence-setsubscriber+xml"
	TypeRoamingSelf   = "application/vnd-microsoft-roaming-self+xml"
	TypeCategories    = "application/msrtc-event-categories+xml"
	TypeBatchSub      = "application/msrtc-adrl-categorylist+xml"
	TypeRLMI          = "application/rlmi+xml"
	TypeContacts      = "application/vnd-microsoft-roaming-contacts+xml"
	TypeProvisioning  = "application/vnd-microsoft-roaming-provisioning-v2+xml"
	TypeFault         = "application/msrtc-fault+xml"
	TypeSOAP          = "application/SOAP+xml"
	TypeIsComposing   = "application/im-iscomposing+xml"
)

// Namespaces of the documents.
const (
	nsPublish      = "http://schemas.microsoft.com/2006/09/sip/rich-presence"
	nsRoaming      = "http://schemas.microsoft.com/2006/09/sip/roaming-self"
	nsCategories   = "http://schemas.microsoft.com/2006/09/sip/categories"
	nsContainers   = "http://schemas.microsoft.com/2006/09/sip/container-management"
	nsSubscribers  = "http://schemas.microsoft.com/2006/09/sip/presence-subscribers"
	nsBatch        = "http://schemas.microsoft.com/2006/01/sip/batch-subscribe"
	nsCategoryList = "http://schemas.microsoft.com/2006/09/sip/categorylist"
	nsFault        = "http://schemas.microsoft.com/2006/09/sip/service-fault"
	nsGroupList    = "http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist"
	nsProvision    = "http://schemas.microsoft.com/2006/09/sip/provisiongrouplist-notification"
	nsRLMI         = "urn:ietf:params:xml:ns:rlmi"
	nsComposing    = "urn:ietf:params:xml:ns:im-iscomposing"
	nsEnvelope     = "http://schemas.xmlsoap.org/soap/envelope/"
	nsWinRTC       = "http://schemas.microsoft.com/winrtc/2002/11/sip"
)

// read runs f on the root of a document and names the operation in its mistake.
func read(op string, b []byte, root string, f func(s *xmlpull.Scanner)) error {
	s := xmlpull.New(b, MaxDocument)
	if s.Root(root) {
		f(s)
	}
	return fault.Wrap("presdoc."+op, s.Finish())
}

// withScheme returns a URI with a scheme, "sip:" unless it has one.
func withScheme(uri string) string {
	scheme, _, ok := strings.Cut(uri, ":")
	if ok && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips") || strings.EqualFold(scheme, "tel")) || uri == "" {
		return uri
	}
	return "sip:" + uri
}

// bare returns a URI without "sip:".
func bare(uri string) string {
	uri = strings.TrimSpace(uri)
	if len(uri) > 4 && strings.EqualFold(uri[:4], "sip:") {
		return uri[4:]
	}
	return uri
}

const stamp = "2006-01-02T15:04:05.000"

// appendTime writes a publishTime: UTC without a zone, as Lync servers do.
func appendTime(b []byte, name string, ms int64) []byte {
	if ms <= 0 {
		return b
	}
	b = append(append(append(b, ' '), name...), `="`...)
	return append(time.UnixMilli(ms).UTC().AppendFormat(b, stamp), '"')
}

// readTime reads an xs:dateTime attribute as Unix milliseconds, UTC without a zone.
func readTime(s *xmlpull.Scanner, name string) int64 {
	v := s.Attr(name)
	if v == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		t, err = time.Parse(stamp, v)
	}
	if err != nil || t.Year() < 1970 || t.Year() > 9998 {
		s.Fail(name + " must be a time such as 2026-11-20T21:27:42Z")
		return 0
	}
	return t.UnixMilli()
}

func appendBool(b []byte, name string, v bool) []byte {
	if v {
		return xmlpull.AppendAttr(b, name, "true")
	}
	return xmlpull.AppendAttr(b, name, "false")
}

// full reports, as a mistake, that a list has reached its limit.
func full(s *xmlpull.Scanner, n, limit int, what string) bool {
	if n < limit {
		return false
	}
	s.Fail("the document has too many " + what)
	return true
}
