package soap

import (
	"trivet/fault"
)

// Envelope is a SOAP message, 1.1 or 1.2.
type Envelope struct {
	Header, Body *Element // Header may be nil
	MessageID    string   // of WS-Addressing, empty if absent
	To           string
	Action       string
}

const maxMessageID = 128

// ParseEnvelope reads a SOAP message with its addressing.
func ParseEnvelope(doc []byte) (*Envelope, error) {
	const op = "soap.ParseEnvelope"
	root, err := Parse(doc)
	if err != nil {
		return nil, err
	}
	if root.Local != "Envelope" || root.Space != nsSOAP11 && root.Space != nsSOAP12 {
		return nil, fault.New(fault.Invalid, op, "the document must be a SOAP envelope").About(clip(root.Local))
	}
	e := &Envelope{Header: root.Child(root.Space, "Header"), Body: root.Child(root.Space, "Body")}
	if e.Body == nil {
		return nil, fault.New(fault.Invalid, op, "the envelope must have one body")
	}
	e.MessageID = e.Header.Child(nsWSA, "MessageID").Value()
	e.To = e.Header.Child(nsWSA, "To").Value()
	e.Action = e.Header.Child(nsWSA, "Action").Value()
	if len(e.MessageID) > maxMessageID {
		return nil, fault.Newf(fault.Limit, op, "the MessageID is longer than %d characters", maxMessageID)
	}
	return e, nil
}

const (
	envelopeOpen  = `<s:Envelope xmlns:s="` + nsSOAP11 + `"><s:Body>`
	envelopeClose = `</s:Body></s:Envelope>`
)

// Fault is a SOAP fault with the diagnostics of [MS-OCAUTHWS] 2.2.4.1.
type Fault struct {
	Code   string // "wsse:FailedAuthentication", "wst:InvalidRequest", "s:Client", "s:Server"
	Reason string
	Diag   int // ErrorId, [MS-OCER]; 0 leaves the diagnostics out
}

// Append writes the envelope of the fault.
//
// COMPAT(pidgin-sipe 1.25): it shows Detail/error/internalerror/text, written with
// a capital D, and no other text of a fault.
func (f Fault) Append(b []byte) []byte {
	b = append(b, envelopeOpen...)
	b = append(b, `<s:Fault xmlns:wsse="`+nsWSSE+`" xmlns:wst="`+nsTrust+`" xmlns:wsu="`+nsWSU+`"><faultcode>`...)
	b = appendText(b, f.Code)
	b = append(b, `</faultcode><faultstring xml:lang="en">`...)
	b = appendText(b, f.Reason)
	b = append(b, `</faultstring>`...)
	if f.Diag > 0 {
		b = append(b, `<detail><OCSDiagnosticsFault xmlns="`+nsDiag+`"><Ms-Diagnostics-Fault><ErrorId>`...)
		b = appendInt(b, f.Diag)
		b = append(b, `</ErrorId><Reason>`...)
		b = appendText(b, f.Reason)
		b = append(b, `</Reason></Ms-Diagnostics-Fault></OCSDiagnosticsFault></detail>`...)
	}
	b = append(b, `<Detail xmlns=""><error><internalerror><text>`...)
	b = appendText(b, f.Reason)
	b = append(b, `</text></internalerror></error></Detail></s:Fault>`...)
	return append(b, envelopeClose...)
}

// ParseFault reads what Append writes; ok is false when the body has no fault.
func ParseFault(e *Envelope) (f Fault, ok bool) {
	x := e.Body.Path("Fault")
	if x == nil {
		return f, false
	}
	f.Code, f.Reason = x.Path("faultcode").Value(), x.Path("faultstring").Value()
	for _, c := range x.Path("detail", "OCSDiagnosticsFault", "Ms-Diagnostics-Fault", "ErrorId").Value() {
		if c < '0' || c > '9' || f.Diag > 1e6 {
			return f, true
		}
		f.Diag = f.Diag*10 + int(c-'0')
	}
	return f, true
}
