package sip

import "strconv"

// NewRequest starts a request; the caller adds the headers.
func NewRequest(method, uri string) *Message {
	return &Message{Method: method, RequestURI: uri, Headers: make([]Header, 0, 16)}
}

// copied are the headers that a response takes from its request, RFC 3261 8.2.6.2;
// Record-Route follows 12.1.1, Timestamp 8.2.6.1.
var copied = [...]string{"Via", "From", "To", "Call-ID", "CSeq", "Record-Route"}

// NewResponse answers req. An empty reason becomes the customary one. The To tag
// is the transaction layer's to add.
func NewResponse(req *Message, status int, reason string) *Message {
	if reason == "" {
		reason = Reason(status)
	}
	m := &Message{Status: status, Reason: reason, Headers: make([]Header, 0, 16)}
	for i := range req.Headers {
		h := &req.Headers[i]
		if h.id == notLooked {
			h.id = lookupID(h.Name)
		}
		if echoed[h.id] && (h.id != recordRouteID || status < 300) {
			m.Headers = append(m.Headers, *h)
		}
	}
	return m
}

var (
	recordRouteID = lookupID("Record-Route")
	echoed        = func() (t [256]bool) {
		for _, name := range copied {
			t[lookupID(name)] = true
		}
		return t
	}()
)

// Append serialises m: start line, headers in order, Content-Length last (any
// that m carries is replaced), empty line, body.
func (m *Message) Append(b []byte) []byte {
	b = m.appendStart(b)
	for i := range m.Headers {
		h := &m.Headers[i]
		if h.id == contentLengthID || h.id == notLooked && lookupID(h.Name) == contentLengthID {
			continue
		}
		b = append(append(append(append(b, h.Name...), ": "...), h.Value...), "\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(m.Body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, m.Body...)
}

var contentLengthID = lookupID("Content-Length")

func (m *Message) appendStart(b []byte) []byte {
	if m.IsRequest() {
		b = append(append(b, m.Method...), ' ')
		b = append(append(b, m.RequestURI...), ' ')
		return append(b, Version+"\r\n"...)
	}
	b = append(b, Version+" "...)
	b = strconv.AppendInt(b, int64(m.Status), 10)
	b = append(append(b, ' '), m.Reason...)
	return append(b, "\r\n"...)
}

func (m *Message) String() string { return string(m.Append(nil)) }

// reasons are the customary phrases, RFC 3261 21 and the extensions in use.
var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
	200: "OK", 202: "Accepted", 204: "No Notification",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout",
	409: "Conflict", 410: "Gone", 412: "Conditional Request Failed", 413: "Request Entity Too Large",
	414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
	421: "Extension Required", 423: "Interval Too Brief", 430: "Flow Failed", 439: "First Hop Lacks Outbound Support",
	440: "Max-Breadth Exceeded", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
	482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here",
	487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 493: "Undecipherable",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 580: "Precondition Failure",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 605: "Decline", 606: "Not Acceptable",
}

// Reason returns the customary phrase of a status code.
func Reason(status int) string {
	if s, ok := reasons[status]; ok {
		return s
	}
	return "Unknown"
}
