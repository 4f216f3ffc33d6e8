package soap

import (
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"trivet/fault"
)

// Assertion is a web ticket: SAML 1.1 with the statements this deployment makes
// and no others. It is signed by HMAC-SHA256 with a key of the pool, so any
// server of the pool can check it and none needs to remember it.
type Assertion struct {
	ID        string // unique; a letter or _ first
	Issuer    string // who issued it, "fe1.contoso.test"
	User      string // "alice@contoso.test"
	Audience  string // URL of the service it is for
	NotBefore time.Time
	NotAfter  time.Time
	SealedKey []byte // the proof key, readable by the pool only; nil in a bearer ticket
}

const (
	maxID     = 64
	maxSealed = 256
)

var confirmations = map[bool]string{true: "urn:oasis:names:tc:SAML:1.0:cm:holder-of-key", false: "urn:oasis:names:tc:SAML:1.0:cm:bearer"}

// open writes the assertion in canonical form up to where the signature goes.
func (a Assertion) open(b []byte) []byte {
	b = append(b, `<saml:Assertion xmlns:saml="`+nsSAML+`" AssertionID="`...)
	b = appendText(b, a.ID)
	b = append(b, `" IssueInstant="`...)
	b = appendTime(b, a.NotBefore)
	b = append(b, `" Issuer="`...)
	b = appendText(b, a.Issuer)
	b = append(b, `" MajorVersion="1" MinorVersion="1"><saml:Conditions NotBefore="`...)
	b = appendTime(b, a.NotBefore)
	b = append(b, `" NotOnOrAfter="`...)
	b = appendTime(b, a.NotAfter)
	b = append(b, `"><saml:AudienceRestrictionCondition><saml:Audience>`...)
	b = appendText(b, a.Audience)
	b = append(b, `</saml:Audience></saml:AudienceRestrictionCondition></saml:Conditions><saml:AuthenticationStatement AuthenticationInstant="`...)
	b = appendTime(b, a.NotBefore)
	b = append(b, `" AuthenticationMethod="urn:oasis:names:tc:SAML:1.0:am:password"><saml:Subject><saml:NameIdentifier Format="http://schemas.xmlsoap.org/ws/2005/05/identity/claims/uri">`...)
	b = appendText(b, a.User)
	b = append(b, `</saml:NameIdentifier><saml:SubjectConfirmation><saml:ConfirmationMethod>`...)
	b = append(b, confirmations[a.SealedKey != nil]...)
	b = append(b, `</saml:ConfirmationMethod>`...)
	if a.SealedKey != nil {
		b = append(b, `<ds:KeyInfo xmlns:ds="`+nsDSig+`"><e:EncryptedKey xmlns:e="`+nsEnc+`"><e:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"></e:EncryptionMethod><e:CipherData><e:CipherValue>`...)
		b = appendBase64(b, a.SealedKey)
		b = append(b, `</e:CipherValue></e:CipherData></e:EncryptedKey></ds:KeyInfo>`...)
	}
	return append(b, `</saml:SubjectConfirmation></saml:Subject></saml:AuthenticationStatement>`...)
}

const assertionClose = `</saml:Assertion>`

// signedInfo is the canonical SignedInfo over the assertion.
func (a Assertion) signedInfo(b []byte) []byte {
	digest := sha256.Sum256(append(a.open(nil), assertionClose...))
	b = append(b, `<ds:SignedInfo xmlns:ds="`+nsDSig+`"><ds:CanonicalizationMethod Algorithm="`+algExclusive+`"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="`+algHMAC256+`"></ds:SignatureMethod><ds:Reference URI="#`...)
	b = appendText(b, a.ID)
	b = append(b, `"><ds:Transforms><ds:Transform Algorithm="`+algEnveloped+`"></ds:Transform><ds:Transform Algorithm="`+algExclusive+`"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="`+algSHA256+`"></ds:DigestMethod><ds:DigestValue>`...)
	b = appendBase64(b, digest[:])
	return append(b, `</ds:DigestValue></ds:Reference></ds:SignedInfo>`...)
}

func (a Assertion) mac(key []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(a.signedInfo(nil))
	return m.Sum(nil)
}

// Append writes the assertion signed with key. It declares its own namespaces,
// because clients copy it as text into other documents.
func (a Assertion) Append(b, key []byte) []byte {
	b = a.open(b)
	b = append(b, `<ds:Signature xmlns:ds="`+nsDSig+`">`...)
	b = a.signedInfo(b)
	b = append(b, `<ds:SignatureValue>`...)
	b = appendBase64(b, a.mac(key))
	return append(b, `</ds:SignatureValue></ds:Signature>`+assertionClose...)
}

// OpenAssertion reads an assertion and checks its signature. The check writes the
// statements that were read in canonical form anew and compares the signature of
// that: spacing, prefixes and additions of whoever carried the ticket do not
// matter, and nothing that was not signed can be read out of it. Times and
// audience are the caller's to judge.
//
// fault.Invalid: not an assertion of ours; fault.Unauthenticated: not signed by key.
func OpenAssertion(x *Element, key []byte) (Assertion, error) {
	const op = "soap.OpenAssertion"
	a, err := readAssertion(x)
	if err != nil {
		return Assertion{}, err
	}
	given, err := decodeBase64("SignatureValue", x.Child(nsDSig, "Signature").Child(nsDSig, "SignatureValue").Value(), 64)
	if err != nil {
		return Assertion{}, err
	}
	if !hmac.Equal(given, a.mac(key)) {
		return Assertion{}, fault.New(fault.Unauthenticated, op, "the web ticket was not issued by this pool, or was changed").Diagnosed(DiagInvalidTicket)
	}
	return a, nil
}

func readAssertion(x *Element) (Assertion, error) {
	const op = "soap.readAssertion"
	var a Assertion
	if x == nil || x.Local != "Assertion" || x.Space != nsSAML {
		return a, fault.New(fault.Invalid, op, "the web ticket must be one SAML 1.1 assertion").Diagnosed(DiagNoToken)
	}
	conditions := x.Child(nsSAML, "Conditions")
	subject := x.Child(nsSAML, "AuthenticationStatement").Child(nsSAML, "Subject")
	a.ID, a.Issuer = x.Attr("AssertionID"), x.Attr("Issuer")
	a.Audience = conditions.Child(nsSAML, "AudienceRestrictionCondition").Child(nsSAML, "Audience").Value()
	a.User = subject.Child(nsSAML, "NameIdentifier").Value()
	if a.ID == "" || len(a.ID) > maxID || a.User == "" || len(a.User) > maxURL || len(a.Audience) > maxURL || conditions == nil {
		return a, fault.New(fault.Invalid, op, "the web ticket lacks its id, conditions or subject").Diagnosed(DiagInvalidTicket)
	}
	var err error
	if a.NotBefore, err = parseTime(conditions.Attr("NotBefore")); err != nil {
		return a, err
	}
	if a.NotAfter, err = parseTime(conditions.Attr("NotOnOrAfter")); err != nil {
		return a, err
	}
	sealed := subject.Child(nsSAML, "SubjectConfirmation").Child(nsDSig, "KeyInfo").Child(nsEnc, "EncryptedKey").Child(nsEnc, "CipherData").Child(nsEnc, "CipherValue")
	if sealed != nil {
		a.SealedKey, err = decodeBase64("CipherValue", sealed.Value(), maxSealed)
	}
	return a, err
}
