package cmdlet

import (
	"context"
	"strings"
)

// RequestCertificate gets a certificate from the own authority, or makes a
// request for another one.
type RequestCertificate struct {
	Type       string   `param:"required,pos=1" values:"Default|WebServicesInternal|WebServicesExternal|TlsDsk" help:"What the certificate is for"`
	DomainName []string `help:"Further names it shall have"`
	Output     string   `param:"output=CertificateRequest" help:"File for a signing request to an authority elsewhere; without it the own authority issues the certificate"`
}

// requestRow carries a signing request in PEM form.
type requestRow struct {
	Use                string
	CertificateRequest string
}

var requestCertificate = Cmdlet{
	Name: "Request-CsCertificate", Synopsis: "Requests a server certificate. It is used once Set-CsCertificate puts it in place.",
	Example: `Request-CsCertificate Default -DomainName chat.example.test -Output request.pem`,
	Changes: true, Table: certificateTable, New: func() Runner { return &RequestCertificate{} },
}

// Run implements Runner.
func (p *RequestCertificate) Run(_ context.Context, c *Call) error {
	list, err := uses([]string{p.Type})
	if err != nil {
		return err
	}
	for _, name := range p.DomainName {
		if strings.ContainsAny(name, " /@") {
			return wrong("DomainName", "needs DNS names or IP addresses, not %q", clip(name))
		}
	}
	if !c.ShouldProcess("Request-CsCertificate", p.Type) {
		return nil
	}
	if p.Output != "" {
		request, err := c.Deployment.Certificates().SigningRequest(list[0], p.DomainName)
		if err == nil {
			c.Write(requestRow{p.Type, string(request)})
		}
		return err
	}
	i, err := c.Deployment.Certificates().Request(list[0], p.DomainName)
	if err == nil {
		c.Write(rowOfCertificate(i))
	}
	return err
}
