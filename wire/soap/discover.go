package soap

import (
	"strings"

	"trivet/fault"
)

// DiscoverType is the content type of autodiscover documents, [MS-OCDISCWS] 2.2.
const DiscoverType = "application/vnd.microsoft.rtc.autodiscover+xml; v=1"

// Link leads a client on: "User", "Redirect", "OAuth" …
type Link struct{ Token, Href string }

// Access is a SIP entrance.
type Access struct {
	FQDN string
	Port int
}

// Discovery is an autodiscover document: of the root (links only), or of a user.
type Discovery struct {
	Internal bool   // where the client is: Internal or External
	User     bool   // of a user; else of the root
	Links    []Link // of the root or the user
	Inside   Access // SipServerInternalAccess and SipClientInternalAccess
	Outside  Access // the same for External; left out without an FQDN
}

var places = map[bool]string{true: "Internal", false: "External"}

// Append writes the document.
func (d Discovery) Append(b []byte) []byte {
	b = append(b, `<?xml version="1.0" encoding="utf-8"?><AutodiscoverResponse xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema" AccessLocation="`...)
	b = append(b, places[d.Internal]...)
	b = append(b, `">`...)
	kind := "Root"
	if d.User {
		kind = "User"
	}
	b = append(b, '<')
	b = append(b, kind...)
	b = append(b, '>')
	b = d.Inside.append(b, "Internal")
	b = d.Outside.append(b, "External")
	for _, l := range d.Links {
		b = append(b, `<Link token="`...)
		b = appendText(b, l.Token)
		b = append(b, `" href="`...)
		b = appendText(b, l.Href)
		b = append(b, `"/>`...)
	}
	b = append(b, "</"...)
	b = append(b, kind...)
	return append(b, `></AutodiscoverResponse>`...)
}

func (a Access) append(b []byte, place string) []byte {
	if a.FQDN == "" {
		return b
	}
	for _, who := range [...]string{"SipServer", "SipClient"} {
		b = append(b, '<')
		b = append(b, who...)
		b = append(b, place...)
		b = append(b, `Access fqdn="`...)
		b = appendText(b, a.FQDN)
		b = append(b, `" port="`...)
		b = appendInt(b, a.Port)
		b = append(b, `"/>`...)
	}
	return b
}

// ParseDiscovery reads a document as a client does.
func ParseDiscovery(doc []byte) (Discovery, error) {
	const op = "soap.ParseDiscovery"
	var d Discovery
	root, err := Parse(doc)
	if err != nil {
		return d, err
	}
	if root.Local != "AutodiscoverResponse" {
		return d, fault.New(fault.Invalid, op, "the document must be an AutodiscoverResponse").About(clip(root.Local))
	}
	d.Internal = strings.EqualFold(root.Attr("AccessLocation"), "Internal")
	x := root.Path("User")
	if d.User = x != nil; !d.User {
		if x = root.Path("Root"); x == nil {
			return d, fault.New(fault.Invalid, op, "the AutodiscoverResponse must have a Root or a User")
		}
	}
	for _, c := range x.Children {
		switch c.Local {
		case "Link":
			d.Links = append(d.Links, Link{c.Attr("token"), c.Attr("href")})
		case "SipClientInternalAccess":
			d.Inside = c.access()
		case "SipClientExternalAccess":
			d.Outside = c.access()
		}
	}
	return d, nil
}

func (e *Element) access() Access {
	a := Access{FQDN: e.Attr("fqdn")}
	for _, c := range e.Attr("port") {
		if c < '0' || c > '9' || a.Port > 65535 {
			return Access{}
		}
		a.Port = 10*a.Port + int(c-'0')
	}
	return a
}
