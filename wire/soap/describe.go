package soap

import "strconv"

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// Proof says how a request to a port is vouched for.
type Proof uint8

const (
	HTTPLogin Proof = iota // by the login of HTTP: the web ticket service itself
	Bearer                 // by a web ticket
	Signed                 // by a web ticket and a signature with its key (SHA-1)
)

// Port is one way into a service, as its description (…/mex) has it.
type Port struct {
	Name     string // "CertProvisioningServiceWebTicketProof_SHA1"
	Location string // URL of the operations
	Proof    Proof
	Issuer   string // URL of the web ticket service; not with HTTPLogin
}

// Description is what GET <service>/mex answers: a WSDL 1.1 document with one
// policy (WS-Policy 1.2, WS-SecurityPolicy 1.1) for each port. The policy's Id is
// the port's name and "_policy".
type Description struct {
	Service   string // "CertProvisioningService"
	Namespace string
	Ports     []Port
}

const policyClose = `</wsp:All></wsp:ExactlyOne></wsp:Policy>`

// Append writes the document.
func (d Description) Append(b []byte) []byte {
	b = append(b, `<?xml version="1.0" encoding="utf-8"?><wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:wsp="`+nsWSP+`" xmlns:wsu="`+nsWSU+`" xmlns:wsa="`+nsWSA+`" xmlns:sp="http://schemas.xmlsoap.org/ws/2005/07/securitypolicy" xmlns:http="http://schemas.microsoft.com/ws/06/2004/policy/http" xmlns:tns="`...)
	b = appendText(b, d.Namespace)
	b = append(b, `" targetNamespace="`...)
	b = appendText(b, d.Namespace)
	b = append(b, `" name="`...)
	b = appendText(b, d.Service)
	b = append(b, `">`...)
	for _, p := range d.Ports {
		b = p.appendPolicy(b)
	}
	b = append(b, `<wsdl:portType name="I`...)
	b = appendText(b, d.Service)
	b = append(b, `"/>`...)
	for _, p := range d.Ports {
		b = p.appendBinding(b, d.Service)
	}
	b = append(b, `<wsdl:service name="`...)
	b = appendText(b, d.Service)
	b = append(b, `">`...)
	for _, p := range d.Ports {
		b = append(b, `<wsdl:port name="`...)
		b = appendText(b, p.Name)
		b = append(b, `" binding="tns:`...)
		b = appendText(b, p.Name)
		b = append(b, `"><soap:address location="`...)
		b = appendText(b, p.Location)
		b = append(b, `"/></wsdl:port>`...)
	}
	return append(b, `</wsdl:service></wsdl:definitions>`...)
}

var tokens = [...]string{Bearer: "SignedSupportingTokens", Signed: "EndorsingSupportingTokens"}

func (p Port) appendPolicy(b []byte) []byte {
	b = append(b, `<wsp:Policy wsu:Id="`...)
	b = appendText(b, p.Name)
	b = append(b, `_policy"><wsp:ExactlyOne><wsp:All>`...)
	if p.Proof == HTTPLogin {
		b = append(b, `<http:NegotiateAuthentication/><http:BasicAuthentication/>`...)
		return append(b, policyClose...)
	}
	b = append(b, `<sp:TransportBinding><wsp:Policy><sp:TransportToken><wsp:Policy><sp:HttpsToken RequireClientCertificate="false"/></wsp:Policy></sp:TransportToken><sp:IncludeTimestamp/></wsp:Policy></sp:TransportBinding><sp:`...)
	b = append(b, tokens[p.Proof]...)
	b = append(b, `><wsp:Policy><sp:IssuedToken><sp:Issuer><wsa:Address>`...)
	b = appendText(b, p.Issuer)
	b = append(b, `</wsa:Address></sp:Issuer></sp:IssuedToken></wsp:Policy></sp:`...)
	b = append(b, tokens[p.Proof]...)
	b = append(b, '>')
	return append(b, policyClose...)
}

func (p Port) appendBinding(b []byte, service string) []byte {
	b = append(b, `<wsdl:binding name="`...)
	b = appendText(b, p.Name)
	b = append(b, `" type="tns:I`...)
	b = appendText(b, service)
	b = append(b, `"><wsp:PolicyReference URI="#`...)
	b = appendText(b, p.Name)
	return append(b, `_policy"/><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/></wsdl:binding>`...)
}

// FindPort reads a description as a client does: where the port called name is,
// and which service issues its tickets. ok is false when the description has no
// such port.
func FindPort(doc []byte, name string) (p Port, ok bool, err error) {
	root, err := Parse(doc)
	if err != nil {
		return p, false, err
	}
	for _, c := range root.Children {
		switch {
		case c.Local == "Policy" && c.Attr("Id") == name+"_policy":
			for proof := Bearer; proof <= Signed; proof++ {
				if a := c.Path("ExactlyOne", "All", tokens[proof], "Policy", "IssuedToken", "Issuer", "Address"); a != nil {
					p.Proof, p.Issuer = proof, a.Value()
				}
			}
		case c.Local == "service":
			for _, port := range c.Children {
				if a := port.Path("address"); port.Local == "port" && port.Attr("name") == name && a != nil {
					p.Name, p.Location = name, a.Attr("location")
				}
			}
		}
	}
	return p, p.Location != "", nil
}
