package soap

import (
	"crypto/hmac"
	"crypto/sha1"
	"time"

	"trivet/fault"
)

// ProofKeySize is the length of a ticket's key in bytes.
const ProofKeySize = 32

// ProofKey makes the key of a ticket from both halves: P_SHA1 of RFC 2246 5 with
// the client's entropy as the secret and the server's as the seed
// ([MS-OCAUTHWS], WS-Trust 1.3 9.1.1).
func ProofKey(client, server []byte) []byte {
	var out []byte
	sum := func(parts ...[]byte) []byte {
		m := hmac.New(sha1.New, client)
		for _, p := range parts {
			m.Write(p)
		}
		return m.Sum(nil)
	}
	for a := sum(server); len(out) < ProofKeySize; a = sum(a) {
		out = append(out, sum(a, server)...)
	}
	return out[:ProofKeySize]
}

// Window is the time a signed request may speak of.
type Window struct {
	Now     time.Time
	Skew    time.Duration // clocks may differ by
	MaxLife time.Duration // from Created to Expires
}

// Security is the wsse:Security header of a request.
type Security struct {
	Assertion *Element // the ticket; OpenAssertion checks it
	timestamp *Element
	signature *Element
}

// ParseSecurity finds the one Security header of an envelope and its parts.
func ParseSecurity(e *Envelope) (Security, error) {
	const op = "soap.ParseSecurity"
	var s Security
	x := e.Header.Child(nsWSSE, "Security")
	if x == nil {
		return s, fault.New(fault.Unauthenticated, op, "the header must have one wsse:Security with a web ticket").Diagnosed(DiagNoToken)
	}
	s.Assertion = x.Child(nsSAML, "Assertion")
	s.timestamp = x.Child(nsWSU, "Timestamp")
	s.signature = x.Child(nsDSig, "Signature")
	if s.Assertion == nil {
		return s, fault.New(fault.Unauthenticated, op, "wsse:Security must have one SAML assertion, the web ticket").Diagnosed(DiagNoToken)
	}
	return s, nil
}

// VerifyProof checks that the request was signed with the ticket's key: HMAC-SHA1
// over the bytes of SignedInfo, which refers to the wsu:Timestamp of the same
// header by its Id and carries the SHA-1 of its bytes; then the window of the
// timestamp. Both elements are taken as received, which is the canonical form in
// which clients send them.
func (s Security) VerifyProof(key []byte, w Window) error {
	const op = "soap.VerifyProof"
	if s.timestamp == nil || s.signature == nil {
		return fault.New(fault.Unauthenticated, op, "wsse:Security must have one Timestamp and one Signature").Diagnosed(DiagNoToken)
	}
	info := s.signature.Child(nsDSig, "SignedInfo")
	if info == nil {
		return fault.New(fault.Invalid, op, "the Signature must have one SignedInfo")
	}
	ref := info.Child(nsDSig, "Reference")
	id := s.timestamp.Attr("Id")
	switch {
	case id == "" || ref == nil || ref.Attr("URI") != "#"+id:
		return fault.New(fault.Invalid, op, "the Signature must have one Reference, to the Timestamp")
	case info.Child(nsDSig, "SignatureMethod").algorithm() != algHMACSHA1:
		return fault.New(fault.Unsupported, op, "the SignatureMethod must be HMAC-SHA1")
	case ref.Child(nsDSig, "DigestMethod").algorithm() != algSHA1:
		return fault.New(fault.Unsupported, op, "the DigestMethod must be SHA-1")
	case info.Child(nsDSig, "CanonicalizationMethod").algorithm() != algExclusive:
		return fault.New(fault.Unsupported, op, "the CanonicalizationMethod must be exclusive C14N")
	}
	given, err := decodeBase64("SignatureValue", s.signature.Child(nsDSig, "SignatureValue").Value(), sha1.Size)
	if err != nil {
		return err
	}
	digest, err := decodeBase64("DigestValue", ref.Child(nsDSig, "DigestValue").Value(), sha1.Size)
	if err != nil {
		return err
	}
	m := hmac.New(sha1.New, key)
	m.Write(info.Raw)
	sum := sha1.Sum(s.timestamp.Raw)
	if !hmac.Equal(given, m.Sum(nil)) || !hmac.Equal(digest, sum[:]) {
		return fault.New(fault.Unauthenticated, op, "the signature of the request does not fit the web ticket").Diagnosed(DiagInvalidTicket)
	}
	return s.checkTime(w)
}

func (e *Element) algorithm() string {
	if e == nil {
		return ""
	}
	return e.Attr("Algorithm")
}

func (s Security) checkTime(w Window) error {
	const op = "soap.checkTime"
	created, err := parseTime(s.timestamp.Child(nsWSU, "Created").Value())
	if err != nil {
		return err
	}
	expires, err := parseTime(s.timestamp.Child(nsWSU, "Expires").Value())
	if err != nil {
		return err
	}
	switch {
	case created.After(w.Now.Add(w.Skew)):
		return fault.New(fault.Unauthenticated, op, "the Timestamp lies in the future; set the clock")
	case !expires.After(w.Now.Add(-w.Skew)):
		return fault.New(fault.Unauthenticated, op, "the Timestamp has expired; get a new web ticket").Diagnosed(DiagExpiredTicket)
	case expires.Sub(created) > w.MaxLife:
		return fault.New(fault.Invalid, op, "the Timestamp spans too long a time")
	}
	return nil
}

// AppendSecurity writes a signed wsse:Security header as a client does: timestamp,
// ticket, signature.
func AppendSecurity(b, assertion []byte, assertionID string, key []byte, created, expires time.Time) []byte {
	ts := []byte(`<wsu:Timestamp xmlns:wsu="` + nsWSU + `" wsu:Id="timestamp"><wsu:Created>`)
	ts = appendTime(ts, created)
	ts = append(ts, `</wsu:Created><wsu:Expires>`...)
	ts = appendTime(ts, expires)
	ts = append(ts, `</wsu:Expires></wsu:Timestamp>`...)
	sum := sha1.Sum(ts)
	info := []byte(`<SignedInfo xmlns="` + nsDSig + `"><CanonicalizationMethod Algorithm="` + algExclusive + `"></CanonicalizationMethod><SignatureMethod Algorithm="` + algHMACSHA1 + `"></SignatureMethod><Reference URI="#timestamp"><Transforms><Transform Algorithm="` + algExclusive + `"></Transform></Transforms><DigestMethod Algorithm="` + algSHA1 + `"></DigestMethod><DigestValue>`)
	info = appendBase64(info, sum[:])
	info = append(info, `</DigestValue></Reference></SignedInfo>`...)
	m := hmac.New(sha1.New, key)
	m.Write(info)
	b = append(b, `<wsse:Security xmlns:wsse="`+nsWSSE+`">`...)
	b = append(b, ts...)
	b = append(b, assertion...)
	b = append(b, `<Signature xmlns="`+nsDSig+`">`...)
	b = append(b, info...)
	b = append(b, `<SignatureValue>`...)
	b = appendBase64(b, m.Sum(nil))
	b = append(b, `</SignatureValue><KeyInfo><wsse:SecurityTokenReference><wsse:KeyIdentifier ValueType="http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.0#SAMLAssertionID">`...)
	b = appendText(b, assertionID)
	return append(b, `</wsse:KeyIdentifier></wsse:SecurityTokenReference></KeyInfo></Signature></wsse:Security>`...)
}
