package soap

import (
	"trivet/fault"
)

// PublishRequest is GetAndPublishCert ([MS-OCAUTHWS] 3.3): a device asks for a
// certificate for a key of its own.
type PublishRequest struct {
	DeviceID  string // "{0e324752-…}"
	Entity    string // "alice@contoso.test"
	PKCS10    []byte
	RequestID string // echoed
}

const (
	maxPKCS10   = 16 << 10
	maxDeviceID = 128
)

// ParsePublishRequest reads the body of an envelope.
func ParsePublishRequest(e *Envelope) (PublishRequest, error) {
	const op = "soap.ParsePublishRequest"
	var r PublishRequest
	x := e.Body.Child(nsAuth, "GetAndPublishCert")
	if x == nil {
		return r, fault.New(fault.Unsupported, op, "the body must have one GetAndPublishCert")
	}
	r.DeviceID, r.Entity = x.Attr("DeviceId"), x.Attr("Entity")
	if r.DeviceID == "" || len(r.DeviceID) > maxDeviceID {
		return r, fault.Newf(fault.Invalid, op, "DeviceId must be there, with at most %d characters", maxDeviceID)
	}
	if r.Entity == "" || len(r.Entity) > maxURL {
		return r, fault.New(fault.Invalid, op, "Entity must be the sign-in address")
	}
	rst := x.Path("RequestSecurityToken")
	token := rst.Child(nsWSSE, "BinarySecurityToken")
	if token == nil {
		return r, fault.New(fault.Invalid, op, "RequestSecurityToken must have one BinarySecurityToken with a PKCS#10 request")
	}
	r.RequestID = clipTo(rst.Path("RequestID").Value(), maxMessageID)
	var err error
	r.PKCS10, err = decodeBase64("BinarySecurityToken", token.Value(), maxPKCS10)
	return r, err
}

func clipTo(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Append writes the body of the request, as a client does.
func (r PublishRequest) Append(b []byte) []byte {
	b = append(b, `<GetAndPublishCert xmlns="`+nsAuth+`" xmlns:wst="`+nsTrust+`/" xmlns:wsse="`+nsWSSE+`" DeviceId="`...)
	b = appendText(b, r.DeviceID)
	b = append(b, `" Entity="`...)
	b = appendText(b, r.Entity)
	b = append(b, `"><wst:RequestSecurityToken><wst:TokenType>`+tokenX509+`</wst:TokenType><wst:RequestType>`+nsTrust+`/Issue</wst:RequestType><wsse:BinarySecurityToken ValueType="http://schemas.microsoft.com/OCS/AuthWebServices.xsd#PKCS10" EncodingType="`+nsWSSE+`#Base64Binary">`...)
	b = appendBase64(b, r.PKCS10)
	b = append(b, `</wsse:BinarySecurityToken><wstep:RequestID xmlns:wstep="http://schemas.microsoft.com/windows/pki/2009/01/enrollment">`...)
	b = appendText(b, r.RequestID)
	return append(b, `</wstep:RequestID></wst:RequestSecurityToken></GetAndPublishCert>`...)
}

// PublishResponse is the answer: the certificate.
type PublishResponse struct {
	DeviceID    string
	Entity      string
	Certificate []byte // DER
	RequestID   string
}

// Append writes the envelope.
func (r PublishResponse) Append(b []byte) []byte {
	b = append(b, envelopeOpen...)
	b = append(b, `<GetAndPublishCertResponse xmlns="`+nsAuth+`" DeviceId="`...)
	b = appendText(b, r.DeviceID)
	b = append(b, `" Entity="`...)
	b = appendText(b, r.Entity)
	b = append(b, `"><RequestSecurityTokenResponse xmlns="`+nsTrust+`"><TokenType>`+tokenX509+`</TokenType><RequestedSecurityToken><BinarySecurityToken xmlns="`+nsWSSE+`" ValueType="`+tokenX509+`" EncodingType="`+nsWSSE+`#Base64Binary">`...)
	b = appendBase64(b, r.Certificate)
	b = append(b, `</BinarySecurityToken></RequestedSecurityToken><RequestID xmlns="http://schemas.microsoft.com/windows/pki/2009/01/enrollment">`...)
	b = appendText(b, r.RequestID)
	b = append(b, `</RequestID></RequestSecurityTokenResponse></GetAndPublishCertResponse>`...)
	return append(b, envelopeClose...)
}

// ParsePublishResponse reads the answer as a client does.
func ParsePublishResponse(doc []byte) (PublishResponse, error) {
	const op = "soap.ParsePublishResponse"
	var r PublishResponse
	e, err := ParseEnvelope(doc)
	if err != nil {
		return r, err
	}
	if f, ok := ParseFault(e); ok {
		return r, fault.New(fault.Unauthenticated, op, f.Reason).Diagnosed(f.Diag)
	}
	x := e.Body.Path("GetAndPublishCertResponse")
	token := x.Path("RequestSecurityTokenResponse", "RequestedSecurityToken", "BinarySecurityToken")
	if token == nil {
		return r, fault.New(fault.Invalid, op, "the answer has no certificate")
	}
	r.DeviceID, r.Entity = x.Attr("DeviceId"), x.Attr("Entity")
	r.RequestID = x.Path("RequestSecurityTokenResponse", "RequestID").Value()
	r.Certificate, err = decodeBase64("BinarySecurityToken", token.Value(), maxPKCS10)
	return r, err
}

// Headers are the WS-Addressing headers of a request as a client writes them.
type Headers struct {
	To, Action, MessageID string
	Security              []byte // as AppendSecurity wrote it; may be empty
}

// AppendRequest writes a client's envelope around a body.
func AppendRequest(b []byte, h Headers, body []byte) []byte {
	b = append(b, `<?xml version="1.0"?><s:Envelope xmlns:s="`+nsSOAP11+`"><s:Header xmlns:wsa="`+nsWSA+`"><wsa:To>`...)
	b = appendText(b, h.To)
	b = append(b, `</wsa:To><wsa:MessageID>`...)
	b = appendText(b, h.MessageID)
	b = append(b, `</wsa:MessageID><wsa:Action>`...)
	b = appendText(b, h.Action)
	b = append(b, `</wsa:Action>`...)
	b = append(b, h.Security...)
	b = append(b, `</s:Header><s:Body>`...)
	b = append(b, body...)
	return append(b, envelopeClose...)
}

// Append writes the body of the request, as a client does.
func (r TicketRequest) Append(b []byte) []byte {
	b = append(b, `<wst:RequestSecurityToken xmlns:wst="`+nsTrust+`" xmlns:wsp="`+nsWSP+`" xmlns:wsa="`+nsWSA+`" Context="`...)
	b = appendText(b, r.Context)
	b = append(b, `"><wst:TokenType>`+tokenSAML+`</wst:TokenType><wst:RequestType>`+nsTrust+`/Issue</wst:RequestType><wsp:AppliesTo><wsa:EndpointReference><wsa:Address>`...)
	b = appendText(b, r.AppliesTo)
	b = append(b, `</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>`...)
	if r.Claim != "" {
		b = append(b, `<wst:Claims Dialect="`+nsDiag+`:authclaims"><auth:ClaimType xmlns:auth="http://schemas.xmlsoap.org/ws/2006/12/authorization" Uri="http://schemas.xmlsoap.org/ws/2005/05/identity/claims/uri" Optional="false"><auth:Value>`...)
		b = appendText(b, r.Claim)
		b = append(b, `</auth:Value></auth:ClaimType></wst:Claims>`...)
	}
	if r.Entropy != nil {
		b = append(b, `<wst:Entropy><wst:BinarySecret>`...)
		b = appendBase64(b, r.Entropy)
		b = append(b, `</wst:BinarySecret></wst:Entropy><wst:KeyType>`+nsTrust+`/SymmetricKey</wst:KeyType>`...)
	}
	return append(b, `</wst:RequestSecurityToken>`...)
}
