package soap

import (
	"strings"
	"time"

	"trivet/fault"
)

// TicketRequest is the RequestSecurityToken of WS-Trust 1.3 3.1 as clients send
// it for a web ticket ([MS-OCAUTHWS] 3.2.4.1).
type TicketRequest struct {
	Context   string // echoed in the answer
	AppliesTo string // URL of the service the ticket is for
	Claim     string // "sip:alice@contoso.test", empty if absent
	Entropy   []byte // the client's half of the key; nil for a ticket without key
}

const (
	minEntropy = 16
	maxEntropy = 64
	maxURL     = 2048
)

// ParseTicketRequest reads the body of an envelope.
func ParseTicketRequest(e *Envelope) (TicketRequest, error) {
	const op = "soap.ParseTicketRequest"
	var r TicketRequest
	x := e.Body.Path("RequestSecurityToken")
	if x == nil {
		return r, fault.New(fault.Invalid, op, "the body must have one RequestSecurityToken")
	}
	if kind := x.Path("RequestType").Value(); !strings.HasSuffix(kind, "/Issue") {
		return r, fault.New(fault.Unsupported, op, "the RequestType must be Issue").About(clip(kind))
	}
	if t := x.Path("TokenType"); t != nil && t.Value() != tokenSAML {
		return r, fault.New(fault.Unsupported, op, "the TokenType must be SAML 1.1").About(clip(t.Value()))
	}
	r.Context = x.Attr("Context")
	r.AppliesTo = x.Path("AppliesTo", "EndpointReference", "Address").Value()
	if r.AppliesTo == "" || len(r.AppliesTo) > maxURL || len(r.Context) > maxMessageID {
		return r, fault.New(fault.Invalid, op, "AppliesTo must have the address of one service, Context at most 128 characters")
	}
	if claims := x.Path("Claims"); claims != nil {
		r.Claim = claims.Path("ClaimType", "Value").Value()
	}
	if s := x.Path("Entropy", "BinarySecret"); s != nil {
		var err error
		if r.Entropy, err = decodeBase64("Entropy", s.Value(), maxEntropy); err != nil {
			return r, err
		}
		if len(r.Entropy) < minEntropy {
			return r, fault.Newf(fault.Invalid, op, "Entropy must have at least %d bytes", minEntropy)
		}
	}
	return r, nil
}

// TicketResponse is the RequestSecurityTokenResponse.
type TicketResponse struct {
	Context   string
	Assertion []byte // as Assertion.Append wrote it
	Entropy   []byte // the server's half of the key; nil for a ticket without key
	AppliesTo string
	Created   time.Time
	Expires   time.Time
}

// Append writes the envelope. The content of Lifetime is copied by clients into
// the Timestamp they sign, so it uses the prefix wsu and nothing else.
func (r TicketResponse) Append(b []byte) []byte {
	b = append(b, envelopeOpen...)
	b = append(b, `<wst:RequestSecurityTokenResponseCollection xmlns:wst="`+nsTrust+`" xmlns:wsu="`+nsWSU+`"><wst:RequestSecurityTokenResponse Context="`...)
	b = appendText(b, r.Context)
	b = append(b, `"><wst:TokenType>`+tokenSAML+`</wst:TokenType><wst:RequestedSecurityToken>`...)
	b = append(b, r.Assertion...)
	b = append(b, `</wst:RequestedSecurityToken><wsp:AppliesTo xmlns:wsp="`+nsWSP+`"><wsa:EndpointReference xmlns:wsa="`+nsWSA+`"><wsa:Address>`...)
	b = appendText(b, r.AppliesTo)
	b = append(b, `</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>`...)
	if r.Entropy != nil {
		b = append(b, `<wst:RequestedProofToken><wst:ComputedKey>`+nsTrust+`/CK/PSHA1</wst:ComputedKey></wst:RequestedProofToken><wst:Entropy><wst:BinarySecret>`...)
		b = appendBase64(b, r.Entropy)
		b = append(b, `</wst:BinarySecret></wst:Entropy>`...)
	}
	b = append(b, `<wst:Lifetime><wsu:Created>`...)
	b = appendTime(b, r.Created)
	b = append(b, `</wsu:Created><wsu:Expires>`...)
	b = appendTime(b, r.Expires)
	b = append(b, `</wsu:Expires></wst:Lifetime></wst:RequestSecurityTokenResponse></wst:RequestSecurityTokenResponseCollection>`...)
	return append(b, envelopeClose...)
}

// ParseTicketResponse reads the answer as a client does.
func ParseTicketResponse(doc []byte) (TicketResponse, error) {
	const op = "soap.ParseTicketResponse"
	var r TicketResponse
	e, err := ParseEnvelope(doc)
	if err != nil {
		return r, err
	}
	if f, ok := ParseFault(e); ok {
		return r, fault.New(fault.Unauthenticated, op, f.Reason).Diagnosed(f.Diag)
	}
	x := e.Body.Path("RequestSecurityTokenResponseCollection", "RequestSecurityTokenResponse")
	a := x.Path("RequestedSecurityToken").Child(nsSAML, "Assertion")
	if a == nil {
		return r, fault.New(fault.Invalid, op, "the answer has no assertion")
	}
	r.Assertion, r.Context = a.Raw, x.Attr("Context")
	r.AppliesTo = x.Path("AppliesTo", "EndpointReference", "Address").Value()
	if s := x.Path("Entropy", "BinarySecret"); s != nil {
		if r.Entropy, err = decodeBase64("Entropy", s.Value(), maxEntropy); err != nil {
			return r, err
		}
	}
	if r.Created, err = parseTime(x.Path("Lifetime", "Created").Value()); err != nil {
		return r, err
	}
	r.Expires, err = parseTime(x.Path("Lifetime", "Expires").Value())
	return r, err
}
