// Package soap is the XML of the web services that Lync clients use to sign in and to find people:
// service descriptions, web tickets, certificate requests ([MS-OCAUTHWS], WS-Trust
// 1.3, WS-Security 1.0, SAML 1.1, XML Signature), autodiscover ([MS-OCDISCWS]), and
// the address book's web query and expansion of groups ([MS-DLX]). Documents become trees that keep the bytes they came from,
// because signatures are over bytes; answers are appended to a buffer.
//
// Reading is bounded (MaxDocument and the limits beside it) and refuses what these
// protocols never need: document types, processing instructions, comments,
// encodings other than UTF-8. Errors are fault.Invalid or fault.Limit.
//
// The package is pure: time, keys and random bytes come from the caller. Values
// may be read from any goroutine.
package soap

import (
	"encoding/base64"
	"time"

	"trivet/fault"
)

// Limits of a document.
const (
	MaxDocument = 64 << 10 // bytes
	maxDepth    = 32       // elements within elements
	maxElements = 512
	maxAttrs    = 24 // of one element
)

// The namespaces.
const (
	nsSOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
	nsSOAP12 = "http://www.w3.org/2003/05/soap-envelope"
	nsWSA    = "http://www.w3.org/2005/08/addressing"
	nsWSP    = "http://schemas.xmlsoap.org/ws/2004/09/policy"
	nsWSSE   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsWSU    = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	nsTrust  = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
	nsSAML   = "urn:oasis:names:tc:SAML:1.0:assertion"
	nsDSig   = "http://www.w3.org/2000/09/xmldsig#"
	nsEnc    = "http://www.w3.org/2001/04/xmlenc#"
	nsAuth   = "http://schemas.microsoft.com/OCS/AuthWebServices/"
	nsDiag   = "urn:component:Microsoft.Rtc.WebAuthentication.2010"
	nsXML    = "http://www.w3.org/XML/1998/namespace"

	tokenSAML = "http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#SAMLV1.1"
	tokenX509 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"

	algExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	algEnveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	algHMACSHA1  = "http://www.w3.org/2000/09/xmldsig#hmac-sha1"
	algHMAC256   = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
	algSHA1      = "http://www.w3.org/2000/09/xmldsig#sha1"
	algSHA256    = "http://www.w3.org/2001/04/xmlenc#sha256"
)

// Actions, as in the SOAPAction header.
const (
	ActionIssue   = "http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue"
	ActionPublish = "http://schemas.microsoft.com/OCS/AuthWebServices/GetAndPublishCert"
)

const stamp = "2006-01-02T15:04:05Z"

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, stamp) }

// parseTime reads an xs:dateTime in UTC, with or without a fraction.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || len(s) > 40 {
		return time.Time{}, fault.New(fault.Invalid, "soap.parseTime", "a time must have the form 2013-01-31T12:00:00Z").About(clip(s))
	}
	return t.UTC(), nil
}

// appendText writes character data or an attribute value in canonical form
// (Exclusive C14N): the characters that end or bend either are written as
// references; what XML cannot carry becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		case r < ' ' && r != '\t' && r != '\n', r == 0xfffe, r == 0xffff:
			b = append(b, "\uFFFD"...)
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}

func appendBase64(b, data []byte) []byte { return base64.StdEncoding.AppendEncode(b, data) }

// decodeBase64 reads base64 with any white space in it, at most limit bytes.
func decodeBase64(what, s string, limit int) ([]byte, error) {
	const op = "soap.decodeBase64"
	if len(s) > 2*limit+64 {
		return nil, fault.Newf(fault.Limit, op, "%s is longer than %d bytes", what, limit)
	}
	clean := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			clean = append(clean, c)
		}
	}
	out, err := base64.StdEncoding.AppendDecode(nil, clean)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "%s is not base64", what)
	}
	if len(out) > limit {
		return nil, fault.Newf(fault.Limit, op, "%s is longer than %d bytes", what, limit)
	}
	return out, nil
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
